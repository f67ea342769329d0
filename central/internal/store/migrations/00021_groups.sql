-- +goose Up
-- Groups of charging points behind one fuse, and what each of their connectors was
-- granted. Currents are per phase; what connectors report is in connectors.
ALTER TABLE connectors ADD COLUMN most_ma INTEGER NOT NULL DEFAULT 0;
ALTER TABLE connectors ADD COLUMN safe_ma INTEGER NOT NULL DEFAULT 0;

CREATE TABLE supply_groups (
  group_id   TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  limit_ma   INTEGER NOT NULL,
  cps        TEXT NOT NULL,
  changed_at INTEGER NOT NULL,
  deleted    INTEGER NOT NULL
) STRICT;

CREATE TABLE supply_members (
  cp_id     TEXT NOT NULL,
  connector INTEGER NOT NULL,
  group_id  TEXT NOT NULL,
  hold      TEXT NOT NULL,
  safe_ma   INTEGER NOT NULL,
  share_ma  INTEGER NOT NULL,
  why       TEXT NOT NULL,
  PRIMARY KEY (cp_id, connector)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE supply_members;
DROP TABLE supply_groups;
ALTER TABLE connectors DROP COLUMN safe_ma;
ALTER TABLE connectors DROP COLUMN most_ma;
