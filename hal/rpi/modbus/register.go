package modbus

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// register follows the import register of one meter over its readings. It is pure;
// times are those of the readings.
type register struct {
	wrap charge.WattHours // 0: never
	step charge.WattHours // the register's resolution

	known bool             // shown and at are of a reading
	shown charge.WattHours // what the meter showed last
	base  charge.WattHours // the wraps before it
	at    time.Duration
	power charge.Watts

	// unmoved is the energy that the meter's own power has shown since the register
	// last moved.
	unmoved energy
}

// energy is in watts times milliseconds.
type energy int64

// wattHour is one watt-hour as energy. maxUnmoved keeps a sum from overflowing in a
// register that never moves.
const (
	wattHour   energy = 3_600_000
	maxUnmoved energy = 1 << 60
)

// What may flow over a wrap: wrapMargin, and wrapPower since the last reading, for
// wrapTime at most. That is far above a charging point, and far below the range of
// a meter.
const (
	wrapMargin charge.WattHours = 1_000
	wrapPower  charge.Watts     = 100_000
	wrapTime                    = 24 * time.Hour
)

// staleAfter is the least energy that a register may miss before it is stale.
const staleAfter charge.WattHours = 100

// resume makes total the reading before the first one.
func (r *register) resume(total charge.WattHours, now time.Duration) {
	*r = register{wrap: r.wrap, step: r.step, known: true, shown: total, at: now}
	if r.wrap > 0 {
		r.shown = total % r.wrap
		r.base = total - r.shown
	}
}

// forget starts again with the next reading, which is of another meter.
func (r *register) forget() { *r = register{wrap: r.wrap, step: r.step} }

// read applies a reading and returns the cumulative import. A decrease that is no
// wrap is returned as it is: it is for the caller to report. An error means that
// the register is stale.
func (r *register) read(shown charge.WattHours, power charge.Watts, now time.Duration) (charge.WattHours, error) {
	since := now - r.at
	switch {
	case !r.known:
		r.base = 0
	case shown > r.shown:
		r.unmoved = 0
	case shown < r.shown:
		r.unmoved = 0
		if r.wrapped(shown, since) {
			r.base += r.wrap
		} else {
			r.base = 0
		}
	default:
		// The smaller of both powers: a load that began or ended in between counts
		// from when it is certain.
		more := energy(min(r.power, power)) * energy(min(since, time.Minute).Milliseconds())
		r.unmoved = min(r.unmoved+more, maxUnmoved)
	}
	r.known, r.shown, r.power, r.at = true, shown, power, now
	if missed := charge.WattHours(r.unmoved / wattHour); missed > max(staleAfter, 3*r.step) {
		return 0, fmt.Errorf("stale: it stands at %d Wh while the meter has shown the power of %d Wh", shown, missed)
	}
	return r.base + shown, nil
}

// wrapped reports whether a decrease is a wrap: the energy over it could have flowed
// in that time. A meter that replaced another is seen as one only within the
// margin.
func (r *register) wrapped(shown charge.WattHours, since time.Duration) bool {
	could := charge.WattHours(wrapPower)*charge.WattHours(min(since, wrapTime))/charge.WattHours(time.Hour) + wrapMargin
	return r.wrap > 0 && shown < r.wrap && r.wrap-r.shown+shown <= could
}
