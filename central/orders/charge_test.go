package orders_test

import (
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// One order reserves a free connector and has the session begin when the driver
// plugs in. It can be repeated: there is one reservation and one session.
func TestOneOrderReservesAndStarts(t *testing.T) {
	t.Parallel()
	for _, ask := range []orders.OperatorCharge{
		{Username: "ana"},
		{Target: orders.Target{CPID: "CP_2"}, Username: "ana"},
		{Target: orders.Target{CPID: "CP_2", Connector: 1}, Username: "ana"},
	} {
		w := newWorld(t, 2, 1, orders.Config{})
		first := w.operator(ask)
		if first.Refused != "" || first.ReservationID == "" || first.SessionID == "" || first.Target.CPID == "" || first.Target.Connector != 1 || ask.CPID != "" && first.Target.CPID != ask.CPID {
			t.Fatalf("%+v: got %+v", ask, first)
		}
		if again := w.operator(ask); again != first {
			t.Errorf("%+v again: got %+v, want %+v", ask, again, first)
		}
		w.pass(30_000)
		w.agents[first.Target.CPID].plug(1, w.now)
		w.pass(5000)
		if got := w.outlet(first.Target.CPID, 1).Session; got != first.SessionID {
			t.Errorf("%+v: session %q runs, want %q", ask, got, first.SessionID)
		}
		if r, s := len(w.ofType(wire.CommandReserve)), len(w.ofType(wire.CommandStart)); r != 1 || s != 1 {
			t.Errorf("%+v: %d RESERVE and %d START, want one of each", ask, r, s)
		}
	}
}

// A driver charges by the reservation that it has.
func TestAChargeUsesTheReservation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, orders.Config{})
	w.asks("m-1", "ana", "CP_2")
	held, _ := w.state.Reserved(orders.Target{CPID: "CP_2", Connector: 1}, w.now)
	got := w.operator(orders.OperatorCharge{Username: "ana"})
	if held.ID == "" || got.ReservationID != held.ID || got.Target.CPID != "CP_2" || got.SessionID == "" {
		t.Fatalf("got %+v, want the reservation %+v", got, held)
	}
}

// If the charging point refuses the reservation, or its time passes without a plug,
// nothing of the order is left.
func TestAChargeThatDoesNotBeginEnds(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(w *world){
		"refused":       func(w *world) { w.agents["CP_1"].refuse = "faulted" },
		"never plugged": func(*world) {},
		"it restarts":   func(w *world) { w.slow["CP_1"] = 2000 },
	} {
		w := newWorld(t, 1, 1, orders.Config{})
		prepare(w)
		if r := w.operator(orders.OperatorCharge{Username: "ana"}); r.Refused != "" {
			t.Fatalf("%s: %+v", name, r)
		}
		if name == "it restarts" {
			w.reboot("CP_1")
		}
		w.pass(16 * 60_000)
		if left := w.state.Desired("CP_1"); len(left) != 0 {
			t.Errorf("%s: still desired: %+v", name, left)
		}
		if got := w.events(wire.CentralReservationEnded, "ana"); len(got) != 1 {
			t.Errorf("%s: the driver got %+v, want the end of the reservation", name, got)
		}
		w.agents["CP_1"].refuse = ""
		w.live["CP_1"] = ledger.Online
		w.agents["CP_1"].plug(1, w.now)
		w.pass(5000)
		if s := w.outlet("CP_1", 1).Session; s != charge.SessionID("") {
			t.Errorf("%s: session %s began after the end", name, s)
		}
	}
}

// A connector whose RESERVE was not answered is tried last for a while.
func TestASilentConnectorIsChosenLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, orders.Config{})
	w.noCommands["CP_1"] = true // it was idle longest
	first := w.operator(orders.OperatorCharge{Username: "ana"})
	w.pass(6000)
	w.operator(orders.OperatorCancel{ReservationID: first.ReservationID})
	second := w.operator(orders.OperatorCharge{Username: "ana"})
	if first.Target.CPID != "CP_1" || second.Target.CPID != "CP_2" {
		t.Errorf("chosen: %+v, then %+v; want CP_1, then CP_2", first, second)
	}
}
