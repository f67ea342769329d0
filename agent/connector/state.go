package connector

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Times of the machine.
const (
	// PlugWithin is how long a START without a reservation waits for the plug.
	PlugWithin = 2 * time.Minute
	// ReadWithin is how long a start or a stop waits for the meter.
	ReadWithin = 2 * time.Second
	// BootReadWithin is how long a session of an earlier boot waits for the
	// meter, which may need longer to start than the agent.
	BootReadWithin = 30 * time.Second
	// ClockWithin is how long a reservation restored at boot waits for a clock.
	ClockWithin = 2 * time.Minute
	// ReserveAtMost is the longest reservation: none lasts for ever by accident.
	ReserveAtMost = 366 * 24 * time.Hour
	// BootCounts is what a boot counts at least of the time of a reservation, if the
	// next one has no synced clock.
	BootCounts = 30 * time.Second
	// YieldWithin is how long a vehicle that is asked by its pilot to end may go on
	// (IEC 61851-1); then the contactor opens under load.
	YieldWithin = 6 * time.Second
	// moveWithin is how long a contactor may move after a command.
	moveWithin = 250 * time.Millisecond
	// clockSkew is how far a synced wall clock must be past the end of a
	// reservation to end it before the monotonic clock does.
	clockSkew = 30 * time.Second
	// meterFailures in a row are a fault.
	meterFailures = 3
	// consistentReadings is how many rejected readings in a row must follow each
	// other plausibly before they count as the meter's.
	consistentReadings = 10
)

// Policy is what the owner of the charging point decided.
type Policy struct {
	// Resume goes on with a session after a restart, if the vehicle is still
	// plugged in; otherwise it ends as power_loss.
	Resume bool
	// ReservedPlugStarts starts a session by the plug where a reservation is held.
	ReservedPlugStarts bool
	// FreeVend starts a session by the plug where none is held, for any driver.
	FreeVend bool
	// Vent: the installation is ventilated, so pilot D may charge.
	Vent bool
	// Steered: the vehicle follows the pilot, so a session that ends asks it to stop
	// before the contactor opens.
	Steered bool
	// Lock: the cable is locked while power is offered.
	Lock bool
	// Rated is the power that limits how much a register may gain; 0: no limit.
	Rated charge.Watts
	// SampleEnergy and SampleInterval are how often meter_read is recorded while
	// power flows, whichever comes first; 0: that rule is off.
	SampleEnergy   charge.WattHours
	SampleInterval time.Duration
}

// State is everything known about one connector. The zero value is a connector
// that has not booted: it ignores all but Booted. It is comparable. Times are
// since the boot by the monotonic clock; 0 means none.
//
// Invariant: Commanded ⇒ Session.Granted ∧ Plugged ∧ requestsPower ∧ Faults
// is empty ∧ Withheld is empty ∧ (the session goes on ∧ not Unavailable, or
// OpenBy is ahead).
// Invariant: at most one of Start and Session is under way.
// Invariant: Meter.Last.Import never goes down in one boot.
// Invariant: every limit in time is at Timer or after it.
type State struct {
	ID     charge.ConnectorID
	Policy Policy
	Phase  Phase

	Pilot     charge.PilotState
	Plugged   bool          // by the pilot; kept while it reads E, F or nothing
	PluggedAt time.Duration // when Plugged became true; 0: before the boot
	Closed    bool          // as measured
	Commanded bool          // power is permitted
	Offered   bool          // the pilot offers power to the vehicle
	// OpenBy is when the contactor opens under load; 0: the vehicle is not asked to
	// end.
	OpenBy   time.Duration
	Withheld string // why the safety loop withholds power; empty: it does not
	Faults   charge.FaultSet

	StorageFull bool // no new session may start
	Unavailable bool // as ordered
	Finishing   bool // the session is over, the vehicle still plugged in

	Meter       Meter
	Reservation Reservation
	Pending     PendingStart
	Session     Session

	Reported charge.Status // the status last recorded
	Token    Token         // of the last Append
	Timer    time.Duration // as last asked for; 0: none
}

// Phase is the stage of the connector between boot and shutdown; it only
// advances.
type Phase int

// The phases of a connector.
const (
	PhaseNew      Phase = iota
	PhaseBooted         // restored, not yet registered: nothing is recorded
	PhaseRunning        // registered
	PhaseStopping       // no command is accepted
)

// Meter is what is known of the meter.
type Meter struct {
	Last         Reading
	Known        bool
	Failures     int     // in a row
	Rejected     bool    // the last reading was not believed
	LastRejected Reading // the last one not believed
	Consistent   int     // so many not believed in a row go on from each other
}

// Reading is one reading of the meter.
type Reading struct {
	BegunAt     time.Duration // when the reading began, since the boot
	Import      charge.WattHours
	Power       charge.Watts
	Current     charge.MilliAmps
	Voltage     charge.MilliVolts
	Temperature charge.MilliCelsius
}

