-- +goose Up
-- A token of the role screen is for the screen at one charging point, cp_id. SQLite
-- cannot change the CHECK of a column, so the table is made again.
CREATE TABLE new_tokens (
  token_id   TEXT PRIMARY KEY,
  hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  name       TEXT NOT NULL,
  role       TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'auditor', 'driver', 'screen')),
  username   TEXT NOT NULL CHECK ((role = 'driver') = (username <> '')),
  cp_id      TEXT NOT NULL CHECK ((role = 'screen') = (cp_id <> '')),
  made_by    TEXT NOT NULL,
  made_at    INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revoked_at INTEGER NOT NULL
) STRICT;
INSERT INTO new_tokens SELECT token_id, hash, name, role, username, '', made_by, made_at, expires_at, revoked_at FROM tokens ORDER BY rowid;
DROP TABLE tokens;
ALTER TABLE new_tokens RENAME TO tokens;

-- +goose Down
DELETE FROM tokens WHERE role = 'screen';
CREATE TABLE old_tokens (
  token_id   TEXT PRIMARY KEY,
  hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  name       TEXT NOT NULL,
  role       TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'auditor', 'driver')),
  username   TEXT NOT NULL CHECK ((role = 'driver') = (username <> '')),
  made_by    TEXT NOT NULL,
  made_at    INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revoked_at INTEGER NOT NULL
) STRICT;
INSERT INTO old_tokens SELECT token_id, hash, name, role, username, made_by, made_at, expires_at, revoked_at FROM tokens ORDER BY rowid;
DROP TABLE tokens;
ALTER TABLE old_tokens RENAME TO tokens;
