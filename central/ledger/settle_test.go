package ledger_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// At whatever moment an operator settles the sessions of a silent charging point,
// its tickets and corrections add up to what the records state, and a rebuild that
// knows the settlements makes the same ledger, at whatever point it applies them.
func TestSettledAtAnyMoment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := randomPoint(t, false)
		at := rapid.IntRange(0, len(b.Log)).Draw(t, "settled after")
		bk := ledgertest.NewBook(b.ID, morning)
		for _, r := range b.Log[:at] {
			bk.Apply(r)
		}
		settled := map[charge.SessionID]ledger.Ticket{}
		for _, id := range slices.Sorted(maps.Keys(bk.CP.Sessions)) {
			changes, err := ledger.Settle(bk.CP, &bk.Env, id, true)
			if err != nil {
				t.Fatal(err)
			}
			bk.Save(changes)
			settled[id] = bk.Tickets[ledger.TicketID(id)]
		}
		if rapid.Bool().Draw(t, "restarted") {
			bk.CP = bk.Load()
		}
		for _, r := range b.Log[at:] {
			if out, _ := bk.Apply(r); out.Verdict != ledger.Applied {
				t.Fatalf("record %s/%d after the settlement: got %s, want applied", r.Journal, r.Seq, out.Verdict)
			}
		}
		check(t, bk)
		holds(t, b, bk)
		again := ledgertest.NewBook(b.ID, morning)
		early := rapid.Bool().Draw(t, "rebuilt early")
		for _, r := range b.Log {
			if _, stop := payload(r).(*wire.ChargingStopped); stop {
				resettle(t, again, settled, r.SessionID)
			}
			again.Apply(r)
			if early {
				resettle(t, again, settled, r.SessionID)
			}
		}
		for id := range settled {
			resettle(t, again, settled, id)
		}
		same(t, again, bk)
		if again.Hash() != bk.Hash() {
			t.Fatal("a rebuild with the settlements has another hash")
		}
	})
}

// A rebuild does not know which of a session's records came before its
// settlement. A step of the register that the settlement bills is counted by the
// meter in either order.
func TestAStepThatASettlementBills(t *testing.T) {
	t.Parallel()
	b := ledgertest.NewChargingPoint("CP", 1, morning)
	b.Connectors[1].Register = 0
	boot := b.Boot()
	b.Grant(1, "s1", "ann", "")
	b.Begin(1)
	b.Flow(1, 7_000_000)
	b.Sample(1)
	log := b.Log[1:]
	bk := ledgertest.NewBook("CP", morning)
	bk.Apply(boot)
	for _, r := range log {
		bk.Apply(r)
	}
	changes, err := ledger.Settle(bk.CP, &bk.Env, "s1", true)
	if err != nil {
		t.Fatal(err)
	}
	bk.Save(changes)
	ticket := bk.Tickets[ledger.TicketID("s1")]
	if ticket.Energy != 7_000_000 || bk.CP.Meters[1].Unaccounted() != 0 {
		t.Fatalf("settled with %d Wh, %d Wh unaccounted, want 7000000 and 0", ticket.Energy, bk.CP.Meters[1].Unaccounted())
	}
	for early := 1; early < len(log); early++ {
		again := ledgertest.NewBook("CP", morning)
		again.Apply(boot)
		for i, r := range log {
			if i == early {
				changes, err := ledger.Resettle(again.CP, &again.Env, ticket)
				if err != nil {
					t.Fatal(err)
				}
				again.Save(changes)
			}
			again.Apply(r)
		}
		if got, want := *again.CP.Meters[1], *bk.CP.Meters[1]; got.Unaccounted() != 0 || got.Last != want.Last || got.Billed != want.Billed {
			t.Errorf("settled before record %d: the account is %+v, want %+v", early, got, want)
		}
	}
}

