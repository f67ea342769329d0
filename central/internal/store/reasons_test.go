package store_test

import (
	"path/filepath"
	"testing"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/reason"
)

// A dead letter is read with its reason, and what proved a fork with the charging point.
func TestReasonsOfADeadLetterAndAFork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	s := open(t, path)
	why := reason.OfMessage("record", "seq", reason.Wrong{Code: reason.FieldMissing})
	fork := reason.Reason{Code: reason.OtherBytesFork, Journal: "j", First: 7}
	write(t, s, func(tx *store.Tx) error {
		if _, err := tx.DeadLetter(view.DeadLetter{Topic: "cp-events", Reason: why.String(), Why: why, At: 1}, 1, nil); err != nil {
			return err
		}
		return tx.Ledger([]ledger.Change{ledger.PointChanged{Point: ledger.Point{ID: "CP_1", ForkedAt: 5, Fork: fork}}, ledger.PointChanged{Point: ledger.Point{ID: "CP_2"}}})
	})
	if d, _, ok, err := s.DeadLetter(t.Context(), 1); err != nil || !ok || d.Why != why {
		t.Errorf("dead letter: got %+v %v %v, want %+v", d.Why, ok, err, why)
	}
	cps, err := s.CPs(t.Context())
	if err != nil || cps["CP_1"].Fork != fork || !cps["CP_2"].Fork.IsZero() {
		t.Errorf("charging points: got %+v %v, want %+v and none", cps, err, fork)
	}
}

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
