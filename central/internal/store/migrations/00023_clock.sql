-- +goose Up
-- When the boot of a journal began, by the best clock that a record of it had; boot_clock
-- is '' for a journal whose records were applied by an earlier version.
ALTER TABLE journals ADD COLUMN boot_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE journals ADD COLUMN boot_clock TEXT NOT NULL DEFAULT '';
ALTER TABLE journals ADD COLUMN boot_seq INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE journals DROP COLUMN boot_seq;
ALTER TABLE journals DROP COLUMN boot_clock;
ALTER TABLE journals DROP COLUMN boot_at;
