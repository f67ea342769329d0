// Package storetest does to a database what other programs and broken disks do:
// it locks, changes and damages the file. Tests of programs that use a database
// import it.
//
// All functions open the file by themselves, past the lock of package store, as
// another program would. They fail the test on any error, so they return none.
package storetest

import (
	"context"
	"database/sql"
	"testing"
)

// Exec runs a statement on a database, also while a Central has it open.
func Exec(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	// A running Central holds the write lock only for moments; the busy timeout waits
	// for them.
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Errorf("%s: %v", statement, err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// Lock holds the database's write lock, as a backup program does, until unlock is
// called. Meanwhile the writer's transactions fail with SQLITE_BUSY once its busy
// timeout is over.
func Lock(t *testing.T, path string) (unlock func()) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	// The test's context ends before its cleanup, where unlock may be called.
	tx, err := db.BeginTx(context.WithoutCancel(t.Context()), nil)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
