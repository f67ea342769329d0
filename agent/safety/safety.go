// Package safety holds the rules of the fast control loop: whether the contactor
// may be closed, by what was measured just now. It is pure and allocates
// nothing; the loop around it (agent/internal/control) reads the hardware each tick,
// calls Step for each connector and applies its verdict.
//
// The state machine of the connector (agent/connector) gives the permission;
// this package may only withhold power. It opens on the first bad, stale or
// unreadable input, and calls that a fault when it lasts. A vehicle that no
// longer requests power is no fault.
package safety

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Limits are the times of the loop.
type Limits struct {
	// MaxAge is the age above which an input is stale.
	MaxAge time.Duration
	// MaxGap is the longest time between two ticks; a later tick opens.
	MaxGap time.Duration
	// MaxMove is how long feedback may differ from the command.
	MaxMove time.Duration
	// Persist is how long an input may be bad before it is a fault.
	Persist time.Duration
	// Stable is how long all inputs must be good, after the start and after a bad
	// input or a late tick, before the contactor may close.
	Stable time.Duration
}

// DefaultLimits are the limits of docs/PROTOCOL.md and of package hal.
func DefaultLimits() Limits {
	return Limits{
		MaxAge: 100 * time.Millisecond, MaxGap: 100 * time.Millisecond, MaxMove: 250 * time.Millisecond,
		Persist: 300 * time.Millisecond, Stable: 300 * time.Millisecond,
	}
}

// Input is one measurement of a safety input. The zero value is an input without
// a value: unsafe.
type Input struct {
	NotFitted bool          // there is no such device on this board
	OK        bool          // it could be read
	Age       time.Duration // of the value
}

// bad reports whether a fitted input is unreadable or stale.
func (i Input) bad(l Limits) bool { return !i.NotFitted && (!i.OK || i.Age > l.MaxAge) }

// Inputs are everything measured in one tick for one connector.
type Inputs struct {
	Now time.Duration // since the boot
	Gap time.Duration // since the tick before; 0 in the first

	Permit      bool // by the connector's state machine
	Vent        bool // pilot D may have power
	Commanded   bool // the contactor's last command
	WriteFailed bool // the last command could not be written

	Pilot      charge.PilotState
	PilotIn    Input
	Pressed    bool // the emergency stop
	EStopIn    Input
	Closed     bool // the contactor, as measured
	ContactIn  Input
	Tripped    charge.Fault // empty: nothing has tripped
	TrippedIn  Input
	ResetLatch bool // a person has repaired the latched fault
}

// moment is an optional time since the boot; the zero value is none.
type moment struct {
	known bool
	at    time.Duration
}

// State is what the rules remember from tick to tick. The zero value is the
// state before the first tick.
//
// Invariant: a latched fault stays until ResetLatch.
type State struct {
	closeFrom    time.Duration // before it no contactor closes; 0: no tick was made yet
	badSince     moment        // none while all inputs are good
	differsSince moment        // feedback and command differ since; none while they agree
	latched      charge.FaultSet
}

// Verdict is what the loop commands and reports.
type Verdict struct {
	Close    bool            // the contactor's command of this tick
	Faults   charge.FaultSet // present now
	Withheld string          // why power is withheld without a fault; empty: it is not
	Late     bool            // the tick came too late: the keeper is not kicked
}

// The reasons of Verdict.Withheld. They are also the reasons of the record
// suspended.
const (
	ReasonLate     = "control_loop_late"
	ReasonInput    = "safety_input"
	ReasonSettling = "settling"
)

// Step decides one tick.
func Step(l Limits, s State, in Inputs) (State, Verdict) {
	v := Verdict{Late: in.Gap > l.MaxGap}
	if in.ResetLatch {
		s.latched, s.differsSince = 0, moment{}
	}
	bad := in.WriteFailed || in.PilotIn.bad(l) || in.EStopIn.bad(l) || in.ContactIn.bad(l) || in.TrippedIn.bad(l)
	v.Faults = provenFaults(l, in)
	s = s.watchContact(l, in)
	v.Faults |= s.latched
	switch {
	case !bad:
		s.badSince = moment{}
	case !s.badSince.known:
		s.badSince = moment{true, in.Now}
	case in.Now-s.badSince.at >= l.Persist:
		v.Faults = v.Faults.With(charge.FaultSafetyInput)
	}
	if bad || v.Late || s.closeFrom == 0 {
		s.closeFrom = in.Now + l.Stable
	}
	switch {
	case bad:
		v.Withheld = ReasonInput
	case v.Late:
		v.Withheld = ReasonLate
	case in.Now < s.closeFrom:
		v.Withheld = ReasonSettling
	}
	v.Close = in.Permit && v.Withheld == "" && v.Faults.Empty() && requestsPower(in)
	return s, v
}

func requestsPower(in Inputs) bool {
	return in.Pilot == charge.PilotC || in.Pilot == charge.PilotD && in.Vent
}

// provenFaults are the faults that one measurement proves.
func provenFaults(l Limits, in Inputs) charge.FaultSet {
	var f charge.FaultSet
	if in.Pressed && !in.EStopIn.NotFitted && !in.EStopIn.bad(l) {
		f = f.With(charge.FaultEmergencyStop)
	}
	if in.Tripped != "" && !in.TrippedIn.NotFitted && !in.TrippedIn.bad(l) {
		f = f.With(in.Tripped)
	}
	if (in.Pilot == charge.PilotE || in.Pilot == charge.PilotF) && !in.PilotIn.bad(l) {
		f = f.With(charge.FaultPilot)
	}
	return f
}

// watchContact latches a contactor that does not follow its command: welded if
// it stays closed, stuck if it stays open. Opening a stuck one makes command
// and feedback agree again, so only a person clears either.
func (s State) watchContact(l Limits, in Inputs) State {
	if in.ContactIn.NotFitted || in.ContactIn.bad(l) || in.Closed == in.Commanded {
		s.differsSince = moment{}
		return s
	}
	if !s.differsSince.known {
		s.differsSince = moment{true, in.Now}
	}
	if in.Now-s.differsSince.at <= l.MaxMove {
		return s
	}
	if in.Closed {
		s.latched = s.latched.With(charge.FaultContactorWelded)
	} else {
		s.latched = s.latched.With(charge.FaultContactorStuck)
	}
	return s
}
