-- +goose Up
-- Who may use the page and the API. Secrets are stored as hashes: a password with
-- argon2id, the random secret of a log-in or a token with SHA-256.
CREATE TABLE accounts (
  name       TEXT PRIMARY KEY,
  role       TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'auditor', 'driver')),
  username   TEXT NOT NULL CHECK ((role = 'driver') = (username <> '')),
  disabled   INTEGER NOT NULL CHECK (disabled IN (0, 1)),
  password   TEXT NOT NULL,
  made_at    INTEGER NOT NULL,
  changed_at INTEGER NOT NULL
) STRICT;
CREATE TABLE logins (
  login_id TEXT PRIMARY KEY,
  hash     BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  account  TEXT NOT NULL REFERENCES accounts (name),
  made_at  INTEGER NOT NULL,
  seen_at  INTEGER NOT NULL,
  origin   TEXT NOT NULL,
  agent    TEXT NOT NULL
) STRICT;
CREATE INDEX logins_by_account ON logins (account, made_at);
CREATE TABLE tokens (
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
-- One row for each request that changed something, or was refused. Rows are only
-- added.
CREATE TABLE audit_log (
  n         INTEGER PRIMARY KEY AUTOINCREMENT,
  at        INTEGER NOT NULL,
  by        TEXT NOT NULL,
  role      TEXT NOT NULL,
  operation TEXT NOT NULL,
  target    TEXT NOT NULL,
  origin    TEXT NOT NULL,
  result    TEXT NOT NULL,
  commands  TEXT NOT NULL CHECK (json_valid(commands))
) STRICT;
CREATE INDEX audit_by_time ON audit_log (at);
CREATE INDEX audit_by_name ON audit_log (by);
-- +goose StatementBegin
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
-- +goose StatementEnd
-- INSERT OR REPLACE deletes without the trigger above.
-- +goose StatementBegin
CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit_log WHEN EXISTS (SELECT 1 FROM audit_log WHERE n = NEW.n)
BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE audit_log;
DROP TABLE tokens;
DROP TABLE logins;
DROP TABLE accounts;
