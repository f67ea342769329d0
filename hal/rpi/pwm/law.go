package pwm

import (
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// The ends of the duty law of IEC 61851-1 as it is used here.
const (
	dutyKnee charge.Permille = 850 // 51 A; above it each permille is more
	dutyMost charge.Permille = 960 // 80 A
)

// Duty is the high part of the PWM that offers at most limit to the vehicle: of a
// current without a duty of its own, the next lower one, so 51 A up to 52.75 A and
// 80 A from there on. Below hal.MinOffer there is no offer: 0.
func Duty(limit charge.MilliAmps) charge.Permille {
	if limit < hal.MinOffer {
		return 0
	}
	if upper := 640 + charge.Permille(limit/250); upper > dutyKnee {
		return min(upper, dutyMost)
	}
	return min(charge.Permille(limit/60), dutyKnee)
}

// The borders between the states, in the middle of the windows that the standard
// leaves between them, and how far a level must be beyond one to leave a state.
const (
	borderAB charge.MilliVolts = 10_480 // A from 11.40 V, B to 9.56 V
	borderBC charge.MilliVolts = 7_425  // B from 8.36 V, C to 6.49 V
	borderCD charge.MilliVolts = 4_365  // C from 5.48 V, D to 3.25 V
	borderDE charge.MilliVolts = 1_800  // D from 2.62 V
	hold     charge.MilliVolts = 300
)

// What a front end in order shows: nothing above highest, a low half-wave of −12 V
// within 10 %, and no low half-wave without an offer.
const (
	highest charge.MilliVolts = 13_500
	lowest  charge.MilliVolts = -13_500
	lowFrom charge.MilliVolts = -10_500
	ripple  charge.MilliVolts = 1_000
)

// level is the state of a high level by the borders. before is the state that the
// pilot is in: its window is wider by hold on both sides.
func level(high charge.MilliVolts, before charge.PilotState) charge.PilotState {
	borders := []struct {
		at           charge.MilliVolts
		above, below charge.PilotState
	}{
		{borderAB, charge.PilotA, charge.PilotB},
		{borderBC, charge.PilotB, charge.PilotC},
		{borderCD, charge.PilotC, charge.PilotD},
		{borderDE, charge.PilotD, charge.PilotE},
	}
	for _, b := range borders {
		at := b.at
		if before == b.above {
			at -= hold
		}
		if before == b.below {
			at += hold
		}
		if high >= at {
			return b.above
		}
	}
	return charge.PilotE
}

// defect is why a burst is not of a pilot, or "".
type defect string

// evaluate returns the state that a burst shows, or the defect of the front end.
// offer is whether the PWM ran during the burst. It is pure.
func evaluate(high, low charge.MilliVolts, offer bool, before charge.PilotState) (charge.PilotState, defect) {
	switch {
	case high > highest:
		return charge.PilotUnknown, "the level is above +13.5 V: check the divider"
	case low < lowest:
		return charge.PilotUnknown, "the level is below -13.5 V: check the divider"
	case high <= lowFrom:
		return charge.PilotF, ""
	case !offer && high-low > ripple:
		return charge.PilotUnknown, "the level swings without an offer: check that the PWM has the right pin"
	}
	state := level(high, before)
	switch {
	case !offer || low <= lowFrom:
		return state, ""
	case state == charge.PilotA:
		return charge.PilotUnknown, "the low half-wave is missing without a vehicle: check the supply of -12 V"
	}
	return charge.PilotE, "" // no diode
}
