// Package safety holds the rules of the fast control loop: whether the contactor
// may be closed, by what was measured just now. It is pure and allocates
// nothing; the loop around it (agent/internal/control) reads the hardware each tick,
// calls Step for each connector and applies its verdict.
//
// The state machine of the connector (agent/connector) gives the permission;
// this package may only withhold power. It opens on the first bad, stale or
// unreadable input, and calls that a fault when it lasts. A vehicle that no
// longer requests power is no fault.
//
// Each device has its rule in a file of its own: the contactor (contact.go), the
// lock of the cable (lock.go), the residual current device (ground.go), the
// temperature (heat.go), and the current (current.go). A device that is not fitted
// has no rule.
package safety

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Limits are the times of the loop, and the temperatures.
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
	// MaxLockMove is how long the lock of the cable may take to move.
	MaxLockMove time.Duration
	// LockedInF is how long the cable stays locked while the pilot is in F.
	LockedInF time.Duration
	// TestEvery is the longest time between two self-tests of the residual current
	// device while the contactor is open.
	TestEvery time.Duration
	// TripSettle is how soon after closing a trip may not be reset automatically.
	TripSettle time.Duration
	// RetryTrip is the time from a trip to an automatic reset, and MaxRetries how
	// many there are until the vehicle is unplugged.
	RetryTrip  time.Duration
	MaxRetries int
	// MaxThermalAge is the age above which a temperature is lost, as package hal declares
	// it. Heat is slow.
	MaxThermalAge time.Duration
	// MaxMeterAge is the age above which the meter is lost.
	MaxMeterAge time.Duration
	// Overcurrent is how long the current may be too high.
	Overcurrent time.Duration
	// OfferEvery is the shortest time from a change of the current that a plugged
	// vehicle is offered to a higher offer.
	OfferEvery time.Duration
	// Stop is how long a vehicle may take to stop when it is offered no current any
	// more; then the contactor opens under load.
	Stop time.Duration
}

