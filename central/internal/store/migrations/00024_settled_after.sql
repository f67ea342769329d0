-- +goose Up
-- The record that was applied last when an operator settled the session of a ticket;
-- '' and 0 for other tickets and for those of older versions.
ALTER TABLE tickets ADD COLUMN settled_journal TEXT NOT NULL DEFAULT '';
ALTER TABLE tickets ADD COLUMN settled_seq INTEGER NOT NULL DEFAULT 0 CHECK (settled_seq >= 0);

-- +goose Down
ALTER TABLE tickets DROP COLUMN settled_seq;
ALTER TABLE tickets DROP COLUMN settled_journal;
