package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/internal/charge"
)

// twice writes the same number to two tables in one transaction, n times.
func twice(ctx context.Context, s *store.Store, from, n int) error {
	for i := range n {
		err := s.Write(ctx, func(tx *store.Tx) error {
			return errors.Join(tx.Setting("n", fmt.Sprint(from+i)), tx.Count("n", 1),
				tx.Outbox("t", "k", nil, make([]byte, 4000), charge.Time(i)))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// consistent reports how often twice was committed, and that nothing is half.
func consistent(t *testing.T, s *store.Store) int64 {
	t.Helper()
	counters, err1 := s.Counters(t.Context())
	set, err2 := s.Setting(t.Context(), "n")
	rows, err3 := s.Outbox(t.Context(), "t", 0, 1_000_000)
	if err := errors.Join(err1, err2, err3, s.Check(t.Context())); err != nil {
		t.Fatal(err)
	}
	n := counters["n"]
	if set != fmt.Sprint(n) || len(rows) != int(n) {
		t.Fatalf("half of a transaction: setting %s, counter %d, rows %d", set, n, len(rows))
	}
	return n
}

func TestABackupIsOneCommitOfARunningDatabase(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "central.db"))
	if err := twice(t.Context(), s, 1, 100); err != nil {
		t.Fatal(err)
	}
	written := make(chan error)
	go func() { written <- twice(t.Context(), s, 101, 200) }()
	var last int64
	for i := range 3 {
		to := filepath.Join(dir, fmt.Sprintf("backup-%d.db", i))
		size, err := store.Backup(t.Context(), s.Path(), to)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(to)
		if err != nil || info.Size() != size || info.Mode().Perm() != 0o640 {
			t.Fatalf("the file: %v %v, want %d bytes for its group to read", info, err, size)
		}
		n := consistent(t, open(t, to))
		if n < max(last, 100) {
			t.Fatalf("a later backup holds less: %d after %d", n, last)
		}
		last = n
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if n := consistent(t, s); n != 300 {
		t.Fatalf("the running database holds %d, want 300", n)
	}
}

func TestABackupThatFailsLeavesNothing(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	s := open(t, filepath.Join(dir, "central.db"))
	if err := os.WriteFile(filepath.Join(to, "there"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx      context.Context //nolint:containedctx // a table of contexts
		from, to string
		want     error
	}{
		"over a file":         {t.Context(), s.Path(), filepath.Join(to, "there"), fs.ErrExist},
		"of nothing":          {t.Context(), filepath.Join(dir, "missing.db"), filepath.Join(to, "a"), fs.ErrNotExist},
		"to nowhere":          {t.Context(), s.Path(), filepath.Join(to, "no", "such", "a"), fs.ErrNotExist},
		"of an ended context": {ended, s.Path(), filepath.Join(to, "a"), context.Canceled},
	} {
		if _, err := store.Backup(tc.ctx, tc.from, tc.to); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
	left, err := os.ReadDir(to)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if raw, _ := os.ReadFile(filepath.Join(to, "there")); string(raw) != "precious" {
		t.Errorf("the file that was there contains %q", raw)
	}
}

func TestASnapshotIsOneMoment(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "central.db"))
	if err := twice(t.Context(), s, 1, 3); err != nil {
		t.Fatal(err)
	}
	snap, err := store.OpenSnapshot(t.Context(), s.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := twice(t.Context(), s, 4, 2); err != nil {
		t.Fatal(err)
	}
	if n := consistent(t, snap); n != 3 {
		t.Errorf("the snapshot moved on: %d, want 3", n)
	}
	if err := snap.Write(t.Context(), func(*store.Tx) error { return nil }); err == nil {
		t.Error("a snapshot was written to")
	}
	if err := snap.Close(); err != nil {
		t.Error(err)
	}
}

// A killed Central leaves its log behind; reading must not take it in.
func TestASnapshotChangesNoFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "central.db"))
	if err := twice(t.Context(), s, 1, 3); err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(t.TempDir(), "central.db")
	for _, suffix := range []string{"", "-wal"} {
		raw, err := os.ReadFile(s.Path() + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(killed+suffix, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(killed)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := store.OpenSnapshot(t.Context(), killed)
	if err != nil {
		t.Fatal(err)
	}
	if n := consistent(t, snap); n != 3 {
		t.Errorf("the log is not read: %d, want 3", n)
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(killed)
	if err != nil || string(after) != string(before) || notExist(killed+"-wal") {
		t.Errorf("reading changed the file, or took its log away (%v)", err)
	}
}

func notExist(path string) bool {
	_, err := os.Stat(path)
	return err != nil
}

func TestASnapshotRefusesWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "newer.db"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	exec(t, s.Path(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
	other := filepath.Join(dir, "other.db")
	exec(t, other, "CREATE TABLE t (x)")
	for path, words := range map[string]string{
		s.Path():                         "schema version 99",
		other:                            "no database of a Central",
		dir:                              "folder",
		filepath.Join(dir, "missing.db"): "no such file",
	} {
		if _, err := store.OpenSnapshot(t.Context(), path); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: got %v, want it refused: %s", path, err, words)
		}
	}
}

// exec runs SQL from outside, as a person with a tool does.
func exec(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// count counts the rows of a table.
func count(t *testing.T, path, table string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	err = db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}
