-- +goose Up
-- In which order records were applied, over all charging points: folded again
-- in this order they make the same ledger. 0: before this was noted.
ALTER TABLE records ADD COLUMN n INTEGER NOT NULL DEFAULT 0;

-- Up to and with which record of a journal the bytes are not kept any more.
CREATE TABLE pruned (
  cp_id   TEXT NOT NULL,
  journal TEXT NOT NULL,
  seq     INTEGER NOT NULL CHECK (seq >= 1),
  PRIMARY KEY (cp_id, journal),
  FOREIGN KEY (cp_id, journal) REFERENCES journals
) STRICT, WITHOUT ROWID;

-- What may go, oldest first.
CREATE INDEX commands_to_prune ON commands (changed_at) WHERE state NOT IN ('written', 'sent', 'accepted');
CREATE INDEX wishes_to_prune ON wishes (ended_at) WHERE ended_at > 0;
CREATE INDEX reservations_to_prune ON reservations (ended_at) WHERE gone = 1;
CREATE INDEX alarms_to_prune ON alarms (at) WHERE cleared = 1;
CREATE INDEX dead_letters_by_age ON dead_letters (at);
