package orders_test

import (
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Two devices share an id, and the one without the session connected last, so it is
// shown. The driver's session runs all the same, and stops when it is asked to.
func TestAStopWhileASecondDeviceIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.asks("1", "ana", "CP_1")
	w.agents["CP_1"].plug(1, w.now)
	w.sync()
	w.request("2", wire.DriverStarted, "ana", "CP_1", w.now)
	w.pass(1000)
	session := w.outlet("CP_1", 1).Session
	if session == "" {
		t.Fatal("no session began")
	}
	bk, first := w.books["CP_1"], w.agents["CP_1"].cp
	second := ledgertest.NewChargingPoint("CP_1", 1, w.now)
	second.Boots = 1000 // its journals have other names
	bk.Apply(second.Boot())
	w.pass(1000)
	first.Now = w.now
	first.Sample(1)
	w.sync()
	bk.ApplyPresence(second.Presence(wire.Position{}, charge.Epoch{}))
	if s, ok := w.Session(session); !ok || s.State != ledger.SessionOpen || bk.CP.CurrentJournal != second.Journal {
		t.Fatalf("session %+v, shown is %s", s, bk.CP.CurrentJournal)
	}
	w.request("3", wire.DriverStop, "ana", "CP_1", w.now)
	if a := w.mustAnswer("3"); a.Reason != "stopping" || a.SessionID != session {
		t.Errorf("the stop is answered %+v, want stopping of %s", a, session)
	}
	bk.ApplyPresence(first.Presence(wire.Position{Journal: first.Journal, Seq: 1}, charge.Epoch{}))
	w.back("CP_1")
	w.pass(2000)
	if s, _ := w.Session(session); s.State != ledger.SessionEnded {
		t.Errorf("once the first device is connected again its session is %s, want it ended", s.State)
	}
}
