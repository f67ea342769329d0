package world_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/sim/world"
)

// TestOneSession is the thin path: one charging point, one driver, no faults.
func TestOneSession(t *testing.T) {
	p := world.Draw(1, []world.Kind{})
	p.CPs, p.Connectors, p.Lossy, p.For = 1, 1, false, 2*time.Hour
	p.ReservationLife = 10 * time.Minute
	p.Steps = []world.Step{{At: 11 * time.Minute, Kind: world.Visit, N: -1}}
	r := world.Run(p, world.Options{})
	if r.Failure != nil {
		t.Fatal(r.Failure)
	}
	if r.Stats.Tickets != 1 || r.Stats.BilledWh == 0 {
		t.Fatalf("got %d tickets for %d Wh, want one: %+v", r.Stats.Tickets, r.Stats.BilledWh, r.Stats)
	}
}
