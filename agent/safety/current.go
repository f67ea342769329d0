package safety

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// MinOffer is the smallest current that a pilot can offer (IEC 61851-1: 6 A).
const MinOffer charge.MilliAmps = 6_000

// offerState is the current that the pilot offers.
type offerState struct {
	current charge.MilliAmps
	at      time.Duration // of its last change
}

// cableBad reports whether the coding of the cable cannot be read, or contradicts
// the pilot.
func (in *Inputs) cableBad(l Limits) bool {
	return in.Fitted.Cable && (in.CableIn.bad(l) || in.Cable == 0 && in.Pilot.Plugged() && !in.PilotIn.bad(l))
}

// watchCurrent returns the largest current per phase that is allowed: that of the
// connector and of its cable, reduced by heat. Where the pilot steers the vehicle it
// is offered; a plugged vehicle gets another offer OfferEvery after the last one.
//
// A current above the offer for Overcurrent is a fault, until a person unplugs the
// vehicle or resets it.
func (s *State) watchCurrent(l Limits, in *Inputs, v *Verdict) charge.MilliAmps {
	limit := in.MaxCurrent
	if in.Fitted.Cable && in.Cable > 0 {
		limit = min(limit, in.Cable)
	}
	most := limit
	if in.Fitted.Steered {
		limit = s.heat.reduce(limit)
		o := &s.offer
		if limit != o.current && (!in.Pilot.Plugged() || o.current == 0 || in.Now-o.at >= l.OfferEvery) {
			*o = offerState{limit, in.Now}
		}
		v.Offer, most = o.current, max(o.current, limit)
	}
	tooHigh := most > 0 && in.Closed && !in.MeterIn.lost(l.MaxMeterAge) && in.Current > (most+500)*11/10
	if s.over = s.over.during(tooHigh, in.Now); s.over.lasts(in.Now, l.Overcurrent) {
		s.latched = s.latched.With(charge.FaultOvercurrent)
	}
	return limit
}
