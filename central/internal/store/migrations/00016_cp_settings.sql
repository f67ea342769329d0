-- +goose Up
-- What operators set for a charging point, in place of what it reports itself; a
-- text that is not set is ''. version grows with each change.
CREATE TABLE cp_settings (
  cp_id      TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  place      TEXT NOT NULL,
  site       TEXT NOT NULL,
  version    INTEGER NOT NULL CHECK (version >= 1),
  changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE cp_settings;
