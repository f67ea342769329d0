package storetest

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
)

// Damaged is a copy of a database that nobody has open, with done to it what no
// Central does: each statement must change something. Foreign keys are not
// checked, and tickets may be changed.
func Damaged(t *testing.T, path string, statements ...string) (copied string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied = filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(copied, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", "file:"+copied+"?_foreign_keys=off&_journal_mode=DELETE")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	db.SetMaxOpenConns(1)
	for _, s := range append([]string{"DROP TRIGGER tickets_never_change", "DROP TRIGGER tickets_never_go"}, statements...) {
		change(t, db, s)
	}
	return copied
}

func change(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	total := func() (n int64) {
		if err := db.QueryRowContext(ctx, "SELECT total_changes()+(SELECT count(*) FROM sqlite_schema)").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := total()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if total() == before && statement != WriteSchema {
		t.Fatalf("%s changed nothing", statement)
	}
}

// WriteSchema lets the statements after it change the schema as a table.
const WriteSchema = "PRAGMA writable_schema=ON"
