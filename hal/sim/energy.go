package sim

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// wattHour is one watt-hour in milliwatt-nanoseconds.
const wattHour int64 = 3_600 * 1_000 * int64(time.Second)

// maxStep is the longest time for which power is constant. A step then adds at
// most 1 GW × 100 ms, which together with the remainder fits an int64 by far.
const maxStep = 100 * time.Millisecond

// energy is an exact amount of energy: whole watt-hours and a remainder.
// Invariant: 0 <= rest < wattHour.
type energy struct {
	whole charge.WattHours
	rest  int64 // milliwatt-nanoseconds
}

// add sums power × time exactly. Negative power or time adds nothing.
func (e *energy) add(milliwatts int64, d time.Duration) {
	for d > 0 && milliwatts > 0 {
		part := min(d, maxStep)
		e.rest += milliwatts * int64(part)
		e.whole += charge.WattHours(e.rest / wattHour)
		e.rest %= wattHour
		d -= part
	}
}

// milliwattHours is the amount in thousandths of a watt-hour, rounded down.
func (e *energy) milliwattHours() int64 {
	return int64(e.whole)*1_000 + e.rest/(wattHour/1_000)
}