// A session is settled before its start is known. Its correction begins at the
// register of the start, so that no other ticket seems to hold the same energy.
func TestACorrectionHasTheRegistersOfItsEnergy(t *testing.T) {
	t.Parallel()
	b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
	b.Journal = "CP-j1"
	bk.Apply(b.Write(0, "", &wire.Registered{Agent: "1.0", Connectors: []wire.ConnectorState{
		{Connector: 1, Status: charge.StatusCharging, SessionID: "s1", Plugged: true, Available: true, Rated: 22_000},
	}}))
	changes, err := ledger.Settle(bk.CP, &bk.Env, "s1", true)
	if err != nil {
		t.Fatal(err)
	}
	bk.Save(changes)
	bk.Apply(b.Write(1, "s1", &wire.ChargingStopped{Reason: charge.StopLocal, Start: 1003, Register: 2622}))
	got := bk.Tickets[ledger.CorrectionID("s1")]
	if got.Start != 1003 || got.Stop != 2622 || got.Energy != 1619 {
		t.Errorf("got %d Wh between the registers %d and %d, want 1619 between 1003 and 2622", got.Energy, got.Start, got.Stop)
	}
}

func payload(r wire.Record) wire.Payload {
	p, err := r.Payload()
	if err != nil {
		return nil
	}
	return p
}

func resettle(t *rapid.T, bk *ledgertest.Book, settled map[charge.SessionID]ledger.Ticket, id charge.SessionID) {
	t.Helper()
	ticket, ok := settled[id]
	if !ok || bk.CP.Sessions[id] == nil {
		return
	}
	changes, err := ledger.Resettle(bk.CP, &bk.Env, ticket)
	if err != nil {
		t.Fatal(err)
	}
	bk.Save(changes)
}

// holds compares the tickets of each session, corrections included, with what
// the charging point metered.
func holds(t *rapid.T, b *ledgertest.ChargingPoint, bk *ledgertest.Book) {
	t.Helper()
	energy, cost := map[charge.SessionID]charge.WattHours{}, map[charge.SessionID]money.Minor{}
	for _, x := range bk.Tickets {
		if x.Stop-x.Start != x.Energy {
			t.Fatalf("ticket %s: %d Wh between the registers %d and %d", x.ID, x.Energy, x.Start, x.Stop)
		}
		energy[x.SessionID] += x.Energy
		cost[x.SessionID] += x.Cost.Minor
	}
	for id, want := range b.Billed {
		if energy[id] != want {
			t.Fatalf("tickets of %s: got %d Wh in all, want %d", id, energy[id], want)
		}
		s := bk.Sessions[id]
		if whole := ledger.MakeTicket(&s, bk.Env.Default); cost[id] != whole.Cost.Minor {
			t.Fatalf("tickets of %s: got %d cents in all, want %s", id, cost[id], whole.Cost)
		}
	}
}

// A rebuild settles a session after the record that was applied last before the
// settlement, not before it; after all records also if that record is gone.
func TestARebuildSettlesWhereTheOperatorDid(t *testing.T) {
	t.Parallel()
	b := ledgertest.NewChargingPoint("CP", 1, morning)
	bk := ledgertest.NewBook("CP", morning)
	b.Boot()
	b.Grant(1, "s1", "ann", "")
	for _, r := range b.Log {
		bk.Apply(r)
	}
	changes, err := ledger.Settle(bk.CP, &bk.Env, "s1", true)
	if err != nil {
		t.Fatal(err)
	}
	bk.Save(changes)
	ticket := bk.Tickets[ledger.TicketID("s1")]
	last := b.Log[len(b.Log)-1]
	if want := (wire.Position{Journal: last.Journal, Seq: last.Seq}); ticket.SettledAfter != want {
		t.Fatalf("settled after %v, want %v", ticket.SettledAfter, want)
	}
	settled := func(charge.SessionID) (ledger.Ticket, bool) { return ticket, true }

	again := ledgertest.NewBook("CP", morning)
	for _, r := range b.Log {
		again.Apply(r)
	}
	ticket.SettledAfter.Seq++
	if changes := ledger.ResettleAll(again.CP, &again.Env, settled); len(changes) > 0 {
		t.Errorf("settled before the record that the settlement followed: %v", changes)
	}
	if changes := ledger.ResettleRest(again.CP, &again.Env, settled); len(changes) == 0 {
		t.Error("not settled after all records")
	}
}
