-- +goose Up
-- A session that an operator settled may have a second ticket, which corrects
-- the first by what its charging point reported later; below zero it is a
-- credit. settled_at is when an operator settled the session, 0 otherwise.
CREATE TABLE new_tickets (
  ticket_id      TEXT PRIMARY KEY,
  session_id     TEXT NOT NULL REFERENCES sessions,
  cp_id          TEXT NOT NULL REFERENCES cps,
  connector      INTEGER NOT NULL,
  username       TEXT NOT NULL,
  reservation_id TEXT NOT NULL,
  tariff         TEXT NOT NULL,
  start_wh       INTEGER NOT NULL,
  stop_wh        INTEGER NOT NULL,
  energy_wh      INTEGER NOT NULL CHECK (energy_wh >= 0 OR corrects <> ''),
  cost_cents     INTEGER NOT NULL CHECK (cost_cents >= 0 OR corrects <> ''),
  currency       TEXT NOT NULL,
  duration_sec   INTEGER NOT NULL CHECK (duration_sec >= 0),
  started        INTEGER NOT NULL CHECK (started IN (0, 1)),
  authorized_at  INTEGER NOT NULL,
  ended_at       INTEGER NOT NULL,
  reason         TEXT NOT NULL,
  settled_at     INTEGER NOT NULL,
  corrects       TEXT NOT NULL
) STRICT;
INSERT INTO new_tickets SELECT t.ticket_id, t.session_id, t.cp_id, t.connector, t.username, t.reservation_id, t.tariff,
  t.start_wh, t.stop_wh, t.energy_wh, t.cost_cents, t.currency, t.duration_sec, t.started, t.authorized_at, t.ended_at, t.reason,
  iif(s.settled = 1, max(s.heard_at, 1), 0), ''
  FROM tickets t JOIN sessions s USING (session_id) ORDER BY t.rowid;
DROP TABLE tickets;
ALTER TABLE new_tickets RENAME TO tickets;
CREATE UNIQUE INDEX one_ticket ON tickets (session_id) WHERE corrects = '';
CREATE UNIQUE INDEX one_correction ON tickets (session_id) WHERE corrects <> '';
CREATE INDEX tickets_of_cp ON tickets (cp_id);
CREATE INDEX tickets_of_driver ON tickets (username);
CREATE INDEX tickets_by_register ON tickets (cp_id, connector, stop_wh);
CREATE INDEX tickets_of_session ON tickets (session_id);
-- +goose StatementBegin
CREATE TRIGGER tickets_never_change BEFORE UPDATE ON tickets BEGIN
  SELECT RAISE(ABORT, 'a ticket never changes');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tickets_never_go BEFORE DELETE ON tickets BEGIN
  SELECT RAISE(ABORT, 'a ticket is never deleted');
END;
-- +goose StatementEnd

-- Since when a charging point is silent while sessions are open there, once that
-- is an alarm.
ALTER TABLE cps ADD COLUMN silent_at INTEGER NOT NULL DEFAULT 0;

-- +goose Down
-- Corrections are lost: there was no place for them.
CREATE TABLE old_tickets (
  ticket_id      TEXT PRIMARY KEY,
  session_id     TEXT NOT NULL UNIQUE REFERENCES sessions,
  cp_id          TEXT NOT NULL REFERENCES cps,
  connector      INTEGER NOT NULL,
  username       TEXT NOT NULL,
  reservation_id TEXT NOT NULL,
  tariff         TEXT NOT NULL,
  start_wh       INTEGER NOT NULL,
  stop_wh        INTEGER NOT NULL,
  energy_wh      INTEGER NOT NULL CHECK (energy_wh >= 0),
  cost_cents     INTEGER NOT NULL CHECK (cost_cents >= 0),
  currency       TEXT NOT NULL,
  duration_sec   INTEGER NOT NULL CHECK (duration_sec >= 0),
  started        INTEGER NOT NULL CHECK (started IN (0, 1)),
  authorized_at  INTEGER NOT NULL,
  ended_at       INTEGER NOT NULL,
  reason         TEXT NOT NULL
) STRICT;
INSERT INTO old_tickets SELECT ticket_id, session_id, cp_id, connector, username, reservation_id, tariff, start_wh, stop_wh,
  energy_wh, cost_cents, currency, duration_sec, started, authorized_at, ended_at, reason
  FROM tickets WHERE corrects = '' ORDER BY rowid;
DROP TABLE tickets;
ALTER TABLE old_tickets RENAME TO tickets;
CREATE INDEX tickets_of_cp ON tickets (cp_id);
CREATE INDEX tickets_of_driver ON tickets (username);
CREATE INDEX tickets_by_register ON tickets (cp_id, connector, stop_wh);
-- +goose StatementBegin
CREATE TRIGGER tickets_never_change BEFORE UPDATE ON tickets BEGIN
  SELECT RAISE(ABORT, 'a ticket never changes');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tickets_never_go BEFORE DELETE ON tickets BEGIN
  SELECT RAISE(ABORT, 'a ticket is never deleted');
END;
-- +goose StatementEnd
ALTER TABLE cps DROP COLUMN silent_at;
