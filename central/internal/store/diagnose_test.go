package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/internal/store/storetest"
)

// TestEachResultCodeHasARemedy: every primary result code of SQLite, and one that
// does not exist.
func TestEachResultCodeHasARemedy(t *testing.T) {
	for code, want := range map[sqlite3.ErrNo]store.Remedy{
		1: store.RemedyStop, 2: store.RemedyStop, 3: store.RemedyWait, 4: store.RemedyWait, 5: store.RemedyWait,
		6: store.RemedyWait, 7: store.RemedyWait, 8: store.RemedyWait, 9: store.RemedyWait, 10: store.RemedyWait,
		11: store.RemedyStop, 12: store.RemedyStop, 13: store.RemedyWait, 14: store.RemedyWait, 15: store.RemedyWait,
		16: store.RemedyStop, 17: store.RemedyStop, 18: store.RemedyRow, 19: store.RemedyRow, 20: store.RemedyRow,
		21: store.RemedyStop, 22: store.RemedyStop, 23: store.RemedyStop, 24: store.RemedyStop, 25: store.RemedyRow,
		26: store.RemedyStop, 27: store.RemedyStop, 28: store.RemedyStop, 99: store.RemedyStop,
	} {
		t.Run(fmt.Sprint(int(code)), func(t *testing.T) {
			err := fmt.Errorf("write records: %w", sqlite3.Error{Code: code, ExtendedCode: code.Extend(3)})
			why, got := store.Diagnose(errors.Join(err, errors.New("roll back")))
			if got != want || why.String() == "" {
				t.Errorf("code %d: got %q (%q), want %q", int(code), got, why, want)
			}
		})
	}
	if why, r := store.Diagnose(errors.New("of another program")); !why.IsZero() || r != "" {
		t.Errorf("an error that is not SQLite's: got %q %q, want none", why, r)
	}
}

// TestDamagedPagesAreNoRowsFault: the error of SQLite for a file with damaged pages
// stops.
func TestDamagedPagesAreNoRowsFault(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	s := open(t, path)
	write(t, s, func(tx *store.Tx) error { return tx.Ledger(point()) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.OverwriteRootPages(t, path, "journals")
	s, err := store.Open(t.Context(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	err = s.Write(context.WithoutCancel(t.Context()), func(tx *store.Tx) error { return tx.Ledger(point()) })
	if why, r := store.Diagnose(err); r != store.RemedyStop || !strings.Contains(why.String(), "damaged") {
		t.Errorf("got %q %q of %v, want the damage", why, r, err)
	}
}

// TestAFileThatIsNoDatabase: it is named, with what to do.
func TestAFileThatIsNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() (*store.Store, error){
		"open":     func() (*store.Store, error) { return store.Open(t.Context(), store.Options{Path: path}) },
		"snapshot": func() (*store.Store, error) { return store.OpenSnapshot(t.Context(), path) },
	} {
		_, err := open()
		if _, r := store.Diagnose(err); r != store.RemedyStop || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "restore a backup") {
			t.Errorf("%s: got %v, want the file named, and what to do", name, err)
		}
	}
}
