package ledger_test

import (
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
)

// The storage of an agent is rolled back into a session that has its ticket, and
// the agent ends the session again. The ticket stays as it is, and the connector
// is free afterwards.
func TestBilledSessionEndsAgain(t *testing.T) {
	t.Parallel()
	b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
	b.Boot()
	b.Plug(1)
	b.Grant(1, "s1", "anna", "")
	b.Begin(1)
	inSession := len(b.Storage)
	b.Flow(1, 500)
	b.Unplug(1)
	for _, r := range b.Log {
		bk.Apply(r)
	}
	before := bk.Tickets["t.s1"]
	b.Flow(1, 30) // by what the agent did since
	b.Lose(len(b.Storage) - inSession)
	o := b.Connectors[1]
	o.Session, o.Plugged = "s1", true // as its storage has it
	bk.Apply(b.Boot())
	if c := bk.CP.Connectors[1]; c.Session != "s1" {
		t.Fatalf("after the boot the connector is in session %q, want s1, which the boot reports", c.Session)
	}
	b.Stop(1, charge.StopPowerLoss)
	bk.Apply(b.Storage[len(b.Storage)-1])
	if c := bk.CP.Connectors[1]; c.Session != "" || !c.Finishing {
		t.Errorf("after the stop: %+v, want no session and a vehicle that is still plugged in", *c)
	}
	if len(bk.Tickets) != 1 || bk.Tickets["t.s1"] != before || bk.Tickets["t.s1"].Energy != 500 {
		t.Errorf("tickets: got %+v, want that of 500 Wh unchanged", bk.Tickets)
	}
	if len(bk.OpenAlarms(ledger.AlarmTicket)) != 1 || bk.CP.Meters[1].Unaccounted() != 30 {
		t.Errorf("alarms %+v, %d Wh unaccounted; want one of the ticket and 30 Wh", bk.OpenAlarms(ledger.AlarmTicket), bk.CP.Meters[1].Unaccounted())
	}
}
