-- +goose Up
-- Why a gap is there and an alarm was raised, as a code with its values, in JSON; '{}' in
-- rows of older versions, which have the text in detail alone.
ALTER TABLE gaps ADD COLUMN why TEXT NOT NULL DEFAULT '{}';
ALTER TABLE alarms ADD COLUMN why TEXT NOT NULL DEFAULT '{}';

-- Why Central ended a command was a sentence, and is a code now.
UPDATE commands SET reason = CASE reason
  WHEN 'the charging point restarted' THEN 'reboot'
  WHEN 'no longer desired' THEN 'unwanted'
  WHEN 'an operator settled the session' THEN 'settled'
  WHEN 'Central''s clock was set back' THEN 'clock_set_back'
  WHEN 'no result in its time' THEN 'no_result'
  ELSE 'no_result_after_acceptance' END
WHERE reason IN ('the charging point restarted', 'no longer desired', 'an operator settled the session', 'Central''s clock was set back',
  'no result in its time', 'accepted, and no result in its time');

-- +goose Down
ALTER TABLE alarms DROP COLUMN why;
ALTER TABLE gaps DROP COLUMN why;