// DefaultLimits are the limits of docs/PROTOCOL.md and of package hal.
func DefaultLimits() Limits {
	return Limits{
		MaxAge: 100 * time.Millisecond, MaxGap: 100 * time.Millisecond, MaxMove: 250 * time.Millisecond,
		Persist: 300 * time.Millisecond, Stable: 300 * time.Millisecond,
		MaxLockMove: 2 * time.Second, LockedInF: 5 * time.Second,
		TestEvery: 24 * time.Hour, TripSettle: 2 * time.Second, RetryTrip: 5 * time.Minute, MaxRetries: 6,
		MaxThermalAge: 5 * time.Second, MaxMeterAge: 5 * time.Second, Overcurrent: 7 * time.Second, OfferEvery: 5 * time.Second, Stop: 5 * time.Second,
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
func (i Input) bad(l Limits) bool { return !i.NotFitted && i.lost(l.MaxAge) }

// lost reports whether the input is unreadable, or older than most.
func (i Input) lost(most time.Duration) bool { return !i.OK || i.Age > most }

// Fitted is which devices a connector has beside contactor and pilot. The rules of
// the others are off.
type Fitted struct {
	Lock     bool // of the cable
	Cable    bool // its coding
	SelfTest bool // a residual current device that can be tested and reset
	Thermal  bool
	Cutout   bool // a device that trips by itself when it is too hot
	Meter    bool
	Steered  bool // the pilot limits the vehicle's current
}

// Inputs are everything measured in one tick for one connector.
type Inputs struct {
	Now time.Duration // since the boot
	Gap time.Duration // since the tick before; 0 in the first

	Fitted      Fitted
	Permit      bool // by the connector's state machine
	Offer       bool // likewise: power is offered, the vehicle decides
	Vent        bool // pilot D may have power
	Commanded   bool // the contactor's last command
	WriteFailed bool // the last command could not be written
	// StartAt is when power may flow for the first time since the boot.
	StartAt time.Duration

	Pilot      charge.PilotState
	PilotIn    Input
	Pressed    bool // the emergency stop
	EStopIn    Input
	Closed     bool // the contactor, as measured
	ContactIn  Input
	Tripped    charge.Fault // empty: nothing has tripped
	TrippedIn  Input
	ResetLatch bool // a person has repaired what latched
	ResetStop  bool // or that of the emergency stop, at any connector

	Locked   bool // the lock holds the cable; false while it moves
	Unlocked bool // the lock has released it
	LockIn   Input

	Testing    bool // a self-test is under way
	TestEnded  bool // one has ended since the last tick
	TestPassed bool

	Temperature charge.MilliCelsius // of the hottest sensor
	ThermalIn   Input

	MaxCurrent charge.MilliAmps // of the connector, per phase; 0: not known
	Limit      charge.Limit     // that was set, by a person or a program
	Cable      charge.MilliAmps // that the cable carries; 0: none is plugged in
	CableIn    Input
	Current    charge.MilliAmps // by the meter, per phase
	MeterIn    Input
}

// unplugged reports that the pilot proves it.
func (in *Inputs) unplugged(l Limits) bool { return in.Pilot == charge.PilotA && !in.PilotIn.bad(l) }

// open reports that the contactor is commanded open and measured so.
func (in *Inputs) open(l Limits) bool {
	return !in.Commanded && (in.ContactIn.NotFitted || !in.ContactIn.bad(l) && !in.Closed)
}

// moment is an optional time since the boot; the zero value is none.
type moment struct {
	Known bool
	At    time.Duration
}

// lasts reports whether the moment is at least d ago.
func (m moment) lasts(now, d time.Duration) bool { return m.Known && now-m.At >= d }

// during keeps the first moment of a condition, and forgets it when the condition
// does not hold.
func (m moment) during(holds bool, now time.Duration) moment {
	if holds && m.Known {
		return m
	}
	return moment{holds, now}
}

// State is what the rules remember from tick to tick. The zero value is the
// state before the first tick. Its fields are exported for the flight recorder, which
// writes them as JSON: only this package reads or changes them.
//
// Invariant: a latched fault stays until it is reset.
type State struct {
	CloseFrom    time.Duration // before it no contactor closes; 0: no tick was made yet
	BadSince     moment        // none while all inputs are good
	DiffersSince moment        // feedback and command differ since; none while they agree
	SeenOpen     bool          // in this boot
	ClosedAt     moment        // when the contactor was last commanded to close; none: it is not
	Latched      charge.FaultSet
	ResetAt      moment // a person has reset what latched, and a weld may still end

	Lock   lockState
	Ground groundState
	Heat   heatStep
	Offer  offerState
	Paused moment // the limit is too low for a session since
	Over   moment // the current is too high since
}

// Restored is the state before the first tick of a boot that finds faults which an
// earlier one had latched. One of a device that is not fitted any more is over. A
// ground fault no longer ends by itself: how often it was reset is not known.
func Restored(fitted Fitted, faults charge.FaultSet) State {
	var s State
	for _, f := range [...]charge.Fault{
		charge.FaultEmergencyStop, charge.FaultContactorWelded, charge.FaultContactorStuck, charge.FaultOvercurrent,
	} {
		if faults.Has(f) {
			s.Latched = s.Latched.With(f)
		}
	}
	if fitted.Lock { // a welded contactor holds the cable
		s.Lock = lockState{Failed: faults.Has(charge.FaultLock), On: faults.Has(charge.FaultContactorWelded)}
	}
	if fitted.SelfTest {
		s.Ground.Failed = faults.Has(charge.FaultSelfTest)
		if faults.Has(charge.FaultGroundFault) { // unplugged meanwhile is unplugged
			s.Ground.Tripped, s.Ground.Hard, s.Ground.Plugged = moment{Known: true}, true, true
		}
	}
	return s
}

// Verdict is what the loop commands and reports.
type Verdict struct {
	Close    bool            // the contactor's command of this tick
	Faults   charge.FaultSet // present now
	Withheld string          // why power is withheld without a fault; empty: it is not
	Input    string          // with ReasonInput: the first input that is bad
	Late     bool            // the tick came too late: the keeper is not kicked

	Lock      bool             // the command of the lock
	SelfTest  bool             // begin a self-test of the residual current device
	ResetTrip bool             // reset that device
	Offer     charge.MilliAmps // the current that the pilot offers
	Limit     charge.Limit     // the lowest limit of the current; none: not known
}

// The reasons of Verdict.Withheld. They are also the reasons of the record
// suspended.
const (
	ReasonLate     = "control_loop_late"
	ReasonInput    = "safety_input"
	ReasonSettling = "settling"
	ReasonStart    = "start_delay"
	ReasonMeter    = "meter_lost"
	ReasonHot      = "too_hot"
	ReasonLimited  = charge.Limited
)

// Step decides one tick.
func Step(l Limits, s State, in Inputs) (State, Verdict) {
	v := Verdict{Late: in.Gap > l.MaxGap}
	s.resetLatches(l, &in)
	input := in.badInput(l)
	bad := input != ""
	s.watchContact(l, &in)
	s.watchStop(l, &in)
	s.watchHeat(l, &in)
	tested := s.watchGround(l, &in, &v)
	s.watchCurrent(l, &in, &v)
	locked := s.watchLock(l, &in, &v)
	v.Faults |= s.Latched | s.measured(l, &in)
	s.BadSince = s.BadSince.during(bad, in.Now)
	if s.BadSince.lasts(in.Now, l.Persist) {
		v.Faults = v.Faults.With(charge.FaultSafetyInput)
	}
	if bad || v.Late || s.CloseFrom == 0 {
		s.CloseFrom = in.Now + l.Stable
	}
	switch {
	case bad:
		v.Withheld, v.Input = ReasonInput, input
	case v.Late:
		v.Withheld = ReasonLate
	case in.Now < s.CloseFrom:
		v.Withheld = ReasonSettling
	case in.Now < in.StartAt:
		v.Withheld = ReasonStart
	case in.Fitted.Meter && in.MeterIn.lost(l.MaxMeterAge):
		v.Withheld = ReasonMeter
	case s.Paused.Known:
		v.Withheld = s.whyPaused(l, &in, &v)
	}
	// What waits for a device that is about to move or to be tested is not withheld:
	// it ends by itself, or becomes a fault.
	ready := s.SeenOpen && tested && locked
	v.Close = in.Permit && v.Withheld == "" && v.Faults.Empty() && ready && requestsPower(&in)
	return s, v
}

// resetLatches ends what a person has repaired, and what ends by the unplugging of
// the vehicle. What is still so latches again. A welded contactor must be measured
// open within MaxMove, so that its fault has no gap while it is still welded.
func (s *State) resetLatches(l Limits, in *Inputs) {
	if in.ResetLatch {
		s.Latched &= charge.FaultSet(0).With(charge.FaultContactorWelded)
		s.DiffersSince, s.ResetAt = moment{}, moment{true, in.Now}
	}
	if s.ResetAt.Known && in.open(l) {
		s.Latched = s.Latched.Without(charge.FaultContactorWelded)
	}
	if s.ResetAt.lasts(in.Now, l.MaxMove) {
		s.ResetAt = moment{}
	}
	if in.ResetStop {
		s.Latched = s.Latched.Without(charge.FaultEmergencyStop)
	}
	if in.unplugged(l) {
		s.Latched = s.Latched.Without(charge.FaultOvercurrent)
	}
}

// badInput names the first input that must be readable and is not; empty: all are.
func (in *Inputs) badInput(l Limits) string {
	switch {
	case in.WriteFailed:
		return "contactor_output"
	case in.PilotIn.bad(l):
		return "pilot"
	case in.EStopIn.bad(l):
		return "emergency_stop"
	case in.ContactIn.bad(l):
		return "contactor_feedback"
	case in.TrippedIn.bad(l):
		return "protection"
	case in.Fitted.Lock && in.LockIn.bad(l):
		return "lock"
	case in.cableBad(l):
		return "cable"
	case in.heatUnknown(l):
		return "temperature"
	}
	return ""
}

func requestsPower(in *Inputs) bool {
	return in.Pilot == charge.PilotC || in.Pilot == charge.PilotD && in.Vent
}

// watchStop latches the emergency stop: after its release a person must reset it.
func (s *State) watchStop(l Limits, in *Inputs) {
	if in.Pressed && !in.EStopIn.NotFitted && !in.EStopIn.bad(l) {
		s.Latched = s.Latched.With(charge.FaultEmergencyStop)
	}
}

// measured are the faults that hold as long as they are measured.
func (s *State) measured(l Limits, in *Inputs) charge.FaultSet {
	var f charge.FaultSet
	if in.Tripped != "" && !in.TrippedIn.NotFitted && !in.TrippedIn.bad(l) && !s.Ground.ignores(in) {
		f = f.With(in.Tripped)
	}
	if (in.Pilot == charge.PilotE || in.Pilot == charge.PilotF) && !in.PilotIn.bad(l) {
		f = f.With(charge.FaultPilot)
	}
	if s.Heat == heatStop {
		f = f.With(charge.FaultOvertemperature)
	}
	// Before its first reading the meter is only waited for.
	if in.Fitted.Meter && in.MeterIn.OK && in.MeterIn.lost(l.MaxMeterAge) {
		f = f.With(charge.FaultMeter)
	}
	return f
}
