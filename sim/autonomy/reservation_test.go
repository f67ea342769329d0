package autonomy_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// TestReservationEndsWithoutAClock: without a wall clock and without a connection a
// reservation ends by the monotonic clock of its boot, and after a power cut within
// the time that the agent waits for a clock.
func TestReservationEndsWithoutAClock(t *testing.T) {
	t.Parallel()
	const held = 15 * time.Minute
	reserved := func(s *site) bool { return s.run.core.View().Connectors[0].Reservation.ID != "" }
	for _, cut := range []time.Duration{0, time.Minute, held - time.Second} {
		s := newSite(t, 1)
		s.clock = charge.ClockUnset
		s.start()
		s.command(1, &wire.Reserve{ReservationID: charge.ReservationID(s.newID()), Username: "ann", Until: s.wall().Add(held)})
		if !reserved(s) {
			t.Fatal("it is not reserved")
		}
		ends := s.at + held
		if cut > 0 {
			s.pass(cut, time.Second)
			s.settleCut(true)
			if s.at += time.Hour; !s.start() || !reserved(s) {
				t.Fatal("the reservation did not survive the power cut")
			}
			ends = s.at + connector.ClockWithin
		}
		s.pass(ends-s.at-10*time.Second, time.Second)
		if early := !reserved(s); early {
			t.Errorf("cut after %s: the reservation has ended early", cut)
		}
		s.pass(12*time.Second, time.Second)
		if reserved(s) {
			t.Errorf("cut after %s: the reservation is still there", cut)
		}
	}
}
