-- +goose Up
-- When the registers of a meter were read, by the charging point's clock (0: it
-- had none) and, for the last one, by the uptime of its boot: a step that is
-- larger than can have flowed in between is not taken for energy. before_… is
-- the meter, or the state of it, that was read before the present one.
ALTER TABLE meters ADD COLUMN first_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meters ADD COLUMN last_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meters ADD COLUMN last_journal TEXT NOT NULL DEFAULT '';
ALTER TABLE meters ADD COLUMN last_uptime_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meters ADD COLUMN before_known INTEGER NOT NULL DEFAULT 0 CHECK (before_known IN (0, 1));
ALTER TABLE meters ADD COLUMN before_counted_wh INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meters ADD COLUMN before_last_wh INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meters ADD COLUMN before_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meters ADD COLUMN before_journal TEXT NOT NULL DEFAULT '';
ALTER TABLE meters ADD COLUMN before_uptime_ms INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE meters DROP COLUMN first_at;
ALTER TABLE meters DROP COLUMN last_at;
ALTER TABLE meters DROP COLUMN last_journal;
ALTER TABLE meters DROP COLUMN last_uptime_ms;
ALTER TABLE meters DROP COLUMN before_known;
ALTER TABLE meters DROP COLUMN before_counted_wh;
ALTER TABLE meters DROP COLUMN before_last_wh;
ALTER TABLE meters DROP COLUMN before_at;
ALTER TABLE meters DROP COLUMN before_journal;
ALTER TABLE meters DROP COLUMN before_uptime_ms;
