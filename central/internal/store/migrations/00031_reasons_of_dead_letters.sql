-- +goose Up
-- Why a message is a dead letter, as a code with its values, in JSON; '{}' in rows of
-- older versions, which have the text in reason alone.
ALTER TABLE dead_letters ADD COLUMN why TEXT NOT NULL DEFAULT '{}';

-- What proved that two devices use one identity was a sentence, and is such a JSON now.
UPDATE cps SET fork = CASE fork WHEN '' THEN '{}' ELSE json_object('code', 'reported', 'detail', fork) END;

-- +goose Down
UPDATE cps SET fork = coalesce(json_extract(fork, '$.detail'), json_extract(fork, '$.code'), '');
ALTER TABLE dead_letters DROP COLUMN why;
