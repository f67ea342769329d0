-- +goose Up
-- The cards of drivers, and the list of cards that each charging point holds. A card is
-- known by the hash of its token. The row of a deleted one stays without its driver, so
-- that charging points remove it; a moment that is 0 is not set.
CREATE TABLE cards (
  card_id    TEXT PRIMARY KEY,
  token_hash TEXT NOT NULL UNIQUE,
  username   TEXT NOT NULL,
  label      TEXT NOT NULL,
  last_four  TEXT NOT NULL,
  offline    INTEGER NOT NULL,
  issued_at  INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  blocked_at INTEGER NOT NULL,
  deleted_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  version    INTEGER NOT NULL CHECK (version >= 1)
) STRICT;
CREATE INDEX cards_by_username ON cards (username);

CREATE TABLE local_lists (
  cp_id   TEXT PRIMARY KEY,
  journal TEXT NOT NULL,
  kept    INTEGER NOT NULL,
  version INTEGER NOT NULL,
  digest  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE local_lists;
DROP INDEX cards_by_username;
DROP TABLE cards;
