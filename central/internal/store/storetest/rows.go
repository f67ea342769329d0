package storetest

import (
	"database/sql"
	"os"
	"testing"
)

// Dir returns an empty folder for a database: in memory if the machine has
// /dev/shm, for tests with so many commits that syncs to a disk would take most of
// their time.
func Dir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "carga") //nolint:usetesting // TempDir is on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Rows counts the rows of each table, also while a Central has the database open.
func Rows(t *testing.T, path string) map[string]int {
	t.Helper()
	// Read-only, so that the database of a running Central is not changed by a check.
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro&_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	// One query for each table: they may see different commits.
	counts := map[string]int{}
	for _, name := range tables(t, db) {
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		counts[name] = n
	}
	return counts
}

// tables returns the names of the tables, without SQLite's own.
func tables(t *testing.T, db *sql.DB) (names []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite%'")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }() // Err below returns the error
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}
