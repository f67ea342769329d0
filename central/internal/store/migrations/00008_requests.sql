-- +goose Up
-- Drivers choose message_ids for themselves: two drivers may use the same one.
CREATE TABLE requests_of_drivers (
  username       TEXT NOT NULL,
  message_id     TEXT NOT NULL,
  event_type     TEXT NOT NULL,
  client_id      TEXT NOT NULL,
  cp_id          TEXT NOT NULL,
  read_at        INTEGER NOT NULL,
  answer_by      INTEGER NOT NULL,
  asked          TEXT NOT NULL CHECK (json_valid(asked)),
  asked_at       INTEGER NOT NULL,
  reservation_id TEXT NOT NULL,
  answer         TEXT NOT NULL CHECK (answer = '' OR json_valid(answer)),
  silent         INTEGER NOT NULL CHECK (silent IN (0, 1)),
  PRIMARY KEY (username, message_id)
) STRICT;
INSERT INTO requests_of_drivers
  SELECT username, message_id, event_type, client_id, cp_id, read_at, answer_by, asked, asked_at, reservation_id, answer, silent
  FROM requests ORDER BY rowid;
DROP TABLE requests;
ALTER TABLE requests_of_drivers RENAME TO requests;
CREATE INDEX running_requests ON requests (read_at) WHERE answer = '' AND silent = 0;
CREATE INDEX requests_by_age ON requests (read_at);

-- +goose Down
CREATE TABLE requests_by_id (
  message_id     TEXT PRIMARY KEY,
  event_type     TEXT NOT NULL,
  username       TEXT NOT NULL,
  client_id      TEXT NOT NULL,
  cp_id          TEXT NOT NULL,
  read_at        INTEGER NOT NULL,
  answer_by      INTEGER NOT NULL,
  asked          TEXT NOT NULL CHECK (json_valid(asked)),
  asked_at       INTEGER NOT NULL,
  reservation_id TEXT NOT NULL,
  answer         TEXT NOT NULL CHECK (answer = '' OR json_valid(answer)),
  silent         INTEGER NOT NULL CHECK (silent IN (0, 1))
) STRICT;
INSERT OR IGNORE INTO requests_by_id
  SELECT message_id, event_type, username, client_id, cp_id, read_at, answer_by, asked, asked_at, reservation_id, answer, silent
  FROM requests ORDER BY rowid;
DROP TABLE requests;
ALTER TABLE requests_by_id RENAME TO requests;
CREATE INDEX running_requests ON requests (read_at) WHERE answer = '' AND silent = 0;
CREATE INDEX requests_by_age ON requests (read_at);
