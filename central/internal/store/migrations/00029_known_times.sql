-- +goose Up
-- The outbox is read topic by topic, so that one that is blocked does not block others.
CREATE INDEX outbox_by_topic ON outbox (topic, id);

-- +goose Down
DROP INDEX outbox_by_topic;
