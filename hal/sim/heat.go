package sim

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// heating is what full power adds to the temperature of the contacts, in m°C;
// warming is the time constant at which they follow.
const (
	heating = 20_000
	warming = time.Minute
)

// warm moves the temperature of the contacts towards the one that they reach at
// the present power. It does so at multiples of maxStep only, so that the times of
// the calls do not change it.
func (o *outlet) warm() {
	if o.now%maxStep != 0 {
		return
	}
	// The last bit of the way is less than a thousandth per step: one at a time.
	to := o.warmsTo()
	part := (to - o.heat) * charge.MilliCelsius(maxStep) / charge.MilliCelsius(warming)
	switch {
	case part != 0:
		o.heat += part
	case o.heat < to:
		o.heat++
	case o.heat > to:
		o.heat--
	}
}

// warmsTo is the temperature that the contacts reach at the present power.
func (o *outlet) warmsTo() charge.MilliCelsius {
	return o.cfg.Ambient + charge.MilliCelsius(o.milliwatts*heating/(int64(o.cfg.RatedPower)*1_000))
}

// temperature is that of the contacts; an injected overtemperature is above the
// limit.
func (o *outlet) temperature() charge.MilliCelsius {
	if o.faults.has(faultHot) {
		return o.cfg.TempLimit + 15_000
	}
	return o.heat
}
