package orders_test

import (
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// gone cuts CP_1 off for good.
func (w *world) gone() {
	w.noCommands["CP_1"], w.noRecords["CP_1"], w.live["CP_1"] = true, true, ledger.Offline
}

// openCommands counts the commands that may still have an effect.
func (w *world) openCommands() (n int) {
	for _, c := range w.commands {
		if c.State.Open() {
			n++
		}
	}
	return n
}

// Each row of the table in docs/OPERATIONS.md about how states end without the
// charging point: the state is reached, nothing of the charging point is received
// any more, and the state ends, by itself or by an operator.
func TestEveryStateEndsWithoutTheChargingPoint(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		do   func(t *testing.T, w *world) (lasts func() bool, end func())
	}{
		{"a reservation that is asked for ends at its expiry", func(_ *testing.T, w *world) (func() bool, func()) {
			w.noCommands["CP_1"] = true
			id := w.operator(orders.OperatorReserve{Target: one, Username: "ana"}).ReservationID
			w.gone()
			return func() bool { r := w.reservations[id]; return r.Active(w.now) }, func() { w.pass(16 * 60_000) }
		}},
		{"a reservation is cancelled", func(_ *testing.T, w *world) (func() bool, func()) {
			id := w.operator(orders.OperatorReserve{Target: one, Username: "ana"}).ReservationID
			w.pass(1000)
			w.gone()
			return func() bool { r := w.reservations[id]; return r.Active(w.now) }, func() { w.operator(orders.OperatorCancel{ReservationID: id}) }
		}},
		{"a reservation that is over and may still be held is forgotten", func(_ *testing.T, w *world) (func() bool, func()) {
			id := w.operator(orders.OperatorReserve{Target: one, Username: "ana"}).ReservationID
			w.pass(1000)
			w.gone()
			w.operator(orders.OperatorCancel{ReservationID: id})
			return func() bool { return !w.reservations[id].Released }, func() { w.pass(17 * 60_000) }
		}},
		{"a session to start that did not begin ends by itself", func(_ *testing.T, w *world) (func() bool, func()) {
			w.noCommands["CP_1"] = true
			w.operator(orders.OperatorStart{Target: one, Username: "ana"})
			w.gone()
			return func() bool { return w.open(orders.DesiredStart) > 0 }, func() { w.pass(3 * 60_000) }
		}},
		{"a session to start is stopped", func(_ *testing.T, w *world) (func() bool, func()) {
			id := w.operator(orders.OperatorStart{Target: one, Username: "ana"}).SessionID
			w.pass(1000)
			w.gone()
			return func() bool { return w.open(orders.DesiredStart) > 0 }, func() { w.operator(orders.OperatorStop{SessionID: id}) }
		}},
		{"a session to stop that did not begin ends by itself", func(_ *testing.T, w *world) (func() bool, func()) {
			id := w.operator(orders.OperatorStart{Target: one, Username: "ana"}).SessionID
			w.pass(1000)
			w.gone()
			w.operator(orders.OperatorStop{SessionID: id})
			return func() bool { return w.open(orders.DesiredStop) > 0 }, func() { w.pass(11 * 60_000) }
		}},
		{"a running session that is to stop is settled", func(t *testing.T, w *world) (func() bool, func()) {
			t.Helper()
			id := w.operator(orders.OperatorStart{Target: one, Username: "ana"}).SessionID
			w.agents["CP_1"].plug(1, w.now)
			w.pass(2000)
			w.gone()
			w.operator(orders.OperatorStop{SessionID: id})
			w.pass(3600_000)
			return func() bool {
				s, _ := w.Session(id)
				return w.open(orders.DesiredStop) > 0 || s.State == ledger.SessionOpen || w.books["CP_1"].CP.Meters[1].Running > 0
			}, func() { w.settle(id) }
		}},
		{"a command that was sent expires", func(_ *testing.T, w *world) (func() bool, func()) {
			w.noCommands["CP_1"] = true
			w.operator(orders.OperatorSimulate{Target: one, Order: wire.Simulate{Action: wire.SimulatePlug}})
			w.gone()
			return func() bool { return w.openCommands() > 0 }, func() { w.pass(61_000) }
		}},
		{"a command that was accepted expires", func(_ *testing.T, w *world) (func() bool, func()) {
			w.operator(orders.OperatorStart{Target: one, Username: "ana"})
			w.pass(1000)
			w.gone()
			return func() bool { return w.openCommands() > 0 }, func() { w.pass(26 * 60_000) }
		}},
		{"an availability that is wanted is taken back", func(_ *testing.T, w *world) (func() bool, func()) {
			w.gone()
			w.operator(orders.OperatorAvailability{Target: one, Available: false})
			return func() bool {
				return w.state.WaitingOf(one, w.books["CP_1"].CP.Connectors[1]) != (orders.Waiting{})
			}, func() { w.operator(orders.OperatorAvailability{Target: one, Available: true}) }
		}},
		{"an admission is withdrawn, with its reservations", func(_ *testing.T, w *world) (func() bool, func()) {
			id := w.operator(orders.OperatorReserve{Target: one, Username: "ana"}).ReservationID
			w.pass(1000)
			w.gone()
			return func() bool { r := w.reservations[id]; return r.Active(w.now) || w.books["CP_1"].CP.Admitted }, func() {
				w.books["CP_1"].Save(ledger.Admit(w.books["CP_1"].CP, false))
				w.operator(orders.OperatorAdmitted{CPID: "CP_1"})
			}
		}},
		{"a quarantine is released", func(_ *testing.T, w *world) (func() bool, func()) {
			w.gone()
			w.books["CP_1"].CP.ForkedAt = w.now
			return w.books["CP_1"].CP.Forked, func() { w.books["CP_1"].Save(ledger.Release(w.books["CP_1"].CP)) }
		}},
		{"the alarm of a silent session ends with its settlement", func(_ *testing.T, w *world) (func() bool, func()) {
			id := w.operator(orders.OperatorStart{Target: one, Username: "ana"}).SessionID
			w.agents["CP_1"].plug(1, w.now)
			w.pass(2000)
			w.gone()
			b := w.books["CP_1"]
			b.Save(ledger.RaiseSilence(b.CP, &b.Env, w.now))
			return func() bool { return len(b.OpenAlarms(ledger.AlarmSilent)) > 0 || b.CP.SilentSince != 0 }, func() { w.settle(id) }
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 1, orders.Config{})
			lasts, end := row.do(t, w)
			if !lasts() {
				t.Fatal("the state was not reached")
			}
			end()
			if lasts() {
				t.Error("the state did not end")
			}
		})
	}
}

// What a connector waits for is shown, and since when.
func TestWhatAConnectorWaitsFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	waits := func(what orders.WaitingFor, since charge.Time) {
		t.Helper()
		if got := w.state.WaitingOf(one, w.books["CP_1"].CP.Connectors[1]); got != (orders.Waiting{For: what, Since: since}) {
			t.Errorf("waits: got %+v, want %s since %s", got, what, since)
		}
	}
	waits("", 0)
	w.noCommands["CP_1"] = true
	at := w.now
	id := w.operator(orders.OperatorStart{Target: one, Username: "ana"}).SessionID
	waits(orders.WaitsForStart, at)
	w.pass(1000)
	at = w.now
	w.operator(orders.OperatorStop{SessionID: id})
	waits(orders.WaitsForStop, at)
	w.noCommands["CP_1"] = false
	w.pass(10_000)
	waits("", 0)
	w.noCommands["CP_1"] = true
	at = w.now
	r := w.operator(orders.OperatorReserve{Target: one, Username: "ana"}).ReservationID
	waits(orders.WaitsForReserve, at)
	w.pass(500)
	at = w.now
	w.operator(orders.OperatorCancel{ReservationID: r})
	waits(orders.WaitsForCancel, at)
}
