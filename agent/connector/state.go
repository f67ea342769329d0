package connector

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
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
	// ClockWithin is how long a reservation found at boot waits for a clock.
	ClockWithin = 2 * time.Minute
	// moveWithin is how long a contactor may move after a command; what it shows
	// later is where it stays.
	moveWithin = 250 * time.Millisecond
	// clockSkew is how far beyond its end the synced wall clock must be to end a
	// reservation that the monotonic clock still holds.
	clockSkew = 30 * time.Second
	// meterFailures in a row are a fault.
	meterFailures = 3
	// consistentReadings readings in a row that go on from each other, and not from the
	// one before them, are those of the meter there is now.
	consistentReadings = 10
)

// Policy is what the owner of the charging point decided.
type Policy struct {
	// Resume goes on with a session after a restart, if the vehicle is still
	// plugged in; otherwise it ends as power_loss.
	Resume bool
	// ReservedPlugStarts lets the plug suffice where a reservation is held.
	ReservedPlugStarts bool
	// FreeVend lets anybody charge who plugs in, where nothing is reserved.
	FreeVend bool
	// Vent: the installation is ventilated, so pilot D may charge.
	Vent bool
	// Rated is the power by which a jump of the meter is judged; 0: not judged.
	Rated charge.Watts
	// SampleEnergy and SampleInterval say how often meter_read is written while
	// power flows, whichever comes first; 0: that rule is off.
	SampleEnergy   charge.WattHours
	SampleInterval time.Duration
}

// State is everything known about one connector. The zero value is a connector
// that has not booted: it ignores all but Booted. It is comparable.
//
// Invariant: Commanded ⇒ Session.Granted ∧ Plugged ∧ the pilot asks ∧ Faults
// is empty ∧ Hold is empty ∧ not Unavailable.
// Invariant: at most one of Start and Session is under way.
// Invariant: Meter.Last.Import never goes down in one boot.
// Invariant: whatever ends by itself has its time in Timer or before it.
type State struct {
	ID     charge.ConnectorID
	Policy Policy
	Phase  Phase

	Pilot     charge.PilotState
	Plugged   bool   // by the pilot; kept while it reads E, F or nothing
	Closed    bool   // as measured
	Commanded bool   // power is permitted
	Offered   bool   // the vehicle is told that it may ask
	Withheld  string // why the safety loop withholds power for now; empty: it does not
	Faults    charge.FaultSet

	StorageFull bool // no new session may start
	Unavailable bool // as ordered
	Finishing   bool // the vehicle has charged and is still plugged in

	Meter       Meter
	Reservation Reservation
	Pending     PendingStart
	Session     Session

	Reported charge.Status // the status as last written down
	Token    Token         // of the last Append
	Timer    time.Duration // as last asked for; 0: none
}

// Phase is where the connector stands between boot and shutdown.
type Phase int

// The lives of a connector.
const (
	PhaseNew      Phase = iota
	PhaseBooted         // restored, not yet registered: nothing is written
	PhaseRunning        // registered
	PhaseStopping       // no new work
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

// Reservation keeps the connector for a driver. None is held when ID is empty.
type Reservation struct {
	ID       charge.ReservationID
	Username charge.Username
	Until    charge.Time
	Tariff   charge.TariffVersion
	EndsAt   time.Duration // since the boot, by the monotonic clock
	NoClock  bool          // found at boot without a clock: Ends is ClockWithin
	left     time.Duration // of the monotonic clock, as found at boot
}

// PendingStart is a session about to begin: it waits for the plug or for the meter.
// None is under way when Session is empty.
type PendingStart struct {
	Session     charge.SessionID
	Username    charge.Username
	Reservation charge.ReservationID
	Tariff      charge.TariffVersion
	Command     charge.CommandID // empty when a policy starts it
	Raw         string           // the command, until its acceptance is written
	PlugBy      time.Duration    // of waiting for the plug; 0: with the reservation
	ReadBy      time.Duration    // of waiting for the meter; 0: not yet
	AskedAt     time.Duration    // when the meter was asked
}

// Flow says whether power flows in a session.
type Flow int

// The flows of a session.
const (
	FlowNone      Flow = iota // not yet
	FlowOn                    // the contactor is closed
	FlowSuspended             // it was, and is open for now
)

// Session is the session that is open. There is none when ID is empty.
type Session struct {
	ID              charge.SessionID
	Username        charge.Username
	Reservation     charge.ReservationID
	Tariff          charge.TariffVersion
	StartRegister   charge.WattHours // the register at the grant
	GrantToken      Token            // of the Append that holds the grant
	Granted         bool             // the grant is durable
	Started         bool             // power has flowed
	Flow            Flow
	ByEV            bool // suspended by the vehicle
	SampledRegister charge.WattHours
	SampledAt       time.Duration
	Ending          Ending
	OtherMeter      string           // why the meter of this boot is not that of the session; it ends at LastGood
	LastRegister    charge.WattHours // the last register of the boots before, when Torn
}

// Ending is a session that waits for its last register. It has not begun when
// Reason is empty.
type Ending struct {
	Reason   charge.StopReason
	BegunAt  time.Duration
	ReadBy   time.Duration    // then the last good register serves
	Opened   bool             // the contactor was seen open
	OpenedAt time.Duration    // only a reading begun after it counts
	Command  charge.CommandID // the STOP that is finished with it
}

// requestsPower reports whether the vehicle asks for power that this point may give.
func (s *State) requestsPower() bool {
	return s.Pilot == charge.PilotC || s.Pilot == charge.PilotD && s.Policy.Vent
}

// mayHavePower reports whether the contactor may be closed.
func (s *State) mayHavePower() bool {
	return s.mayBeOffered() && s.Plugged && s.requestsPower() && s.Withheld == ""
}

// mayBeOffered reports whether the vehicle may be told to ask for power.
func (s *State) mayBeOffered() bool {
	return s.Phase == PhaseRunning && s.Session.Granted && s.Session.Ending.Reason == "" && s.Faults.Empty() && !s.Unavailable
}

// NothingPending reports that nothing is under way that would soon be written down: a
// shutdown need not wait any longer.
func (s State) NothingPending() bool { return s.Session.Ending.Reason == "" && s.Pending.Session == "" }

// deadline is the next time at which something ends by itself; 0: nothing
// does.
func (s *State) deadline() time.Duration {
	var next time.Duration
	for _, d := range [...]time.Duration{s.Reservation.EndsAt, s.Pending.PlugBy, s.Pending.ReadBy, s.Session.Ending.ReadBy} {
		if d > 0 && (next == 0 || d < next) {
			next = d
		}
	}
	return next
}
