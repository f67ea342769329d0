package app

import (
	"time"

	"github.com/carga-ev/carga/internal/wire"
)

// telemetry is the latest values. Any goroutine may call it.
func (r *running) telemetry() wire.Telemetry {
	t := r.view.Load().Telemetry(&r.config, r.clock.now())
	r.complete(&t)
	return t
}

// complete adds what the core does not know: what the control loop counts, whether the
// card reader answers, and the age of the oldest record.
func (r *running) complete(t *wire.Telemetry) {
	t.Health.NoKeeper, t.Health.SafetyLate = !r.control.HasKeeper(), r.control.Late()
	if f := r.reader.trouble.Load(); f != nil {
		t.Health.Reader, t.Health.ReaderMS = f.reason, (r.clock.at() - f.since).Milliseconds()
	}
	t.Health.OldestMS = r.oldest().Milliseconds()
}

// oldest is the age of the first record that Central has not acknowledged, by
// the wall clock; 0 when there is none or its time is not known.
func (r *running) oldest() time.Duration {
	d := &r.view.Load().Delivery
	if d.Unacked() == 0 {
		return 0
	}
	r.oldestMu.Lock()
	defer r.oldestMu.Unlock()
	// A record that cannot be read has no age; it is read again with the next one.
	if next := d.Acked + 1; next != r.oldestIndex {
		r.oldestIndex, r.oldestAt = next, 0
		if raw, err := r.log.Read(next); err == nil {
			if rec, err := wire.DecodeRecord(raw); err == nil {
				r.oldestAt = rec.At
			}
		}
	}
	if r.oldestAt == 0 {
		return 0
	}
	wall, _ := r.clock.wall()
	return max(wall.Sub(r.oldestAt), 0)
}
