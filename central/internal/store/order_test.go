package store_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/internal/charge"
)

// Records come back in the order in which they were applied, over transactions
// that failed and over lives, whatever their journals are called.
func TestRecordsKeepTheOrderOfApplying(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	s := open(t, path)
	write(t, s, func(tx *store.Tx) error { return tx.Ledger(point()) })
	add := func(j charge.JournalID, seq charge.Seq) func(*store.Tx) error {
		return func(tx *store.Tx) error { return tx.Record(record(j, seq), "00", 5) }
	}
	write(t, s, add("j1", 3))
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return errors.Join(add("j1", 9)(tx), errors.New("no")) }); err == nil {
		t.Fatal("committed")
	}
	write(t, s, add("j1", 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	write(t, s, add("j1", 2))
	var got []charge.Seq
	if err := s.RecordsOf(t.Context(), "CP_1", func(_ charge.JournalID, seq charge.Seq, _ string, _ []byte) error {
		got = append(got, seq)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0] != 3 || got[1] != 1 || got[2] != 2 {
		t.Errorf("order: got %v, want [3 1 2]", got)
	}
	if counters, err := s.Counters(t.Context()); err != nil || counters["records_written"] != 3 {
		t.Errorf("counted: %v %v", counters, err)
	}
}
