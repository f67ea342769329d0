package safety

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// groundState is what the rules remember of a residual current device that can be
// tested and reset.
type groundState struct {
	Passed moment        // the last self-test, if it is good for the next closing
	Failed bool          // the last one failed; until a person resets it
	Settle time.Duration // until then a trip is that of the self-test

	Plugged  bool   // at the last tick
	Tripped  moment // latched; since the trip or the last attempt to reset it
	Released bool   // it ends when the device is no longer tripped
	Retries  int    // automatic resets for this vehicle
	Hard     bool   // there are no more of them
}

// ignores reports that the device's trip is not one to report as measured: it is
// latched in groundState, or belongs to a self-test.
func (g *groundState) ignores(in *Inputs) bool {
	return in.Fitted.SelfTest && in.Tripped == charge.FaultGroundFault
}

// watchGround demands the self-tests, latches a trip, and reports whether the
// device is tested, so that the contactor may close.
//
// A self-test is due at the boot, after each time that the contactor was closed,
// and every TestEvery. It needs an open contactor. One that fails is a fault until
// a person resets it.
func (s *State) watchGround(l Limits, in *Inputs, v *Verdict) bool {
	if !in.Fitted.SelfTest {
		return true
	}
	g := &s.Ground
	switch {
	case in.TestEnded:
		g.Failed, g.Passed = !in.TestPassed, moment{in.TestPassed, in.Now}
		g.Settle = in.Now + l.MaxAge
	case in.ResetLatch:
		g.Failed = false
	}
	s.watchTrip(l, in, v)
	if in.Commanded || g.Passed.lasts(in.Now, l.TestEvery) {
		g.Passed = moment{}
	}
	if g.Failed {
		v.Faults = v.Faults.With(charge.FaultSelfTest)
	}
	idle := in.open(l) && !in.Testing && in.Now >= g.Settle
	v.SelfTest = idle && !g.Passed.Known && !g.Failed && !g.Tripped.Known
	return in.Commanded || idle && g.Passed.Known
}

// watchTrip latches a trip of the device. It ends when a person resets it or
// unplugs the vehicle, or by an automatic reset RetryTrip later, at most MaxRetries
// times for one vehicle and never after a trip within TripSettle of closing. In
// each case the device must no longer be tripped, and is tested again.
func (s *State) watchTrip(l Limits, in *Inputs, v *Verdict) {
	g := &s.Ground
	tripped := in.Tripped == charge.FaultGroundFault && !in.TrippedIn.bad(l) && !in.Testing && in.Now >= g.Settle
	person := in.ResetLatch || g.Plugged && in.unplugged(l)
	if !in.PilotIn.bad(l) {
		g.Plugged = in.Pilot != charge.PilotA
	}
	if person {
		g.Hard, g.Retries = false, 0
	}
	if tripped && !g.Tripped.Known {
		g.Tripped, g.Released = moment{true, in.Now}, false
		g.Hard = g.Retries >= l.MaxRetries || s.ClosedAt.Known && in.Now-s.ClosedAt.At < l.TripSettle
	}
	if !g.Tripped.Known {
		return
	}
	if due := !g.Hard && g.Tripped.lasts(in.Now, l.RetryTrip); person || due {
		if !person {
			g.Retries++
			g.Hard = g.Retries >= l.MaxRetries
		}
		g.Tripped.At, g.Released, v.ResetTrip = in.Now, true, tripped
	}
	if g.Released && !tripped {
		g.Tripped, g.Passed = moment{}, moment{}
		return
	}
	v.Faults = v.Faults.With(charge.FaultGroundFault)
}
