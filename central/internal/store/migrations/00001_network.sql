-- +goose Up
-- Times are milliseconds since 1970, energy is Wh, money is cents. A text that
-- is not known is '', a moment that is not known is 0.

CREATE TABLE settings (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE counters (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL CHECK (value >= 0)
) STRICT, WITHOUT ROWID;

-- The lives of this Central.
CREATE TABLE incarnations (
  id        TEXT PRIMARY KEY,
  minted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each partition of Kafka was read: next is the offset of the record to
-- read next, last_crc the fingerprint of the one before it.
CREATE TABLE offsets (
  topic     TEXT NOT NULL,
  partition INTEGER NOT NULL CHECK (partition >= 0),
  next      INTEGER NOT NULL CHECK (next >= 0),
  last_crc  INTEGER NOT NULL,
  PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;

-- What is still to be said on Kafka, in this order.
CREATE TABLE outbox (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  topic   TEXT NOT NULL,
  key     TEXT NOT NULL,
  headers TEXT NOT NULL CHECK (json_valid(headers)),
  value   BLOB NOT NULL,
  at      INTEGER NOT NULL
) STRICT;

CREATE TABLE tariffs (
  version         TEXT PRIMARY KEY CHECK (length(version) BETWEEN 1 AND 36),
  start_fee_cents INTEGER NOT NULL CHECK (start_fee_cents >= 0),
  per_kwh_cents   INTEGER NOT NULL CHECK (per_kwh_cents >= 0),
  currency        TEXT NOT NULL CHECK (length(currency) = 3),
  made_at         INTEGER NOT NULL
) STRICT;

CREATE TABLE cps (
  cp_id           TEXT PRIMARY KEY CHECK (length(cp_id) BETWEEN 1 AND 36),
  admitted        INTEGER NOT NULL CHECK (admitted IN (0, 1)),
  name            TEXT NOT NULL,
  place           TEXT NOT NULL,
  agent           TEXT NOT NULL,
  simulated       INTEGER NOT NULL CHECK (simulated IN (0, 1)),
  first_heard     INTEGER NOT NULL,
  present         TEXT NOT NULL,
  waiting_journal TEXT NOT NULL,
  named           TEXT NOT NULL,
  conn            INTEGER NOT NULL,
  online          INTEGER NOT NULL CHECK (online IN (0, 1)),
  presence_at     INTEGER NOT NULL,
  first_journal   TEXT NOT NULL,
  first_seq       INTEGER NOT NULL,
  next_journal    TEXT NOT NULL,
  next_seq        INTEGER NOT NULL,
  last_journal    TEXT NOT NULL,
  last_seq        INTEGER NOT NULL,
  position        TEXT NOT NULL,
  faults          TEXT NOT NULL CHECK (json_valid(faults)),
  forked_at       INTEGER NOT NULL,
  fork            TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE journals (
  cp_id         TEXT NOT NULL REFERENCES cps,
  journal       TEXT NOT NULL CHECK (length(journal) BETWEEN 1 AND 36),
  registered    INTEGER NOT NULL CHECK (registered IN (0, 1)),
  followed      INTEGER NOT NULL,
  last          INTEGER NOT NULL CHECK (last >= 0),
  hash          TEXT NOT NULL,
  after_journal TEXT NOT NULL,
  after_seq     INTEGER NOT NULL,
  root          INTEGER NOT NULL CHECK (root IN (0, 1)),
  reported      TEXT NOT NULL CHECK (json_valid(reported)),
  conn          INTEGER NOT NULL,
  opened_at     INTEGER NOT NULL,
  wrote_at      INTEGER NOT NULL,
  clock         TEXT NOT NULL,
  grown_at      INTEGER NOT NULL,
  PRIMARY KEY (cp_id, journal)
) STRICT, WITHOUT ROWID;

-- What each connector does in one boot, as its records say.
CREATE TABLE connectors (
  cp_id      TEXT NOT NULL REFERENCES cps,
  journal    TEXT NOT NULL,
  connector  INTEGER NOT NULL CHECK (connector BETWEEN 1 AND 64),
  rated_w    INTEGER NOT NULL,
  plugged    INTEGER NOT NULL CHECK (plugged IN (0, 1)),
  available  INTEGER NOT NULL CHECK (available IN (0, 1)),
  reported   TEXT NOT NULL,
  faults     TEXT NOT NULL CHECK (json_valid(faults)),
  session_id TEXT NOT NULL,
  phase      TEXT NOT NULL,
  finishing  INTEGER NOT NULL CHECK (finishing IN (0, 1)),
  held_id    TEXT NOT NULL,
  held_by    TEXT NOT NULL,
  held_until INTEGER NOT NULL,
  held_tariff TEXT NOT NULL,
  register_wh INTEGER NOT NULL CHECK (register_wh >= 0),
  idle_since INTEGER NOT NULL,
  PRIMARY KEY (cp_id, journal, connector)
) STRICT, WITHOUT ROWID;

-- The account of each meter, over all boots.
CREATE TABLE meters (
  cp_id      TEXT NOT NULL REFERENCES cps,
  connector  INTEGER NOT NULL CHECK (connector BETWEEN 0 AND 64),
  known      INTEGER NOT NULL CHECK (known IN (0, 1)),
  first_wh   INTEGER NOT NULL,
  last_wh    INTEGER NOT NULL CHECK (last_wh >= first_wh),
  carried_wh INTEGER NOT NULL,
  billed_wh  INTEGER NOT NULL,
  running_wh INTEGER NOT NULL,
  PRIMARY KEY (cp_id, connector)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
  session_id     TEXT PRIMARY KEY CHECK (length(session_id) BETWEEN 1 AND 36),
  cp_id          TEXT NOT NULL REFERENCES cps,
  connector      INTEGER NOT NULL CHECK (connector BETWEEN 0 AND 64),
  state          TEXT NOT NULL CHECK (state IN ('open', 'orphaned', 'ended')),
  username       TEXT NOT NULL,
  reservation_id TEXT NOT NULL,
  tariff         TEXT NOT NULL,
  by             TEXT NOT NULL,
  start_wh       INTEGER NOT NULL CHECK (start_wh >= 0),
  start_known    INTEGER NOT NULL CHECK (start_known IN (0, 1)),
  register_wh    INTEGER NOT NULL CHECK (register_wh >= 0),
  started        INTEGER NOT NULL CHECK (started IN (0, 1)),
  authorized_at  INTEGER NOT NULL,
  started_at     INTEGER NOT NULL,
  ended_at       INTEGER NOT NULL,
  heard_at       INTEGER NOT NULL,
  reason         TEXT NOT NULL,
  settled        INTEGER NOT NULL CHECK (settled IN (0, 1)),
  spans          TEXT NOT NULL CHECK (json_valid(spans))
) STRICT;
CREATE UNIQUE INDEX one_open_session ON sessions (cp_id, connector) WHERE state = 'open';
CREATE INDEX running_sessions ON sessions (cp_id) WHERE state <> 'ended';
CREATE INDEX sessions_of_cp ON sessions (cp_id);
CREATE INDEX sessions_of_driver ON sessions (username);

-- A session has one ticket, which never changes.
CREATE TABLE tickets (
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
CREATE INDEX tickets_of_cp ON tickets (cp_id);
CREATE INDEX tickets_of_driver ON tickets (username);
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

CREATE TABLE holes (
  hole_id   TEXT PRIMARY KEY,
  cp_id     TEXT NOT NULL REFERENCES cps,
  journal   TEXT NOT NULL,
  first     INTEGER NOT NULL,
  last      INTEGER NOT NULL,
  cause     TEXT NOT NULL,
  detail    TEXT NOT NULL,
  found_at  INTEGER NOT NULL,
  missing   TEXT NOT NULL CHECK (json_valid(missing)),
  energy_wh INTEGER NOT NULL,
  waiting   TEXT NOT NULL CHECK (json_valid(waiting)),
  open      INTEGER NOT NULL CHECK (open IN (0, 1)),
  lost      INTEGER NOT NULL CHECK (lost >= 0)
) STRICT;
CREATE INDEX open_holes ON holes (cp_id) WHERE open = 1;
CREATE INDEX holes_of_cp ON holes (cp_id);

CREATE TABLE alarms (
  alarm_id  TEXT PRIMARY KEY,
  kind      TEXT NOT NULL,
  cp_id     TEXT NOT NULL,
  connector INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  detail    TEXT NOT NULL,
  cleared   INTEGER NOT NULL CHECK (cleared IN (0, 1))
) STRICT;
CREATE INDEX open_alarms ON alarms (cp_id) WHERE cleared = 0;

-- The records themselves: what all else can be made from again.
CREATE TABLE records (
  cp_id       TEXT NOT NULL,
  journal     TEXT NOT NULL,
  seq         INTEGER NOT NULL CHECK (seq >= 1),
  hash        TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  raw         BLOB NOT NULL,
  PRIMARY KEY (cp_id, journal, seq),
  FOREIGN KEY (cp_id, journal) REFERENCES journals
) STRICT, WITHOUT ROWID;

-- Records of a quarantined identity, kept for the operator.
CREATE TABLE forked_records (
  cp_id       TEXT NOT NULL,
  journal     TEXT NOT NULL,
  seq         INTEGER NOT NULL,
  hash        TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  raw         BLOB NOT NULL,
  PRIMARY KEY (cp_id, journal, seq, hash)
) STRICT, WITHOUT ROWID;

-- What could not be used; the bytes are on the topic of dead letters.
CREATE TABLE dead_letters (
  id        INTEGER PRIMARY KEY,
  topic     TEXT NOT NULL,
  partition INTEGER NOT NULL,
  offset    INTEGER NOT NULL,
  crc       INTEGER NOT NULL,
  key       TEXT NOT NULL,
  reason    TEXT NOT NULL,
  at        INTEGER NOT NULL,
  UNIQUE (topic, partition, offset, crc)
) STRICT;

CREATE TABLE reservations (
  reservation_id TEXT PRIMARY KEY CHECK (length(reservation_id) BETWEEN 1 AND 36),
  cp_id          TEXT NOT NULL,
  connector      INTEGER NOT NULL CHECK (connector BETWEEN 0 AND 64),
  username       TEXT NOT NULL,
  tariff         TEXT NOT NULL,
  made_at        INTEGER NOT NULL,
  until          INTEGER NOT NULL,
  confirmed_at   INTEGER NOT NULL,
  ended_at       INTEGER NOT NULL,
  reason         TEXT NOT NULL,
  session_id     TEXT NOT NULL,
  adopted        INTEGER NOT NULL CHECK (adopted IN (0, 1)),
  gone           INTEGER NOT NULL CHECK (gone IN (0, 1)),
  told           INTEGER NOT NULL CHECK (told IN (0, 1)),
  message_id     TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_active_reservation ON reservations (cp_id, connector) WHERE ended_at = 0;
CREATE INDEX reservations_to_load ON reservations (gone) WHERE gone = 0;
CREATE INDEX reservations_of_cp ON reservations (cp_id);
CREATE INDEX reservations_of_driver ON reservations (username);

CREATE TABLE wishes (
  kind           TEXT NOT NULL,
  cp_id          TEXT NOT NULL,
  connector      INTEGER NOT NULL,
  session_id     TEXT NOT NULL,
  username       TEXT NOT NULL,
  reservation_id TEXT NOT NULL,
  tariff         TEXT NOT NULL,
  available      INTEGER NOT NULL CHECK (available IN (0, 1)),
  asked_at       INTEGER NOT NULL,
  until          INTEGER NOT NULL,
  ended_at       INTEGER NOT NULL,
  outcome        TEXT NOT NULL,
  PRIMARY KEY (kind, cp_id, connector, session_id)
) STRICT;
CREATE INDEX wishes_to_load ON wishes (asked_at) WHERE ended_at = 0;

CREATE TABLE commands (
  command_id     TEXT PRIMARY KEY CHECK (length(command_id) BETWEEN 1 AND 36),
  n              INTEGER NOT NULL,
  central        TEXT NOT NULL,
  journal        TEXT NOT NULL,
  cp_id          TEXT NOT NULL,
  connector      INTEGER NOT NULL,
  type           TEXT NOT NULL,
  data           BLOB NOT NULL,
  reservation_id TEXT NOT NULL,
  session_id     TEXT NOT NULL,
  issued_at      INTEGER NOT NULL,
  expires_at     INTEGER NOT NULL,
  state          TEXT NOT NULL CHECK (state IN
    ('written', 'sent', 'accepted', 'rejected', 'superseded', 'expired', 'done', 'failed')),
  reason         TEXT NOT NULL,
  changed_at     INTEGER NOT NULL,
  sendings       INTEGER NOT NULL,
  next_at        INTEGER NOT NULL,
  message_id     TEXT NOT NULL,
  sent_at        INTEGER NOT NULL, -- of the first sending
  accepted_at    INTEGER NOT NULL,
  ended_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX open_commands ON commands (issued_at) WHERE state IN ('written', 'sent', 'accepted');
CREATE INDEX commands_of_cp ON commands (cp_id);

-- Drivers' requests and their answers, kept as long as their topic.
CREATE TABLE requests (
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
CREATE INDEX running_requests ON requests (read_at) WHERE answer = '' AND silent = 0;
CREATE INDEX requests_by_age ON requests (read_at);
