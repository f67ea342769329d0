package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// pointOfBefore is the row of a charging point as the first version wrote it.
func pointOfBefore(id, position string) string {
	return fmt.Sprintf("INSERT INTO cps VALUES ('%s',1,'','','',0,5,'','','',0,0,0,'',0,'',0,'',0,'%s','[]',0,'')", id, position)
}

// TestDatabaseWithEpochsOfVersion4Opens opens a database in which runs of Central,
// positions and the Central that fenced it were named by a UUIDv7, or in the case of
// positions by any id that was received.
func TestDatabaseWithEpochsOfVersion4Opens(t *testing.T) {
	const past, future = "0199c2a0-1111-7000-8000-000000000001", "03b3d6f8-0c00-7000-8000-000000000001"
	path := filepath.Join(t.TempDir(), "c.db")
	rows, err := os.ReadFile("testdata/epoch3.sql")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Older(t.Context(), path, 3,
		string(rows),
		pointOfBefore("CP_1", future), pointOfBefore("CP_2", "zzzz"), pointOfBefore("CP_3", ""),
	); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if e, err := s.Epoch(t.Context()); err != nil || e != (charge.Epoch{Run: past}) {
		t.Errorf("epoch: got %+v %v, want number 0 and run %s", e, err, past)
	}
	cps, err := s.CPs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[charge.CPID]string{"CP_1": future, "CP_2": "", "CP_3": ""} {
		if p := cps[id].Position; p.Number != 0 || p.Run != want || cps[id].EpochLead != 0 {
			t.Errorf("position of %s: got %+v, want %q", id, p, want)
		}
	}
	st := orders.New(orders.Config{}, nth(1), orders.Numbers{})
	if err := s.LoadOrders(t.Context(), st); err != nil || !st.FencedBy().IsZero() {
		t.Errorf("fence: got %+v %v, want none", st.FencedBy(), err)
	}
	for n := range 3 {
		write(t, s, func(tx *store.Tx) error { return tx.Epoch(nth(7+n), 6) })
	}
	if e, err := s.Epoch(t.Context()); err != nil || e != nth(9) {
		t.Errorf("epoch: got %+v %v, want %s", e, err, nth(9))
	}
	audited(t, s)
}
