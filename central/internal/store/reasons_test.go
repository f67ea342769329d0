package store_test

import (
	"path/filepath"
	"testing"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/reason"
)

// A gap is read with its reason; one of an older version has none.
func TestReasonOfAGap(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	why := reason.Reason{Code: reason.GapBeforeRecord, Count: 7, Note: "ann: it burnt"}
	write(t, s, func(tx *store.Tx) error {
		return tx.Ledger(append(point(),
			ledger.GapChanged{Gap: ledger.Gap{ID: "a", CPID: "CP_1", Cause: ledger.GapForgotten, Detail: why.String(), Why: why, DetectedAt: 1}},
			ledger.GapChanged{Gap: ledger.Gap{ID: "b", CPID: "CP_1", Cause: ledger.GapForgotten, Detail: "in words", DetectedAt: 1}},
		))
	})
	for n, want := range []reason.Reason{why, {}} {
		if g, ok, err := s.Gap(t.Context(), int64(n+1)); err != nil || !ok || g.Why != want {
			t.Errorf("gap %d: got %+v %v %v, want %+v", n+1, g.Why, ok, err, want)
		}
	}
}
