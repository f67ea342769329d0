package safety

import "github.com/carga-ev/carga/internal/charge"

// heatStep is how far the current is reduced because of the temperature.
type heatStep int

// The steps, from the coolest on.
const (
	heatNone heatStep = iota
	heatHalf
	heatQuarter
	heatStop
)

// from is the temperature from which on the step holds. It ends heatBack lower, so
// that a temperature near it does not switch back and forth.
func (h heatStep) from() charge.MilliCelsius {
	switch h {
	case heatHalf:
		return 65_000
	case heatQuarter:
		return 68_000
	case heatStop:
		return 71_000
	case heatNone:
	}
	return 0
}

const heatBack charge.MilliCelsius = 10_000

// heatUnknown reports whether an unknown temperature is an unreadable safety input.
// It is not where another device trips when it is too hot and the current can be
// reduced meanwhile.
func (in *Inputs) heatUnknown(l Limits) bool {
	return in.Fitted.Thermal && in.ThermalIn.lost(l.MaxThermalAge) && (!in.Fitted.Cutout || !in.Fitted.Steered)
}

// watchHeat applies the temperature. While it is unknown, the current is at the
// lowest step.
func (s *State) watchHeat(l Limits, in *Inputs) {
	if !in.Fitted.Thermal {
		return
	}
	if in.ThermalIn.lost(l.MaxThermalAge) {
		s.Heat = max(s.Heat, heatQuarter)
		return
	}
	for s.Heat > heatNone && in.Temperature < s.Heat.from()-heatBack {
		s.Heat--
	}
	for s.Heat < heatStop && in.Temperature >= (s.Heat+1).from() {
		s.Heat++
	}
}

// reduce returns the part of a current that this step permits.
func (h heatStep) reduce(limit charge.MilliAmps) charge.MilliAmps {
	switch h {
	case heatHalf:
		return limit / 2
	case heatQuarter:
		return limit / 4
	case heatStop:
		return 0
	case heatNone:
	}
	return limit
}
