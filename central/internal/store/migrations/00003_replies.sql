-- +goose Up
-- What orders that came with an Idempotency-Key were answered: a repeat has the
-- same answer and no second effect. n grows in the order of writing.
CREATE TABLE replies (
  n       INTEGER PRIMARY KEY,
  key     TEXT NOT NULL UNIQUE CHECK (length(key) BETWEEN 1 AND 64),
  request BLOB NOT NULL CHECK (length(request) = 32), -- fingerprint of what was asked
  reply   TEXT NOT NULL CHECK (json_valid(reply)),
  at      INTEGER NOT NULL
) STRICT;
CREATE INDEX replies_by_age ON replies (at);
