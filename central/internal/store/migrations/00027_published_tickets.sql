-- +goose Up
-- adopted: an earlier run of Central published the ticket with another bill than the
-- records of this database have.
ALTER TABLE tickets ADD COLUMN adopted INTEGER NOT NULL DEFAULT 0 CHECK (adopted IN (0, 1));

-- Tickets that an earlier run published and this database lacks: it was restored from
-- a backup of before. A row goes when the session ends here. The columns are those of
-- tickets; what a published ticket does not have is '' or 0.
CREATE TABLE published_tickets (
  ticket_id       TEXT PRIMARY KEY,
  session_id      TEXT NOT NULL,
  cp_id           TEXT NOT NULL,
  connector       INTEGER NOT NULL,
  username        TEXT NOT NULL,
  reservation_id  TEXT NOT NULL,
  tariff          TEXT NOT NULL,
  start_wh        INTEGER NOT NULL,
  stop_wh         INTEGER NOT NULL,
  energy_wh       INTEGER NOT NULL,
  cost_minor      INTEGER NOT NULL,
  currency        TEXT NOT NULL,
  duration_sec    INTEGER NOT NULL,
  idle_sec        INTEGER NOT NULL,
  started         INTEGER NOT NULL,
  authorized_at   INTEGER NOT NULL,
  ended_at        INTEGER NOT NULL,
  reason          TEXT NOT NULL,
  settled_at      INTEGER NOT NULL,
  corrects        TEXT NOT NULL,
  settled_journal TEXT NOT NULL,
  settled_seq     INTEGER NOT NULL,
  adopted         INTEGER NOT NULL
) STRICT;
-- +goose StatementBegin
CREATE TRIGGER published_tickets_until_made AFTER INSERT ON tickets BEGIN
  DELETE FROM published_tickets WHERE ticket_id=NEW.ticket_id;
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER published_tickets_until_made;
DROP TABLE published_tickets;
ALTER TABLE tickets DROP COLUMN adopted;
