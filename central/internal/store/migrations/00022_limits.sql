-- +goose Up
-- What a driver wants of a session at most: energy in Wh, and an amount in minor units of
-- the tariff's currency. 0 is no limit.
ALTER TABLE desired_states ADD COLUMN limit_wh INTEGER NOT NULL DEFAULT 0;
ALTER TABLE desired_states ADD COLUMN limit_amount INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN limit_wh INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN limit_amount INTEGER NOT NULL DEFAULT 0;

-- How the start by a reservation ended is shown to its driver.
CREATE INDEX desired_states_by_reservation ON desired_states (reservation_id) WHERE reservation_id <> '';

-- +goose Down
DROP INDEX desired_states_by_reservation;
ALTER TABLE sessions DROP COLUMN limit_amount;
ALTER TABLE sessions DROP COLUMN limit_wh;
ALTER TABLE desired_states DROP COLUMN limit_amount;
ALTER TABLE desired_states DROP COLUMN limit_wh;
