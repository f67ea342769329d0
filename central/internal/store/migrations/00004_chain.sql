-- +goose Up
-- Records that do not fit the chain of their charging point: since when they
-- keep others from coming, and when the last one came.
ALTER TABLE cps ADD COLUMN held_up_since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cps ADD COLUMN mismatch_at INTEGER NOT NULL DEFAULT 0;

-- Finds a ticket that holds energy which another one holds too.
CREATE INDEX tickets_by_register ON tickets (cp_id, connector, stop_wh);

-- +goose Down
DROP INDEX tickets_by_register;
ALTER TABLE cps DROP COLUMN mismatch_at;
ALTER TABLE cps DROP COLUMN held_up_since;
