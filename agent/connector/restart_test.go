package connector_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// TestRestartsEndAReservation: an agent without a network that is restarted again and
// again before its clock is set keeps a reservation for a bounded time, although no boot
// lasts long enough to end it. A synced clock ends it in time, and not earlier.
func TestRestartsEndAReservation(t *testing.T) {
	const held = 15 * time.Minute
	for _, c := range []struct {
		name        string
		clock       charge.ClockQuality
		back        bool // each boot begins with the same wall clock, the last one on disk
		boot        time.Duration
		least, most time.Duration // the time for which it is kept
	}{
		{"no clock", charge.ClockUnset, true, 30 * time.Second, held - time.Minute, held + time.Minute},
		{"no clock, short boots", charge.ClockUnset, true, 5 * time.Second, held / 6, held},
		{"no clock, the longest boots", charge.ClockUnset, true, 2*time.Minute - time.Second, held, 4*held + 4*time.Minute},
		{"a clock that is set back at each boot", charge.ClockSet, true, 30 * time.Second, held - time.Minute, held + time.Minute},
		{"a synced clock", charge.ClockSynced, false, 30 * time.Second, held, held + time.Minute},
		{"a synced clock, short boots", charge.ClockSynced, false, 5 * time.Second, held, held + time.Minute},
	} {
		p := newPlayer(connector.Policy{})
		p.clock = c.clock
		p.firstBoot(t)
		p.step(p.order(time.Second, &wire.Reserve{ReservationID: "r", Username: "u", Until: p.now().Wall.Add(held)}))
		if p.saved.Reservation.ID == "" {
			t.Fatalf("%s: not reserved", c.name)
		}
		kept := time.Duration(0)
		for p.saved.Reservation.ID != "" && kept < 100*held {
			p.at = c.boot
			p.step(connector.TimerFired{Now: p.now()})
			kept += c.boot
			if p.saved.Reservation.ID == "" {
				break
			}
			p.reboots(kept, c.back)
		}
		if kept < c.least || kept > c.most {
			t.Errorf("%s: kept for %s, want %s to %s", c.name, kept, c.least, c.most)
		}
	}
}

// firstBoot boots and registers.
func (p *player) firstBoot(t *testing.T) {
	t.Helper()
	for _, w := range []string{"boot", "registered"} {
		e, err := p.event([]string{w})
		if err != nil {
			t.Fatal(err)
		}
		p.step(e)
	}
}

// reboots starts a new boot, which writes its first record and registers. Its wall clock
// is that of the first boot, unless it went on for elapsed.
func (p *player) reboots(elapsed time.Duration, back bool) {
	e, _ := p.reboot(true).(connector.Booted)
	p.at = time.Millisecond
	p.jump = -time.Duration(p.journal-1) * time.Hour // of the hour that reboot adds
	if !back {
		p.jump += elapsed
	}
	e.Now = p.now()
	p.step(e)
	p.write(connector.Record{Payload: &wire.PluggedIn{}}) // in place of cp_registered, which it has no values for
	p.step(connector.Registered{Now: p.now()})
}

// TestAReservationBeyondAllBounds: an end that is further ahead than a duration can be is
// not over; it counts as a year, before and after a restart.
func TestAReservationBeyondAllBounds(t *testing.T) {
	p := newPlayer(connector.Policy{})
	p.firstBoot(t)
	p.step(p.order(time.Second, &wire.Reserve{ReservationID: "r", Username: "u", Until: charge.MaxTime}))
	if r := p.s.Reservation; r.ID != "r" || r.EndsAt != connector.ReserveAtMost {
		t.Fatalf("reserved %q until %s, want r for %s", r.ID, r.EndsAt, connector.ReserveAtMost)
	}
	p.reboots(time.Second, false)
	if r := p.s.Reservation; r.ID != "r" || r.EndsAt < connector.ReserveAtMost-time.Minute {
		t.Errorf("after a restart: reserved %q until %s", r.ID, r.EndsAt)
	}
	p.at += connector.ReserveAtMost
	if p.step(connector.TimerFired{Now: p.now()}); p.s.Reservation.ID != "" {
		t.Error("still reserved after a year")
	}
}
