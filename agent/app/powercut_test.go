package app_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// grid is a board that counts as real hardware.
type grid struct{ *sim.Board }

func (g grid) Info() hal.Info {
	i := g.Board.Info()
	i.Simulated = false
	return i
}

// TestStartDelayAfterAPowerCut: with a plugged vehicle power comes back after a random
// time, and only if the computer has just started.
func TestStartDelayAfterAPowerCut(t *testing.T) {
	change := func(c *app.Config, _ *sim.Config) { c.Policies.Resume, c.Policies.FreeVend = true, true }
	play(t, change, func(p *point) {
		var up atomic.Int64
		up.Store(int64(time.Hour))
		p.wired, p.machineUptime = grid{p.board}, func() time.Duration { return time.Duration(up.Load()) }
		p.start()
		p.ready()
		p.do(p.board.Plug(1))
		p.status(3*time.Second, charge.StatusCharging)
		p.kill()
		p.start() // the agent alone was restarted
		p.status(5*time.Second, charge.StatusCharging)

		seen := map[time.Duration]bool{}
		for range 5 {
			p.kill()
			up.Store(int64(20 * time.Second))
			began := time.Now()
			p.start()
			p.status(time.Minute+5*time.Second, charge.StatusCharging)
			seen[time.Since(began).Round(time.Second)] = true
		}
		if len(seen) < 3 {
			p.t.Errorf("charging again after %v, want random times up to a minute", seen)
		}
	})
}
