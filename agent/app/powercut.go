package app

import (
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/carga-ev/carga/agent/point"
)

// justStarted is how long ago the computer started at most, for the boot of the
// agent to follow a power cut.
const justStarted = 5 * time.Minute

// startDelay is how long no contactor closes after this boot: where the computer has
// just started and a session is open or a vehicle is plugged in, a random part of
// policies.start_delay. Otherwise all charging points of a street would draw power in
// the moment in which it returns. Simulated hardware has no such supply.
func (r *running) startDelay(found point.Recovered) time.Duration {
	most := r.cfg.Policies.StartDelay
	if most <= 0 || r.board.Info().Simulated || r.deps.MachineUptime() > justStarted {
		return 0
	}
	for i, o := range found.Outlets {
		if found.Saved[i].Session.ID != "" || o.Pilot.Plugged() {
			d := time.Duration(rand.Int64N(int64(most) + 1))
			r.logger.Info("power has returned: no contactor closes yet", slog.Duration("delay", d))
			return d
		}
	}
	return 0
}