// Reservation keeps the connector for a driver. ID is empty when none is held.
type Reservation struct {
	ID       charge.ReservationID
	Username charge.Username
	Until    charge.Time
	Tariff   charge.TariffVersion
	EndsAt   time.Duration // since the boot, by the monotonic clock
	NoClock  bool          // restored at boot without a clock: EndsAt is ClockWithin after it
	Left     time.Duration // the end by the monotonic clock, as restored at boot
}

// PendingStart is a session about to begin: it waits for the plug or for the
// meter. Session is empty when there is none.
type PendingStart struct {
	Session     charge.SessionID
	Username    charge.Username
	Reservation charge.ReservationID
	Tariff      charge.TariffVersion
	Command     charge.CommandID // empty when a policy or the local list starts it
	Authorize   bool             // Command is an AUTHORIZE, not a START
	Card        charge.TokenHash // that starts it; empty: no card
	By          wire.Grant       // of a card without Command
	Raw         string           // the command, until its acceptance is written
	PlugBy      time.Duration    // of waiting for the plug; 0: with the reservation
	ReadBy      time.Duration    // of waiting for the meter; 0: not yet
	AskedAt     time.Duration    // when the meter was asked
	Limit       charge.SessionLimit
}

// Flow is whether power flows in a session.
type Flow int

// The flows of a session.
const (
	FlowNone      Flow = iota // not yet
	FlowOn                    // the contactor is closed
	FlowSuspended             // it was, and is open for now
)

// Session is the open session. ID is empty when there is none.
type Session struct {
	ID              charge.SessionID
	Username        charge.Username
	Reservation     charge.ReservationID
	Tariff          charge.TariffVersion
	StartRegister   charge.WattHours // the register at the grant
	Card            charge.TokenHash // that began it; empty: no card
	GrantToken      Token            // of the Append that holds the grant
	Granted         bool             // the grant is durable
	Started         bool             // power has flowed
	Flow            Flow
	ByEV            bool // suspended by the vehicle
	SampledRegister charge.WattHours
	SampledAt       time.Duration
	Ending          Ending
	OtherMeter      string           // why the meter of this boot is not that of the session; it ends at LastRegister
	LastRegister    charge.WattHours // the last register of the earlier boots, with OtherMeter
	Limit           charge.SessionLimit
}

// limitReached reports whether the session has all the energy that it may have at
// this register.
func (x *Session) limitReached(register charge.WattHours) bool {
	return x.ID != "" && x.Limit.Energy > 0 && register-x.StartRegister >= x.Limit.Energy
}

// Ending is the end of a session, which waits for its last register. Reason is
// empty while the session goes on.
type Ending struct {
	Reason   charge.StopReason
	BegunAt  time.Duration
	ReadBy   time.Duration    // then the last good register serves
	Opened   bool             // the contactor was seen open
	OpenedAt time.Duration    // only a reading begun after it counts
	Command  charge.CommandID // the STOP that is finished with it
}

// requestsPower reports whether the vehicle requests power in a way that this
// charging point may serve: state D needs ventilation.
func (s *State) requestsPower() bool {
	return s.Pilot == charge.PilotC || s.Pilot == charge.PilotD && s.Policy.Vent
}

// mayHavePower reports whether the contactor may be closed.
func (s *State) mayHavePower() bool {
	return s.mayBeOffered() && s.Plugged && s.requestsPower() && s.Withheld == ""
}

// mayYield reports whether the contactor may stay closed for a vehicle that is asked
// to end: only its right has ended, nothing is wrong.
func (s *State) mayYield() bool {
	return s.Policy.Steered && s.Phase == PhaseRunning && s.Commanded && s.Closed && s.Session.Granted && s.Plugged && s.requestsPower() &&
		s.Faults.Empty() && s.Withheld == ""
}

// mayBeOffered reports whether the pilot may offer power to the vehicle.
func (s *State) mayBeOffered() bool {
	return s.Phase == PhaseRunning && s.Session.Granted && s.Session.Ending.Reason == "" && s.Faults.Empty() && !s.Unavailable
}

// NothingPending reports that no record is about to be written: a shutdown need
// not wait any longer.
func (s State) NothingPending() bool { return s.Session.Ending.Reason == "" && s.Pending.Session == "" }

// deadline is the next limit in time; 0 without one.
func (s *State) deadline() time.Duration {
	var next time.Duration
	for _, d := range [...]time.Duration{s.Reservation.EndsAt, s.Pending.PlugBy, s.Pending.ReadBy, s.Session.Ending.ReadBy, s.OpenBy} {
		if d > 0 && (next == 0 || d < next) {
			next = d
		}
	}
	return next
}
