-- +goose Up
-- What each session of a card may have at most: energy in Wh, and an amount in minor units
-- of the tariff's currency. 0 is no limit.
ALTER TABLE cards ADD COLUMN limit_wh INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cards ADD COLUMN limit_amount INTEGER NOT NULL DEFAULT 0;

-- Whether the charging point keeps these limits. One that booted before this migration is
-- not known to: it gets no cards with a limit until its next boot.
ALTER TABLE local_lists ADD COLUMN limits INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE local_lists DROP COLUMN limits;
ALTER TABLE cards DROP COLUMN limit_amount;
ALTER TABLE cards DROP COLUMN limit_wh;
