package ledger_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const morning charge.Time = 1_795_341_600_000

// pauseOrResume writes a pause of a session, its end, or neither.
func pauseOrResume(t *rapid.T, b *ledgertest.ChargingPoint, id charge.ConnectorID) {
	o := b.Connectors[id]
	switch by := rapid.SampledFrom([]string{"", "ev", "evse", "resumed"}).Draw(t, "pause"); by {
	case "ev", "evse":
		b.Write(id, o.Session, &wire.Suspended{By: by, Register: o.Register})
	case "resumed":
		b.Write(id, o.Session, &wire.Resumed{Register: o.Register})
	}
}

// priced is a book whose sessions without a known tariff have all prices.
func priced(id charge.CPID) *ledgertest.Book {
	bk := ledgertest.NewBook(id, morning)
	bk.Env.Default.PerMinute, bk.Env.Default.PerIdleMinute = 12_345, 67_891
	return bk
}

// act lets a correct charging point do something at random.
func act(t *rapid.T, b *ledgertest.ChargingPoint, lossy bool) {
	b.Now += charge.Time(rapid.IntRange(1, 60_000).Draw(t, "ms"))
	id := charge.ConnectorID(rapid.IntRange(1, len(b.Connectors)).Draw(t, "connector"))
	o := b.Connectors[id]
	what := rapid.IntRange(0, 9).Draw(t, "what")
	switch {
	case what == 0 && lossy && b.Boots > 0:
		b.Lose(rapid.SampledFrom([]int{1, 2, 5, 1000}).Draw(t, "lost"))
		b.Boot()
	case what <= 1 || b.Boots == 0:
		b.Boot()
	case what == 2 && !o.Plugged:
		b.Plug(id)
	case what == 2:
		b.Unplug(id)
	case what <= 5 && o.Session == "":
		tariff := charge.TariffVersion(rapid.SampledFrom([]string{"", "2026-1", "unknown"}).Draw(t, "tariff"))
		b.Grant(id, charge.SessionID(fmt.Sprintf("s%d", len(b.Log))), "driver1", tariff)
	case what == 6 && o.Session == "":
		b.Flow(id, 7) // power without a session: a welded contactor
	case what <= 5:
		b.Begin(id)
		b.FlowRated(id, charge.WattHours(rapid.IntRange(0, 5000).Draw(t, "wh")))
	case what == 6:
		b.Sample(id)
		pauseOrResume(t, b, id)
	case what == 7:
		b.Stop(id, charge.StopRemote)
	case what == 8 && len(o.Faults) == 0:
		b.Raise(id, charge.FaultGroundFault)
	default:
		b.Clear(id)
	}
}

func randomPoint(t *rapid.T, lossy bool) *ledgertest.ChargingPoint {
	b := ledgertest.NewChargingPoint("CP_001", rapid.IntRange(1, 2).Draw(t, "connectors"), morning)
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		act(t, b, lossy)
	}
	return b
}

func check(t *rapid.T, bk *ledgertest.Book) {
	t.Helper()
	for _, f := range bk.Violations {
		t.Fatal(f)
	}
	cp := bk.CP
	for id, m := range cp.Meters {
		if m.Unaccounted() < 0 {
			t.Fatalf("connector %d: unaccounted %d Wh, want at least 0: %+v", id, m.Unaccounted(), *m)
		}
	}
	got := bk.Load()
	for id, j := range cp.Journals { // some of all
		if !reflect.DeepEqual(got.Journals[id], j) {
			t.Fatalf("loaded from rows: got %+v, want %+v", got.Journals[id], j)
		}
	}
	for _, pair := range [][2]any{
		{got.Point, cp.Point},
		{got.KnownRecords, cp.KnownRecords},
		{got.Connectors, cp.Connectors},
		{got.PendingConnectors, cp.PendingConnectors},
		{got.Meters, cp.Meters},
		{got.Sessions, cp.Sessions},
		{got.Gaps, cp.Gaps},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Fatalf("loaded from rows: got %+v, want %+v", pair[0], pair[1])
		}
	}
}

