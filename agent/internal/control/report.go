package control

import (
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
)

// Reports receives what the loop observed: each change once, and everything in
// the first tick. The methods are called on the loop's goroutine and must return
// at once: a late tick opens the contactors.
type Reports interface {
	PilotChanged(n charge.ConnectorID, p charge.PilotState)
	ContactChanged(n charge.ConnectorID, closed bool)
	// PowerWithheld has an empty reason when power is no longer withheld. input is the
	// input that was bad first, if one was.
	PowerWithheld(n charge.ConnectorID, reason, input string)
	// LimitApplied is the lowest limit of the current.
	LimitApplied(n charge.ConnectorID, l charge.Limit)
	FaultSeen(n charge.ConnectorID, f charge.Fault)
	FaultGone(n charge.ConnectorID, f charge.Fault)
}

// reported is what was last reported of one connector.
type reported struct {
	before   bool // false before the first tick: everything is reported then
	pilot    charge.PilotState
	closed   bool
	withheld string
	limit    charge.Limit
	faults   charge.FaultSet
}

// report reports what has changed since the last tick. What explains the next comes
// first: a limit withholds power, then a vehicle that it stopped changes its pilot, and
// then the contact moves.
func (r *reported) report(to Reports, n charge.ConnectorID, in safety.Inputs, v safety.Verdict) {
	first := !r.before
	r.before = true
	if v.Limit != r.limit {
		r.limit = v.Limit
		to.LimitApplied(n, v.Limit)
	}
	if v.Withheld != r.withheld {
		r.withheld = v.Withheld
		to.PowerWithheld(n, v.Withheld, v.Input)
	}
	if in.PilotIn.OK && (first || in.Pilot != r.pilot) {
		r.pilot = in.Pilot
		to.PilotChanged(n, in.Pilot)
	}
	known := in.ContactIn.OK || in.ContactIn.NotFitted
	if known && (first || in.Closed != r.closed) {
		r.closed = in.Closed
		to.ContactChanged(n, in.Closed)
	}
	if v.Faults == r.faults {
		return
	}
	was := r.faults
	r.faults = v.Faults
	for _, f := range charge.Faults() {
		switch {
		case v.Faults.Has(f) && !was.Has(f):
			to.FaultSeen(n, f)
		case !v.Faults.Has(f) && was.Has(f):
			to.FaultGone(n, f)
		}
	}
}
