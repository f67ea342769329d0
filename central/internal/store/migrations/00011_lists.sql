-- +goose Up
-- Lists are bounded by time, also where nothing is ever deleted; and records are
-- listed in the order in which they were received.
CREATE INDEX sessions_by_time ON sessions (authorized_at);
CREATE INDEX tickets_by_time ON tickets (ended_at);
CREATE INDEX records_by_time ON records (received_at);

-- +goose Down
DROP INDEX records_by_time;
DROP INDEX tickets_by_time;
DROP INDEX sessions_by_time;
