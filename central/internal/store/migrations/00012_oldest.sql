-- +goose Up
-- When the oldest record of a journal that is still held was received; 0: none
-- is held. So pruning finds what is old without looking at every boot there was.
ALTER TABLE journals ADD COLUMN oldest_at INTEGER NOT NULL DEFAULT 0;
UPDATE journals SET oldest_at=max(opened_at,1)
  WHERE EXISTS (SELECT 1 FROM records WHERE records.cp_id=journals.cp_id AND records.journal=journals.journal);
CREATE INDEX journals_to_prune ON journals (oldest_at, cp_id, journal) WHERE oldest_at > 0;
CREATE INDEX forked_by_age ON forked_records (received_at);

-- +goose Down
DROP INDEX forked_by_age;
DROP INDEX journals_to_prune;
ALTER TABLE journals DROP COLUMN oldest_at;
