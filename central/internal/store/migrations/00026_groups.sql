-- +goose Up
-- How often a group was changed: an operator changes the version that was read.
ALTER TABLE supply_groups ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

-- +goose Down
ALTER TABLE supply_groups DROP COLUMN version;
