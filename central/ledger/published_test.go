package ledger_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// bill is a ticket as far as it is published.
func bill(t ledger.Ticket) ledger.Ticket {
	p := ledger.Ticket{
		ID: t.ID, SessionID: t.SessionID, CPID: t.CPID, Connector: t.Connector, Username: t.Username, Energy: t.Energy, Cost: t.Cost,
		DurationSec: t.DurationSec, Reason: t.Reason, Corrects: t.Corrects,
	}
	if t.SettledAt != 0 {
		p.SettledAt = morning + 12_345
	}
	return p
}

// readBack lets a restored book read the tickets that another one published.
func readBack(bk, of *ledgertest.Book) {
	for _, id := range slices.Sorted(maps.Keys(of.Tickets)) {
		bk.Save(ledger.ReadPublished(&bk.Env, bill(of.Tickets[id])))
	}
}

// sessionAt500 is a charging point whose session s1 has metered 500 Wh, with the
// records of it.
func sessionAt500() *ledgertest.ChargingPoint {
	b := ledgertest.NewChargingPoint("CP", 1, morning)
	b.Boot()
	b.Plug(1)
	b.Grant(1, "s1", "anna", "")
	b.Begin(1)
	b.Flow(1, 500)
	return b
}

// An agent's storage goes back into a session that has its ticket, and so does
// Central's database; the records of the end are gone from Kafka. The session ends
// once more. The ticket that its driver got stays, and what was metered since is on a
// correction.
func TestAPublishedTicketStays(t *testing.T) {
	t.Parallel()
	b, bk := sessionAt500(), ledgertest.NewBook("CP", morning)
	for _, r := range b.Log {
		bk.Apply(r)
	}
	restored, inSession := bk.Copy(), len(b.Storage)
	b.Unplug(1)
	for _, r := range b.Log[inSession:] {
		bk.Apply(r)
	}
	before := bk.Tickets["t.s1"]
	readBack(restored, bk)
	if len(restored.Published) != 1 {
		t.Fatalf("published: got %+v, want the ticket of s1", restored.Published)
	}
	b.Flow(1, 30) // by what the agent did since
	b.Lose(len(b.Storage) - inSession)
	o := b.Connectors[1]
	o.Session, o.Plugged = "s1", true // as its storage has it
	restored.Apply(b.Boot())
	b.Stop(1, charge.StopPowerLoss)
	restored.Apply(b.Storage[len(b.Storage)-1])
	first, second := restored.Tickets["t.s1"], restored.Tickets["t.s1.1"]
	if bill(first) != bill(before) || !first.Adopted || first.Stop-first.Start != 500 {
		t.Errorf("the ticket: got %+v, want that of before: %+v", first, before)
	}
	if second.Energy != 30 || second.Cost.Minor != 1 || second.Corrects != "t.s1" || second.Start != first.Stop {
		t.Errorf("its correction: got %+v, want 30 Wh for a cent", second)
	}
	if m := restored.CP.Meters[1]; len(restored.Tickets) != 2 || m.Billed != 530 || m.Unaccounted() != 0 {
		t.Errorf("%d tickets, %d Wh billed, %d unaccounted; want 2, 530, 0", len(restored.Tickets), m.Billed, m.Unaccounted())
	}
	if len(restored.OpenAlarms(ledger.AlarmTicket)) != 1 || len(restored.Violations) != 0 || len(restored.Published) != 0 {
		t.Errorf("alarms %+v, violations %v, still published %v; want one alarm", restored.OpenAlarms(ledger.AlarmTicket), restored.Violations, restored.Published)
	}
}

