package orders_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Central's clock was days ahead while a charging point was cut off, and is right
// again, with or without a restart. No moment of the wrong clock stays.
func TestAClockThatWasAheadLeavesNothing(t *testing.T) {
	t.Parallel()
	const ahead = charge.Time(5 * 24 * 3600 * 1000)
	two := orders.Target{CPID: "CP_2", Connector: 1}
	for _, restarted := range []bool{false, true} {
		w := newWorld(t, 2, 1, orders.Config{PerDriver: 3})
		w.now += ahead
		w.operator(orders.OperatorReserve{Target: one, Username: "ana"}) // confirmed
		w.noCommands["CP_1"], w.noRecords["CP_1"], w.noCommands["CP_2"] = true, true, true
		w.operator(orders.OperatorReserve{Target: two, Username: "ben"}) // not confirmed
		w.operator(orders.OperatorStart{Target: one, Username: "ana"})
		w.operator(orders.OperatorAvailability{Target: two, Available: false})
		w.asks("m-1", "cleo", "CP_2")
		w.now -= ahead
		if restarted {
			w.restart()
		}
		w.step(orders.Tick{Now: w.moment()}) // the writer ticks each minute at least
		w.pass(10_000)
		if _, ok := w.answer("m-1"); !ok {
			t.Errorf("restarted %v: a request of then is not answered", restarted)
		}
		w.pass(16 * 60_000)
		for _, target := range []orders.Target{one, two} {
			if r, ok := w.state.Reserved(target, w.now); ok {
				t.Errorf("restarted %v: %s is reserved until %s, it is %s", restarted, target.CPID, r.Until, w.now)
			}
		}
		for _, c := range w.state.Commands("CP_1") {
			if c.State != orders.Accepted && c.ExpiresAt > w.now+60_000 {
				t.Errorf("restarted %v: command %s %s is open until %s, it is %s", restarted, c.Type, c.State, c.ExpiresAt, w.now)
			}
		}
		w.noCommands["CP_1"], w.noRecords["CP_1"], w.noCommands["CP_2"] = false, false, false
		w.back("CP_1")
		w.back("CP_2")
		w.pass(60_000)
		if w.outlet("CP_2", 1).Available {
			t.Errorf("restarted %v: CP_2 is available, against what was ordered", restarted)
		}
		w.asks("m-2", "dan", "CP_1")
		w.pass(5_000)
		if a := w.mustAnswer("m-2"); !*a.Authorized {
			t.Errorf("restarted %v: 17 minutes later another driver is answered %s", restarted, a.Reason)
		}
	}
}

// A charging point that names a reservation of a date that is days ahead, to a
// Central that does not know it, keeps its connector for the usual time.
func TestAReservationOfTheFutureIsNotAdoptedForDays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	empty := w.backup()
	const ahead = charge.Time(5 * 24 * 3600 * 1000)
	w.now += ahead
	w.operator(orders.OperatorReserve{Target: one, Username: "ana"})
	w.now -= ahead
	w.restore(empty)
	w.pass(1_000)
	if _, ok := w.state.Reserved(one, w.now); !ok {
		t.Fatal("it was not adopted")
	}
	w.pass(charge.Time((16 * time.Minute).Milliseconds()))
	if r, ok := w.state.Reserved(one, w.now); ok {
		t.Fatalf("reserved until %s, it is %s", r.Until, w.now)
	}
	w.asks("m", "ben", "CP_1")
	w.pass(5_000)
	if a := w.mustAnswer("m"); !*a.Authorized {
		t.Errorf("another driver is answered %s; states %v", a.Reason, w.states(wire.CommandCancel))
	}
}
