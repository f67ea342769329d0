package orders_test

import (
	"testing"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// answered lets a driver ask for CP_1 and returns the answer.
func (w *world) answered(message string, driver charge.Username) wire.CentralEvent {
	w.t.Helper()
	w.asks(message, driver, "CP_1")
	for range 49 {
		if e, ok := w.answer(message); ok {
			return e
		}
		w.pass(100)
	}
	return w.mustAnswer(message)
}

func yes(e wire.CentralEvent) bool { return e.Authorized != nil && *e.Authorized }

// A reservation has expired, and the charging point, which measures its time from
// the arrival of RESERVE, holds it for a moment longer: a driver that asks in that
// moment gets a new one.
func TestAskingAtTheMomentOfExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.slow["CP_1"] = 300
	first := w.answered("m1", "ana")
	if !yes(first) {
		t.Fatalf("not reserved: %+v", first)
	}
	until := first.ExpiresAt.Time()
	w.pass(until - w.now)
	w.slow["CP_1"] = 0
	if h := w.books["CP_1"].CP.Connectors[1].Held; h.ID != first.ReservationID {
		t.Fatalf("the charging point does not hold it any more: %+v", h)
	}
	if again := w.answered("m2", "ana"); !yes(again) || again.ReservationID == first.ReservationID {
		t.Errorf("asked again at once: got %+v, want a new reservation", again)
	}
}

// A charging point received neither a RESERVE nor the CANCEL after it. The next
// driver is not refused for that, and the lost RESERVE never has an effect.
func TestALostReserveBlocksNoDriver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.noCommands["CP_1"] = true
	if e := w.answered("m1", "ana"); yes(e) || e.Reason != wire.RefusedUnreachable {
		t.Fatalf("no charging point answered: got %+v, want %s", e, wire.RefusedUnreachable)
	}
	w.noCommands["CP_1"] = false
	second := w.answered("m2", "ben")
	if !yes(second) {
		t.Fatalf("it answers again: got %+v, want a reservation", second)
	}
	w.pass(120_000)
	if h := w.books["CP_1"].CP.Connectors[1].Held; h.ID != second.ReservationID {
		t.Errorf("held after all commands ended: %+v, want that of ben", h)
	}
	for _, r := range w.reservations {
		if r.Username == "ana" && !r.Released {
			t.Errorf("reservation of ana is still looked after: %+v", r)
		}
	}
}

// The same, but RESERVE arrives late: the charging point holds the reservation of
// a driver that was refused, and the next RESERVE replaces it. There are never two.
func TestALateReserveIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.noRecords["CP_1"] = true // it obeys, and its records are lost
	w.asks("m1", "ana", "CP_1")
	w.sync()
	w.noCommands["CP_1"] = true // CANCEL is lost
	if e := w.answered("m1", "ana"); yes(e) {
		t.Fatalf("no charging point answered: got %+v", e)
	}
	if h := w.outlet("CP_1", 1).Held; h == nil || h.Username != "ana" {
		t.Fatalf("the charging point holds %+v, want that of ana", h)
	}
	w.noRecords["CP_1"], w.noCommands["CP_1"] = false, false
	if e := w.answered("m2", "ben"); !yes(e) {
		t.Fatalf("it answers again: got %+v, want a reservation", e)
	}
	if h := w.outlet("CP_1", 1).Held; h == nil || h.Username != "ben" {
		t.Errorf("the charging point holds %+v, want that of ben", h)
	}
}

// A charging point that is online and does not respond is not tried for ever.
func TestOneThatNeverAnswersIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.noCommands["CP_1"] = true
	busy := false
	for i := range 12 {
		e := w.answered("m"+string(rune('a'+i)), "ana")
		busy = busy || e.Reason == wire.RefusedBusy
		if yes(e) {
			t.Fatalf("no charging point answers: got %+v", e)
		}
	}
	if !busy {
		t.Error("asked twelve times without an answer, and asked on")
	}
	for _, c := range w.sent {
		if o, err := c.Order(); err == nil {
			if r, ok := o.(*wire.Reserve); ok && len(r.Replaces) > wire.MaxReplaces {
				t.Errorf("RESERVE replaces %d, at most %d fit", len(r.Replaces), wire.MaxReplaces)
			}
		}
	}
}