// The beginning of a session is in a gap of a restored Central. Its ticket has the
// duration and the fees that its driver got, and no correction credits them.
func TestAPublishedTicketIsCompleterThanItsRecords(t *testing.T) {
	t.Parallel()
	b, bk := sessionAt500(), priced("CP")
	for i := range b.Log {
		bk.Apply(b.Log[i])
	}
	b.Now += 600_000
	b.Stop(1, charge.StopRemote)
	stop := b.Log[len(b.Log)-1]
	bk.Apply(stop)
	want := bk.Tickets["t.s1"]
	if want.DurationSec < 600 {
		t.Fatalf("the session lasted %d s, want more than 600", want.DurationSec)
	}
	restored := priced("CP")
	readBack(restored, bk)
	b.Storage = b.Storage[len(b.Storage)-1:]
	restored.ApplyPresence(b.Presence(wire.Position{}, restored.Env.Central))
	if out, _ := restored.Apply(stop); out.Verdict != ledger.Applied {
		t.Fatalf("the stop behind the gap: got %s, want applied", out.Verdict)
	}
	got := restored.Tickets["t.s1"]
	if bill(got) != bill(want) || len(restored.Tickets) != 1 {
		t.Errorf("got %d tickets, %+v; want only %+v", len(restored.Tickets), got, want)
	}
	if n := len(restored.OpenAlarms(ledger.AlarmTicket)); n != 0 {
		t.Errorf("%d alarms about the ticket, want none: it is right", n)
	}
}

// Whatever a Central published after a backup was made, the restored one ends with the
// same bills once it has the same records. If nothing was settled its ledger is the
// same, and it publishes nothing again.
func TestARestoredCentralBillsTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := randomPoint(t, false)
		at := rapid.IntRange(0, len(b.Log)).Draw(t, "backup after")
		settledAt := rapid.IntRange(at, len(b.Log)+1).Draw(t, "settled after")
		bk, settled := priced(b.ID), false
		var restored *ledgertest.Book
		for i := range len(b.Log) + 1 {
			if i == at {
				restored = bk.Copy()
				restored.Env.Default = bk.Env.Default
			}
			if i == settledAt {
				for _, id := range slices.Sorted(maps.Keys(bk.CP.Sessions)) {
					changes, err := ledger.Settle(bk.CP, &bk.Env, id, true)
					if err != nil {
						t.Fatal(err)
					}
					bk.Save(changes)
					settled = true
				}
			}
			if i < len(b.Log) {
				bk.Apply(b.Log[i])
			}
		}
		readBack(restored, bk)
		for _, r := range b.Log[at:] {
			_, changes := restored.Apply(r)
			for _, c := range changes {
				if made, ok := c.(ledger.TicketMade); ok && !made.Published {
					t.Fatalf("ticket %s is published again", made.Ticket.ID)
				}
			}
		}
		for _, id := range slices.Sorted(maps.Keys(restored.CP.Sessions)) { // those that are still open
			if !settled {
				break
			}
			changes, err := ledger.Settle(restored.CP, &restored.Env, id, true)
			if err != nil {
				t.Fatal(err)
			}
			restored.Save(changes)
		}
		check(t, restored)
		for id, want := range bk.Tickets {
			if got := restored.Tickets[id]; bill(got).Cost != bill(want).Cost || got.Energy != want.Energy || got.DurationSec != want.DurationSec {
				t.Fatalf("ticket %s: got %+v, want the bill of %+v", id, got, want)
			}
		}
		if len(restored.Tickets) != len(bk.Tickets) && !settled || len(restored.Published) != 0 {
			t.Fatalf("%d tickets, want %d; still published: %v", len(restored.Tickets), len(bk.Tickets), restored.Published)
		}
		if !settled && restored.Hash() != bk.Hash() {
			t.Fatal("the restored ledger has another hash")
		}
	})
}

// Two Centrals that both made a ticket of a session cannot change it: an alarm names
// the difference.
func TestAnotherTicketOfTheSameIDIsShown(t *testing.T) {
	t.Parallel()
	b, bk := sessionAt500(), ledgertest.NewBook("CP", morning)
	b.Unplug(1)
	for _, r := range b.Log {
		bk.Apply(r)
	}
	readBack(bk, bk)
	if len(bk.Published) != 0 || len(bk.OpenAlarms(ledger.AlarmTicket)) != 0 {
		t.Fatalf("its own ticket: %+v, %+v, want nothing", bk.Published, bk.OpenAlarms(ledger.AlarmTicket))
	}
	other := bill(bk.Tickets["t.s1"])
	other.Energy = 7
	bk.Save(ledger.ReadPublished(&bk.Env, other))
	if a := bk.OpenAlarms(ledger.AlarmTicket); len(bk.Published) != 0 || len(a) != 1 || bk.Tickets["t.s1"].Energy != 500 {
		t.Errorf("alarms %+v, want one", a)
	}
}
