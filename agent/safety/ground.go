package safety

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// groundState is what the rules remember of a residual current device that can be
// tested and reset.
type groundState struct {
	passed moment        // the last self-test, if it is good for the next closing
	failed bool          // the last one failed; until a person resets it
	settle time.Duration // until then a trip is that of the self-test

	plugged  bool   // at the last tick
	tripped  moment // latched; since the trip or the last attempt to reset it
	released bool   // it ends when the device is no longer tripped
	retries  int    // automatic resets for this vehicle
	hard     bool   // there are no more of them
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
	g := &s.ground
	switch {
	case in.TestEnded:
		g.failed, g.passed = !in.TestPassed, moment{in.TestPassed, in.Now}
		g.settle = in.Now + l.MaxAge
	case in.ResetLatch:
		g.failed = false
	}
	s.watchTrip(l, in, v)
	if in.Commanded || g.passed.lasts(in.Now, l.TestEvery) {
		g.passed = moment{}
	}
	if g.failed {
		v.Faults = v.Faults.With(charge.FaultSelfTest)
	}
	idle := in.open(l) && !in.Testing && in.Now >= g.settle
	v.SelfTest = idle && !g.passed.known && !g.failed && !g.tripped.known
	return in.Commanded || idle && g.passed.known
}

// watchTrip latches a trip of the device. It ends when a person resets it or
// unplugs the vehicle, or by an automatic reset RetryTrip later, at most MaxRetries
// times for one vehicle and never after a trip within TripSettle of closing. In
// each case the device must no longer be tripped, and is tested again.
func (s *State) watchTrip(l Limits, in *Inputs, v *Verdict) {
	g := &s.ground
	tripped := in.Tripped == charge.FaultGroundFault && !in.TrippedIn.bad(l) && !in.Testing && in.Now >= g.settle
	person := in.ResetLatch || g.plugged && in.unplugged(l)
	if !in.PilotIn.bad(l) {
		g.plugged = in.Pilot != charge.PilotA
	}
	if person {
		g.hard, g.retries = false, 0
	}
	if tripped && !g.tripped.known {
		g.tripped, g.released = moment{true, in.Now}, false
		g.hard = g.retries >= l.MaxRetries || s.closedAt.known && in.Now-s.closedAt.at < l.TripSettle
	}
	if !g.tripped.known {
		return
	}
	if due := !g.hard && g.tripped.lasts(in.Now, l.RetryTrip); person || due {
		if !person {
			g.retries++
			g.hard = g.retries >= l.MaxRetries
		}
		g.tripped.at, g.released, v.ResetTrip = in.Now, true, tripped
	}
	if g.released && !tripped {
		g.tripped, g.passed = moment{}, moment{}
		return
	}
	v.Faults = v.Faults.With(charge.FaultGroundFault)
}
