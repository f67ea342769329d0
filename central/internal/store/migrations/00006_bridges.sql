-- +goose Up
-- How many dead letters of one run of a bridge are known: each is told once,
-- however often the bridge's sign of life is read.
CREATE TABLE bridge_runs (
  bridge       TEXT NOT NULL CHECK (length(bridge) > 0),
  started_at   INTEGER NOT NULL,
  dead_letters INTEGER NOT NULL CHECK (dead_letters >= 0),
  at           INTEGER NOT NULL,
  PRIMARY KEY (bridge, started_at)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE bridge_runs;