// same compares two ledgers, and shows in which accounts they differ. A ticket
// never changes, so what late records of a lost branch would have changed in it
// may differ, if there is an alarm about it.
func same(t *rapid.T, got, want *ledgertest.Book) {
	t.Helper()
	if got.Hash() == want.Hash() {
		return
	}
	g, w := account(got), account(want)
	for _, a := range append(got.OpenAlarms(ledger.AlarmTicket), want.OpenAlarms(ledger.AlarmTicket)...) {
		id := a.ID[strings.LastIndex(a.ID, ".")+1:]
		alarmed := func(l string) bool { return strings.Contains(l, "ID:"+id+" ") }
		g, w = slices.DeleteFunc(g, alarmed), slices.DeleteFunc(w, alarmed)
	}
	only := func(a, b []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(a), func(l string) bool { return slices.Contains(b, l) }), "\n")
	}
	if !slices.Equal(g, w) {
		t.Fatalf("ledgers differ: got\n%s\nwant\n%s", only(g, w), only(w, g))
	}
}

func account(bk *ledgertest.Book) []string {
	var lines []string
	for _, j := range bk.Load().Journals { // in memory are a few
		lines = append(lines, fmt.Sprintf("%s %d %s", j.ID, j.Last, j.Hash))
	}
	for _, m := range bk.CP.Meters {
		lines = append(lines, fmt.Sprintf("%+v", *m))
	}
	for _, s := range bk.Sessions {
		if s.State == ledger.SessionEnded { // its ticket has the rest
			s = ledger.Session{ID: s.ID, State: s.State}
		}
		s.FirstSeenAt = 0
		lines = append(lines, fmt.Sprintf("%+v", s))
	}
	for _, t := range bk.Tickets {
		lines = append(lines, fmt.Sprintf("%+v", t))
	}
	slices.Sort(lines)
	return lines
}

// deliver sends the records of the log in any order and any number of times, and
// then repeats them until all are known, as an agent does.
func deliver(t *rapid.T, bk *ledgertest.Book, log []wire.Record) {
	t.Helper()
	applied := map[string]int{}
	one := func(r wire.Record) {
		before := ledger.AckFor(bk.CP, &bk.Env, r.Journal).Seq
		if out, _ := bk.Apply(r); out.Verdict == ledger.Applied {
			applied[fmt.Sprint(r.Journal, "/", r.Seq)]++
		} else if out.Verdict == ledger.Forked {
			t.Fatalf("record %s/%d of a correct charging point was classified as a fork: %s", r.Journal, r.Seq, bk.CP.Fork)
		}
		if after := ledger.AckFor(bk.CP, &bk.Env, r.Journal).Seq; after < before {
			t.Fatalf("position of %s went from %d back to %d", r.Journal, before, after)
		}
		bk.Env.Now += 10
	}
	for range rapid.IntRange(0, 2*len(log)).Draw(t, "deliveries") {
		one(log[rapid.IntRange(0, len(log)-1).Draw(t, "which")])
	}
	if rapid.Bool().Draw(t, "restarted") {
		bk.CP = bk.Load()
	}
	for range log {
		for _, r := range log {
			one(r)
		}
		if len(applied) == len(log) {
			break
		}
	}
	for _, r := range log {
		if n := applied[fmt.Sprint(r.Journal, "/", r.Seq)]; n != 1 {
			t.Fatalf("record %s/%d applied %d times, want once", r.Journal, r.Seq, n)
		}
	}
}

// Any multiset of deliveries, in any order, makes the ledger that applying once
// in order makes; every Wh is on one ticket, in a running session, or shown.
func TestAnyDeliveryMakesTheSameLedger(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := randomPoint(t, false)
		inOrder := priced(b.ID)
		for _, r := range b.Log {
			if out, _ := inOrder.Apply(r); out.Verdict != ledger.Applied {
				t.Fatalf("record %s/%d in order: got %s, want applied", r.Journal, r.Seq, out.Verdict)
			}
		}
		check(t, inOrder)
		mixed := priced(b.ID)
		deliver(t, mixed, b.Log)
		check(t, mixed)
		same(t, mixed, inOrder)
		accounts(t, b, inOrder)
	})
}

