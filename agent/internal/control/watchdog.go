package control

import (
	"context"
	"time"

	"github.com/carga-ev/carga/internal/logs"
)

// HealthyWithin is how recent the last tick in time of a healthy loop is. It is longer
// than the timeout of a dead-man device, which has opened the contactors by then.
const HealthyWithin = 2 * time.Second

// Healthy reports whether the loop has made a tick in time within HealthyWithin. All
// that kicks a watchdog or shows a state decides by it, or by Config.Beat, which is
// called in the same ticks.
func (l *Loop) Healthy() bool { return l.Uptime()-l.LastTick() < HealthyWithin }

// KickWatchdog kicks the watchdog of the board while the loop is healthy, until ctx
// ends, and disarms it then. It returns at once where none is fitted. A hung loop
// lets it reset the computer.
func (l *Loop) KickWatchdog(ctx context.Context) {
	if l.watchdog == nil {
		return
	}
	tick := time.NewTicker(min(l.watchdog.Timeout()/4, time.Second))
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			if err := l.watchdog.Disarm(); err != nil {
				l.Log.Warn("watchdog not disarmed: it resets this computer", logs.Err(err))
			}
			return
		case <-tick.C:
		}
		if !l.Healthy() {
			continue
		}
		err := l.watchdog.Kick()
		if err != nil && !failed {
			l.Log.Error("watchdog not kicked: it resets this computer", logs.Err(err))
		}
		failed = err != nil
	}
}
