-- +goose Up
-- The accounts follow the newest boot by the records; until now they followed
-- `present`, the boot that presence named. What that boot reported of a connector is
-- kept with its meter.
ALTER TABLE cps ADD COLUMN newest_journal TEXT NOT NULL DEFAULT '';
ALTER TABLE meters ADD COLUMN rated_w INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meters ADD COLUMN register_wh INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meters ADD COLUMN boot TEXT NOT NULL DEFAULT '';
ALTER TABLE meters ADD COLUMN session_id TEXT NOT NULL DEFAULT '';
UPDATE cps SET newest_journal = present;
UPDATE meters SET rated_w = k.rated_w, register_wh = k.register_wh, boot = k.journal, session_id = k.session_id
  FROM connectors k JOIN cps p ON p.cp_id = k.cp_id AND p.present = k.journal
  WHERE k.cp_id = meters.cp_id AND k.connector = meters.connector;

-- +goose Down
ALTER TABLE meters DROP COLUMN session_id;
ALTER TABLE meters DROP COLUMN boot;
ALTER TABLE meters DROP COLUMN register_wh;
ALTER TABLE meters DROP COLUMN rated_w;
ALTER TABLE cps DROP COLUMN newest_journal;
