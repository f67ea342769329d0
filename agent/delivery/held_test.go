package delivery_test

import (
	"testing"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// disk holds: A 5–8 (indexes 5–8), A 11–12 (9–10, behind damage), B 1–3
// (11–13), C 1–2 (14–15), which is the present journal.
func disk() delivery.Held {
	return delivery.Held{
		Ranges: []delivery.Range{
			{Journal: "A", First: 5, Last: 8, Index: 5},
			{Journal: "A", First: 11, Last: 12, Index: 9},
			{Journal: "B", First: 1, Last: 3, Index: 11},
			{Journal: "C", First: 1, Last: 2, Index: 14},
		},
		Present: "C",
	}
}

func TestHeld(t *testing.T) {
	h := disk()
	if h.First() != 5 || h.Last() != 15 {
		t.Errorf("disk holds %d to %d, want 5 to 15", h.First(), h.Last())
	}
	for index, want := range map[delivery.Index]wire.Position{
		5: {Journal: "A", Seq: 5}, 8: {Journal: "A", Seq: 8}, 9: {Journal: "A", Seq: 11}, 13: {Journal: "B", Seq: 3}, 15: {Journal: "C", Seq: 2},
	} {
		if got := h.Position(index); got == nil || *got != want {
			t.Errorf("record %d is %v, want %v", index, got, want)
		}
	}
	if h.Position(4) != nil || h.Position(16) != nil {
		t.Error("records outside the disk have a position")
	}
	var empty delivery.Held
	if empty.First() != 1 || empty.Last() != 0 || empty.Position(1) != nil {
		t.Error("an empty disk holds something")
	}
}

func TestBooted(t *testing.T) {
	for _, tc := range []struct {
		name     string
		position delivery.Position
		acked    delivery.Index
		rolled   bool
	}{
		{"nothing on disk", delivery.Position{}, 4, false},
		{"in the middle", delivery.Position{Central: epoch(1), Journal: "A", Seq: 7}, 7, false},
		{"in the damage", delivery.Position{Central: epoch(1), Journal: "A", Seq: 10}, 8, false},
		{"older than what is held", delivery.Position{Central: epoch(1), Journal: "A", Seq: 2}, 4, false},
		{"at the end of a journal", delivery.Position{Central: epoch(1), Journal: "B", Seq: 3}, 13, false},
		{"storage set back behind it", delivery.Position{Central: epoch(1), Journal: "B", Seq: 9}, 13, true},
		{"a journal that is gone", delivery.Position{Central: epoch(1), Journal: "Z", Seq: 9}, 4, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, effects := delivery.Step(delivery.State{}, delivery.Booted{Held: disk(), Position: tc.position})
			if s.Acked != tc.acked || s.End != 15 || s.Next != tc.acked+1 {
				t.Errorf("got acked %d next %d end %d, want %d %d 15", s.Acked, s.Next, s.End, tc.acked, tc.acked+1)
			}
			if got := location[delivery.RolledBack](effects) != nil; got != tc.rolled {
				t.Errorf("rollback reported: %t, want %t", got, tc.rolled)
			}
		})
	}
}

// location returns the first effect of one type, nil if there is none.
func location[E delivery.Effect](effects []delivery.Effect) *E {
	for _, e := range effects {
		if e, ok := e.(E); ok {
			return &e
		}
	}
	return nil
}

func ack(central charge.Epoch, journal charge.JournalID, seq charge.Seq) wire.Ack {
	a := wire.Ack{V: 1, Central: central, Seq: seq}
	if journal != "" {
		a.Journal = &journal
	}
	return a
}

// epoch is the epoch of the nth start of Central.
func epoch(n int) charge.Epoch { return charge.Epoch{Number: uint64(n), Run: "00000000000000ab"} }
