package ledger_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// aDay is a ledger with a ticket, a running session and an open gap.
func aDay(t *testing.T) *ledgertest.Book {
	t.Helper()
	b, bk := ledgertest.NewChargingPoint("CP_001", 2, morning), ledgertest.NewBook("CP_001", morning)
	b.Boot()
	b.Plug(1)
	b.Grant(1, "s1", "ann", "")
	b.Begin(1)
	b.Flow(1, 1500)
	b.Stop(1, charge.StopLocal)
	b.Plug(2)
	b.Grant(2, "s2", "bob", "")
	lost := len(b.Log)
	b.Boot()
	b.Flow(2, 700)
	b.Sample(2)
	for _, r := range b.Log[:lost-1] {
		bk.Apply(r)
	}
	b.Storage = b.Storage[lost:]
	bk.ApplyPresence(b.Presence(wire.Position{}, charge.Epoch{}))
	for _, r := range b.Log[lost:] {
		if out, _ := bk.Apply(r); out.Verdict != ledger.Applied {
			t.Fatalf("record %s/%d: %s", r.Journal, r.Seq, out.Verdict)
		}
	}
	if len(bk.CP.Gaps) == 0 || len(bk.CP.Sessions) == 0 || len(bk.Tickets) == 0 {
		t.Fatalf("want a gap, a session and a ticket: %+v", bk.CP)
	}
	return bk
}

// Each account is part of the hash; what Central alone decides is not.
func TestHashCoversTheAccounts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(bk *ledgertest.Book)
		same   bool
	}{
		"nothing":               {func(*ledgertest.Book) {}, true},
		"a position":            {func(bk *ledgertest.Book) { bk.CP.Journals[bk.CP.CurrentJournal].Last++ }, false},
		"the bytes of a record": {func(bk *ledgertest.Book) { bk.CP.Journals[bk.CP.CurrentJournal].Hash = "00" }, false},
		"metered energy":        {func(bk *ledgertest.Book) { bk.CP.Meters[1].Last++ }, false},
		"billed energy":         {func(bk *ledgertest.Book) { bk.CP.Meters[1].Billed++ }, false},
		"a session's register":  {func(bk *ledgertest.Book) { s := bk.Sessions["s2"]; s.Register++; bk.Sessions["s2"] = s }, false},
		"a session":             {func(bk *ledgertest.Book) { delete(bk.Sessions, "s2") }, false},
		"a ticket":              {func(bk *ledgertest.Book) { delete(bk.Tickets, "t.s1") }, false},
		"a cost":                {func(bk *ledgertest.Book) { k := bk.Tickets["t.s1"]; k.Cost.Minor++; bk.Tickets["t.s1"] = k }, false},
		"a gap":                 {func(bk *ledgertest.Book) { clear(bk.CP.Gaps) }, false},
		"when it was received": {func(bk *ledgertest.Book) {
			s := bk.Sessions["s2"]
			s.FirstSeenAt++
			bk.Sessions["s2"] = s
			bk.CP.Journals[bk.CP.CurrentJournal].GrownAt++
			bk.CP.FirstSeenAt++
			bk.CP.Admitted = false
			bk.CP.Position = epoch(2)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bk := aDay(t)
			before := bk.Hash()
			tc.change(bk)
			if after := bk.Hash(); (before == after) != tc.same {
				t.Fatalf("before %s, after %s: same must be %t", before, after, tc.same)
			}
		})
	}
}

// The hash depends on which records are missing, not on how gaps divide them.
func TestHashJoinsGaps(t *testing.T) {
	t.Parallel()
	hash := func(gaps ...ledger.Gap) string {
		cp := ledger.NewCP("CP_001")
		cp.Journals["j"] = &ledger.Journal{ID: "j", Last: 20, Hash: "ab"}
		for i := range gaps {
			gaps[i].Journal = "j"
			cp.Gaps[string(rune('a'+i))] = &gaps[i]
		}
		return ledger.HashPoint(cp, nil, nil)
	}
	missing := func(r ...ledger.Range) ledger.Gap { return ledger.Gap{Missing: r} }
	one := hash(missing(ledger.Range{First: 3, Last: 9}))
	for name, got := range map[string]string{
		"two gaps":         hash(missing(ledger.Range{First: 6, Last: 9}), missing(ledger.Range{First: 3, Last: 5})),
		"two ranges":       hash(missing(ledger.Range{First: 3, Last: 4}, ledger.Range{First: 5, Last: 9})),
		"one filled":       hash(missing(ledger.Range{First: 3, Last: 9}), missing()),
		"one in the other": hash(missing(ledger.Range{First: 3, Last: 9}), missing(ledger.Range{First: 4, Last: 5})),
	} {
		if got != one {
			t.Errorf("%s: another hash than one gap of the same records", name)
		}
	}
	if one == hash(missing(ledger.Range{First: 3, Last: 4}, ledger.Range{First: 6, Last: 9})) {
		t.Error("record 5 is known, and the hash is the same")
	}
	end := hash(missing(ledger.Range{First: 15}))
	if end != hash(missing(ledger.Range{First: 15, Last: 16}), missing(ledger.Range{First: 17})) || end == hash() {
		t.Error("a gap to the end of a journal is not joined")
	}
}

// A network's hash is made of those of its charging points; one without a record
// changes nothing.
func TestHashOfANetwork(t *testing.T) {
	t.Parallel()
	a := aDay(t)
	sessions, tickets := slices.Collect(maps.Values(a.Sessions)), slices.Collect(maps.Values(a.Tickets))
	want := ledger.Hash([]*ledger.CP{a.CP}, sessions, tickets)
	if got := ledger.Hash([]*ledger.CP{ledger.NewCP("CP_002"), a.CP}, sessions, tickets); got != want {
		t.Error("a charging point of which nothing is known changed the hash")
	}
	points := map[charge.CPID]string{"CP_001": ledger.HashPoint(a.CP, sessions, tickets), "CP_002": ""}
	if got := ledger.HashNetwork(points); got != want {
		t.Errorf("point by point %s, at once %s", got, want)
	}
}

// A record that fills the end of a gap gives the journal its hash: the next record
// must follow it.
func TestFilledEndHasItsHash(t *testing.T) {
	t.Parallel()
	for _, backwards := range []bool{false, true} {
		b, bk := ledgertest.NewChargingPoint("CP_001", 1, morning), ledgertest.NewBook("CP_001", morning)
		bk.Apply(b.Boot())
		b.Plug(1)
		b.Unplug(1)
		b.Damaged = []wire.Damaged{{Journal: b.Journal, First: 2, Last: 3, Reason: "torn"}}
		lost := slices.Clone(b.Log[1:])
		b.Storage = b.Storage[:1]
		bk.Apply(b.Boot())
		if bk.CP.Journals[lost[0].Journal].Last != 3 {
			t.Fatalf("the damaged range was not passed: %+v", bk.CP.Journals[lost[0].Journal])
		}
		if backwards {
			slices.Reverse(lost)
		}
		for _, r := range lost {
			bk.Apply(r)
		}
		if got, want := bk.CP.Journals[lost[0].Journal].Hash, wire.Hash(ledgertest.Raw(b.Log[2])); got != want {
			t.Fatalf("hash of the end: got %q, want %q", got, want)
		}
	}
}