// accounts compares the ledger with the truth about energy.
func accounts(t *rapid.T, b *ledgertest.ChargingPoint, bk *ledgertest.Book) {
	t.Helper()
	for id, e := range b.Billed {
		if got := bk.Tickets[ledger.TicketID(id)].Energy; got != e {
			t.Fatalf("ticket of %s: got %d Wh, want %d", id, got, e)
		}
	}
	if len(bk.Tickets) != len(b.Billed) {
		t.Fatalf("got %d tickets, want one for each of %d sessions", len(bk.Tickets), len(b.Billed))
	}
	var billed charge.WattHours
	for _, m := range bk.CP.Meters {
		billed += m.Billed
	}
	if billed != bk.Billed() {
		t.Fatalf("%d Wh are billed by the meters, %d by the tickets", billed, bk.Billed())
	}
}

// A storage that is rolled back or replaced loses no ticket and makes no second
// one, whichever of the lost records arrive later.
func TestRolledBackStorage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := randomPoint(t, true)
		inOrder := priced(b.ID)
		for _, r := range b.Log {
			inOrder.Apply(r)
			inOrder.Env.Now += 10
		}
		p := b.Presence(wire.Position{}, charge.Epoch{})
		mixed := priced(b.ID)
		mixed.ApplyPresence(p)
		deliver(t, mixed, b.Log)
		inOrder.ApplyPresence(p)
		mixed.ApplyPresence(p)
		check(t, inOrder)
		check(t, mixed)
		same(t, mixed, inOrder)
		accounts(t, b, inOrder)
		if inOrder.CP.CurrentJournal != b.Journal {
			t.Fatalf("current journal: got %s, want %s", inOrder.CP.CurrentJournal, b.Journal)
		}
		for id, o := range b.Connectors {
			if got := inOrder.CP.Connectors[id]; got.Session != o.Session || got.Plugged != o.Plugged {
				t.Fatalf("connector %d: got session %q plugged %v, want %q %v", id, got.Session, got.Plugged, o.Session, o.Plugged)
			}
		}
		for _, s := range inOrder.CP.Sessions {
			running := slices.ContainsFunc([]charge.SessionID{b.Connectors[1].Session}, func(id charge.SessionID) bool { return id == s.ID })
			if o := b.Connectors[2]; o != nil {
				running = running || o.Session == s.ID
			}
			if want := ledger.SessionOpen; running && s.State != want || !running && s.State != ledger.SessionOrphaned {
				t.Fatalf("session %s is %s, and running: %v", s.ID, s.State, running)
			}
		}
	})
}

// Records that the agent no longer has become a gap; records that turn up later
// fill it, until nothing is missing.
func TestGapsFill(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := randomPoint(t, false)
		cut := rapid.IntRange(0, len(b.Log)-1).Draw(t, "cut")
		bk := priced(b.ID)
		known := rapid.IntRange(0, cut).Draw(t, "known")
		for _, r := range b.Log[:known] {
			bk.Apply(r)
		}
		b.Storage = b.Storage[cut:]
		bk.ApplyPresence(b.Presence(wire.Position{}, charge.Epoch{}))
		for _, r := range b.Log[cut:] {
			if out, _ := bk.Apply(r); out.Verdict != ledger.Applied {
				t.Fatalf("record %s/%d after the gap: got %s, want applied", r.Journal, r.Seq, out.Verdict)
			}
		}
		check(t, bk)
		if known < cut && len(bk.OpenAlarms(ledger.AlarmGap)) == 0 {
			t.Fatal("a gap without an alarm")
		}
		late := slices.Clone(b.Log[known:cut])
		for len(late) > 0 {
			i := rapid.IntRange(0, len(late)-1).Draw(t, "late")
			bk.Apply(late[i])
			late = slices.Delete(late, i, i+1)
		}
		check(t, bk)
		for _, h := range bk.CP.Gaps {
			whole := h.Journal == b.Log[cut].Journal || known > 0 && h.Journal == b.Log[known-1].Journal
			if whole && len(h.Missing) > 0 {
				t.Fatalf("gap %s still misses %v", h.ID, h.Missing)
			}
		}
	})
}
