package store

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// In the package itself: Open always asks for what it asserts.
func TestPragmaWithoutEffectIsNamed(t *testing.T) {
	for name, dsn := range map[string]string{
		"journal_mode": "?_journal_mode=DELETE&_synchronous=FULL&_foreign_keys=on",
		"synchronous":  "?_journal_mode=WAL&_synchronous=NORMAL&_foreign_keys=on",
		"foreign_keys": "?_journal_mode=WAL&_synchronous=FULL&_foreign_key=on", // misspelt: the driver reports no error
	} {
		db, err := sql.Open("sqlite3", "file:"+filepath.Join(t.TempDir(), "c.db")+dsn)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := assertPragmas(t.Context(), conn); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want it named", name, err)
		}
		if err := errors.Join(conn.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}
