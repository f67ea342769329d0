-- +goose Up
-- The epoch of this Central: one row, written at each start. A run of an earlier
-- version had a UUIDv7 for a name, and the number 0.
CREATE TABLE epoch (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  number  INTEGER NOT NULL CHECK (number BETWEEN 0 AND 1000000000000),
  run     TEXT NOT NULL,
  made_at INTEGER NOT NULL
) STRICT;
INSERT INTO epoch SELECT 1, 0, id, minted_at FROM incarnations ORDER BY id DESC LIMIT 1;
DROP TABLE incarnations;

-- That version forgot at a restart who had fenced it, and left the row.
DELETE FROM settings WHERE name = 'fenced_by';

-- By how much the number of the epoch with which Central speaks to a charging
-- point is above its own.
ALTER TABLE cps ADD COLUMN epoch_lead INTEGER NOT NULL DEFAULT 0 CHECK (epoch_lead BETWEEN 0 AND 1000000000000);

-- +goose Down
ALTER TABLE cps DROP COLUMN epoch_lead;
CREATE TABLE incarnations (
  id        TEXT PRIMARY KEY,
  minted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO incarnations SELECT run, made_at FROM epoch WHERE number = 0;
DROP TABLE epoch;
