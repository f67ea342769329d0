package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
)

// DamagedCopy copies a database that no program has open, runs the statements on
// the copy and returns its path. The statements may do what Central never does:
// foreign keys are not checked, and the triggers that protect tickets are dropped.
// Each statement must change something, or the test fails.
func DamagedCopy(t *testing.T, path string, statements ...string) (copied string) {
	t.Helper()
	// The file alone is copied: what is still in a write-ahead log would be missing,
	// so the database must be closed.
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copied = filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(copied, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	// With the journal in place of the write-ahead log all of the copy is in one file.
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

// change runs a statement and fails the test if that changes neither a row nor the
// number of tables.
func change(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	// DDL changes no rows, so tables, indices and triggers are counted too.
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
	// A statement that changes nothing damages nothing: the test would pass without
	// having tested anything.
	if total() == before && statement != WriteSchema {
		t.Fatalf("%s changed nothing", statement)
	}
}

// WriteSchema lets the statements after it change the table sqlite_schema.
const WriteSchema = "PRAGMA writable_schema=ON"

// OverwriteRootPages overwrites the root page of each table of a database that no
// program has open, like a disk that returns other bytes than were written.
func OverwriteRootPages(t *testing.T, path string, tables ...string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	// SQLite is asked for the pages first: afterwards it could not read them.
	var size int64
	if err := db.QueryRowContext(ctx, "PRAGMA page_size").Scan(&size); err != nil {
		t.Fatal(err)
	}
	pages := make([]int64, len(tables))
	for i, name := range tables {
		if err := db.QueryRowContext(ctx, "SELECT rootpage FROM sqlite_schema WHERE name=?", name).Scan(&pages[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Pages count from 1. The bytes are no valid page of any kind.
	for _, page := range pages {
		if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, int(size)), (page-1)*size); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
