-- +goose Up
-- A tariff has prices per minute and per idle minute, in ten-thousandths of the minor
-- unit, a rate of tax that is in its prices, in ten-thousandths, and a moment from
-- which it is valid. A version is only added. idle_sec of a ticket is 0 if its tariff
-- has no price for it.
ALTER TABLE tariffs ADD COLUMN per_minute_e4 INTEGER NOT NULL DEFAULT 0 CHECK (per_minute_e4 >= 0);
ALTER TABLE tariffs ADD COLUMN per_idle_minute_e4 INTEGER NOT NULL DEFAULT 0 CHECK (per_idle_minute_e4 >= 0);
ALTER TABLE tariffs ADD COLUMN tax_e4 INTEGER NOT NULL DEFAULT 0 CHECK (tax_e4 BETWEEN 0 AND 10000);
ALTER TABLE tariffs ADD COLUMN valid_from INTEGER NOT NULL DEFAULT 0;
UPDATE tariffs SET valid_from = made_at;
ALTER TABLE tickets ADD COLUMN idle_sec INTEGER NOT NULL DEFAULT 0;
-- +goose StatementBegin
CREATE TRIGGER tariff_is_not_changed BEFORE UPDATE ON tariffs
BEGIN SELECT RAISE(ABORT, 'a version of the tariff never changes'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tariff_is_not_deleted BEFORE DELETE ON tariffs
BEGIN SELECT RAISE(ABORT, 'a version of the tariff never changes'); END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER tariff_is_not_deleted;
DROP TRIGGER tariff_is_not_changed;
ALTER TABLE tickets DROP COLUMN idle_sec;
ALTER TABLE tariffs DROP COLUMN valid_from;
ALTER TABLE tariffs DROP COLUMN tax_e4;
ALTER TABLE tariffs DROP COLUMN per_idle_minute_e4;
ALTER TABLE tariffs DROP COLUMN per_minute_e4;
