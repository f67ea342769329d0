package world_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/sim/world"
)

// settledThenRestored is a life in which an operator settles the session of a dead
// charging point, and Central is restored from a backup of before. Then the charging
// point comes back and ends the session at a later register.
func settledThenRestored(seed uint64) world.Plan {
	p := world.Draw(seed, []world.Kind{})
	p.CPs, p.Connectors, p.For, p.Lossy = 1, 1, time.Hour, false
	p.Policy = world.Policy{FreeVend: true}
	p.Steps = []world.Step{
		{At: 10 * time.Minute, Kind: world.Stranger},
		{At: 10*time.Minute + 30*time.Second, Kind: world.Restore, For: 12 * time.Minute},
		{At: 11 * time.Minute, Kind: world.KillAgent},
		{At: 11*time.Minute + 10*time.Second, Kind: world.Settle},
	}
	return p
}

// TestAPublishedTicketStays: a restored Central ends a session with the ticket that an
// earlier run of it has published.
func TestAPublishedTicketStays(t *testing.T) {
	t.Parallel()
	settled := 0
	for seed := uint64(1); seed <= 30; seed++ {
		r := world.Run(settledThenRestored(seed), world.Options{})
		if r.Failure != nil {
			t.Errorf("seed %d: %v", seed, r.Failure)
		}
		settled += r.Stats.SilentSettled
	}
	if settled == 0 {
		t.Error("no session was settled")
	}
	t.Logf("%d sessions settled", settled)
}
