-- +goose Up
-- The outbox is read topic by topic, so that one that is blocked does not block others.
CREATE INDEX outbox_by_topic ON outbox (topic, id);

-- The card that began a session: when it is blocked, the session ends. '' for those
-- of older versions.
ALTER TABLE sessions ADD COLUMN card TEXT NOT NULL DEFAULT '';

-- Sessions with a time of a clock that was not synchronised, by the boots of that clock,
-- with the times of grant and stop as they are known now. A period selects a session and
-- its tickets by them. stale: they are to be computed again.
CREATE TABLE unsure_times (
  session_id    TEXT NOT NULL REFERENCES sessions,
  cp_id         TEXT NOT NULL,
  journal       TEXT NOT NULL,
  authorized_at INTEGER NOT NULL,
  ended_at      INTEGER NOT NULL,
  stale         INTEGER NOT NULL CHECK (stale IN (0, 1)),
  PRIMARY KEY (session_id, journal)
) STRICT, WITHOUT ROWID;
CREATE INDEX unsure_times_of_boot ON unsure_times (cp_id, journal);
CREATE INDEX unsure_times_by_grant ON unsure_times (authorized_at);
CREATE INDEX unsure_times_by_stop ON unsure_times (ended_at);
CREATE INDEX stale_times ON unsure_times (session_id) WHERE stale = 1;

INSERT INTO unsure_times
SELECT DISTINCT s.session_id, s.cp_id, span.value->>'$.Journal', s.authorized_at, s.ended_at, 1
FROM sessions s, json_each(s.spans) span WHERE coalesce(span.value->>'$.Clock', '') <> '';

-- +goose StatementBegin
CREATE TRIGGER boot_has_other_time AFTER UPDATE OF boot_at, boot_clock ON journals
WHEN NEW.boot_at <> OLD.boot_at OR NEW.boot_clock <> OLD.boot_clock BEGIN
  UPDATE unsure_times SET stale = 1 WHERE cp_id = NEW.cp_id AND journal = NEW.journal;
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER boot_has_other_time;
DROP TABLE unsure_times;
ALTER TABLE sessions DROP COLUMN card;
DROP INDEX outbox_by_topic;
