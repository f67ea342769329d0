package safety

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// MinOffer is the smallest current that a pilot can offer (IEC 61851-1: 6 A).
const MinOffer charge.MilliAmps = 6_000

// offerState is the current that the pilot offers.
type offerState struct {
	Current charge.MilliAmps
	At      time.Duration // of its last change
}

// cableBad reports whether the coding of the cable cannot be read, or contradicts
// the pilot.
func (in *Inputs) cableBad(l Limits) bool {
	return in.Fitted.Cable && (in.CableIn.bad(l) || in.Cable == 0 && in.Pilot.Plugged() && !in.PilotIn.bad(l))
}

// watchCurrent finds the lowest limit of the current per phase, and since when it is
// too low for a session. Heat reduces the lowest of the others. Where the pilot
// steers the vehicle, the limit is offered: a lower one at once, a higher one to a
// plugged vehicle OfferEvery after the last change. A vehicle that is not steered
// heeds its cable alone, so that any lower limit that was set pauses it.
//
// A current above the limit for Overcurrent, which includes the 5 s that a vehicle has
// to follow, is a fault, until a person unplugs the vehicle or resets it.
func (s *State) watchCurrent(l Limits, in *Inputs, v *Verdict) {
	var fitted charge.Limit
	if in.MaxCurrent > 0 {
		fitted = charge.Limit{Current: in.MaxCurrent, By: charge.LimitConnector}
	}
	if in.Fitted.Cable && in.Cable > 0 {
		fitted = fitted.Lowest(charge.Limit{Current: in.Cable, By: charge.LimitCable})
	}
	v.Limit = fitted.Lowest(in.Limit)
	most, paused := fitted.Current, v.Limit != fitted
	if in.Fitted.Steered {
		if s.Heat > heatNone {
			v.Limit = charge.Limit{Current: s.Heat.reduce(v.Limit.Current), By: charge.LimitTemperature}
		}
		limit, o := v.Limit.Current, &s.Offer
		if limit < o.Current || limit > o.Current && (!in.Pilot.Plugged() || o.Current == 0 || in.Now-o.At >= l.OfferEvery) {
			*o = offerState{limit, in.Now}
		}
		v.Offer, most, paused = o.Current, limit, limit < MinOffer
	}
	s.Paused = s.Paused.during(paused, in.Now)
	tooHigh := most > 0 && in.Closed && !in.MeterIn.lost(l.MaxMeterAge) && in.Current > (most+500)*11/10
	if s.Over = s.Over.during(tooHigh, in.Now); s.Over.lasts(in.Now, l.Overcurrent) {
		s.Latched = s.Latched.With(charge.FaultOvercurrent)
	}
}

// whyPaused is why power is withheld while the limit is too low; empty while a vehicle
// that follows the pilot may still stop by itself, so that the contactor opens without
// load. Heat does not wait for that.
func (s *State) whyPaused(l Limits, in *Inputs, v *Verdict) string {
	switch {
	case v.Limit.By == charge.LimitTemperature:
		return ReasonHot
	case in.Fitted.Steered && in.Commanded && requestsPower(in) && !s.Paused.lasts(in.Now, l.Stop):
		return ""
	}
	return ReasonLimited
}
