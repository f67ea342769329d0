-- +goose Up
-- What is needed to publish the message of a dead letter again: value is NULL if
-- its bytes are not kept, because they are too many or come from an earlier
-- version, which left them on the topic of dead letters alone.
ALTER TABLE dead_letters ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letters ADD COLUMN received_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN value BLOB;
ALTER TABLE dead_letters ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN replayed_at INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE dead_letters DROP COLUMN replayed_at;
ALTER TABLE dead_letters DROP COLUMN replays;
ALTER TABLE dead_letters DROP COLUMN value;
ALTER TABLE dead_letters DROP COLUMN size;
ALTER TABLE dead_letters DROP COLUMN received_at;
ALTER TABLE dead_letters DROP COLUMN kind;
