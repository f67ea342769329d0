package control

import (
	"errors"
	"time"

	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// fitted is which devices the rules find at this outlet. A meter always counts: a
// charging point bills by it.
func (o *Outlet) fitted(info hal.Info) safety.Fitted {
	return safety.Fitted{
		Lock: o.lock != nil, Cable: o.cable != nil, SelfTest: o.ground != nil, Thermal: o.thermal != nil, Cutout: o.protection != nil,
		Meter: true, Steered: info.Steered,
	}
}

// safetyInput describes the measurement of an input: its age is taken on the
// board's clock.
func safetyInput(mono time.Duration, s hal.Stamp, err error) safety.Input {
	return safety.Input{NotFitted: errors.Is(err, hal.ErrNotFitted), OK: err == nil, Age: mono - s.Mono}
}

// measure reads the inputs of one connector. A board without a feedback contact
// is assumed to follow its commands.
func (o *outletState) measure(mono time.Duration, in *safety.Inputs) {
	in.Fitted, in.MaxCurrent = o.fit, o.maxCurrent
	in.Permit, in.Offer, in.WriteFailed = o.permit.Load(), o.offer.Load(), o.writeFailed
	if l := o.limit.Load(); l != nil {
		in.Limit = *l
	}
	in.Commanded = o.contactor.Commanded()
	state, stamp, err := o.pilot.State()
	in.PilotIn = safetyInput(mono, stamp, err)
	// Every board has a pilot, so an error of it is never "not fitted".
	if in.PilotIn.NotFitted = false; err == nil {
		in.Pilot = state
	}
	contact, stamp, err := o.contactor.Feedback()
	in.ContactIn = safetyInput(mono, stamp, err)
	in.Closed = contact == hal.ContactClosed
	if in.ContactIn.NotFitted {
		in.Closed = in.Commanded
	} else if err == nil && contact == hal.ContactUnknown {
		in.ContactIn.OK = false
	}
	in.TrippedIn = safety.Input{NotFitted: true}
	if o.protection != nil {
		fault, stamp, err := o.protection.Tripped()
		in.Tripped, in.TrippedIn = fault, safetyInput(mono, stamp, err)
	}
	o.measureDevices(mono, in)
	o.requests.Store(in.Closed && (in.Pilot == charge.PilotC || in.Pilot == charge.PilotD))
}

// measureDevices reads the optional devices of a connector.
func (o *outletState) measureDevices(mono time.Duration, in *safety.Inputs) {
	if o.lock != nil {
		lock, stamp, err := o.lock.State()
		in.Locked, in.Unlocked, in.LockIn = lock == hal.LockLocked, lock == hal.LockOpen, safetyInput(mono, stamp, err)
	}
	if o.cable != nil {
		limit, stamp, err := o.cable.CableLimit()
		in.Cable, in.CableIn = limit, safetyInput(mono, stamp, err)
	}
	if o.thermal != nil {
		hottest, stamp, err := o.thermal.Hottest()
		in.Temperature, in.ThermalIn = hottest, safetyInput(mono, stamp, err)
	}
	if r := o.reading.Load(); r != nil {
		in.Current, in.MeterIn = r.Current, safetyInput(mono, r.Stamp, nil)
	}
	if result := testResult(o.tested.Swap(int32(testNone))); result != testNone {
		o.testing, in.TestEnded, in.TestPassed = false, true, result == testPassed
	}
	in.Testing = o.testing
}
