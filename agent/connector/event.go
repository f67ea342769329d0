package connector

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Now is the time of an event: since the boot by the monotonic clock, and the
// wall clock as far as it can be trusted. At never goes back between events.
type Now struct {
	At    time.Duration
	Wall  charge.Time
	Clock charge.ClockQuality
}

func (n Now) when() Now { return n }

// Event is what happened.
//
//sumtype:decl
type Event interface {
	when() Now
	connectorEvent()
}

// Booted restores what the journal knew and what the hardware shows. It is the
// first event; a second one has no effect. Nothing is written before
// Registered.
type Booted struct {
	Now
	ID         charge.ConnectorID
	Policy     Policy
	Saved      Saved
	Pilot      charge.PilotState
	Reading    Reading
	HasReading bool // Reading holds; false: the meter does not answer
}

// Registered says that record 1 of this boot's journal is durable. Unfinished
// is Saved's: the commands an earlier boot accepted and did not finish.
type Registered struct {
	Now
	Unfinished []Unfinished
}

// PilotChanged is a new state of the control pilot. Fresh is a new session id,
// used if a policy starts a session by this plug.
type PilotChanged struct {
	Now
	Pilot      charge.PilotState
	NewSession charge.SessionID
}

// ContactChanged is a new measured state of the contactor.
type ContactChanged struct {
	Now
	Closed bool
}

// PowerWithheld says that the safety loop withholds power for a reason that may
// pass, or, with an empty reason, that it does not any more.
type PowerWithheld struct {
	Now
	Reason string
}

// MeterRead is a reading, or that the meter did not give one.
type MeterRead struct {
	Now
	Reading Reading
	Failed  bool
}

// CommandReceived is a command that came for this boot, in order, in time and
// for the first time; whether it is fulfilled is decided here.
type CommandReceived struct {
	Now
	ID      charge.CommandID
	SentAt  charge.Time
	Raw     string        // the command's bytes, for command_accepted
	Order   wire.Order    // nil: of a type this build does not know
	Expires time.Duration // since the boot; 0: never
	// AllConnectors: the command concerns all connectors, and whoever received it writes
	// its acceptance and its end.
	AllConnectors bool
}

// FaultSeen says that something is wrong.
type FaultSeen struct {
	Now
	Fault  charge.Fault
	Detail string
}

// FaultGone says that it no longer is.
type FaultGone struct {
	Now
	Fault charge.Fault
}

// Appended says that the records of an Append are durable.
type Appended struct {
	Now
	Token Token
}

// AppendFailed says that they are not, and that the journal takes no more.
type AppendFailed struct {
	Now
	Token Token
}

// StorageChanged says whether there is room for a new session's records.
type StorageChanged struct {
	Now
	Full bool
}

// TimerFired says that the time of SetTimer has come. A stale one has no
// effect.
type TimerFired struct{ Now }

// LocalStop is a stop by a person at the charging point.
type LocalStop struct{ Now }

// Shutdown says that the agent is about to end.
type Shutdown struct{ Now }

func (Booted) connectorEvent()          {}
func (Registered) connectorEvent()      {}
func (PilotChanged) connectorEvent()    {}
func (ContactChanged) connectorEvent()  {}
func (PowerWithheld) connectorEvent()   {}
func (MeterRead) connectorEvent()       {}
func (CommandReceived) connectorEvent() {}
func (FaultSeen) connectorEvent()       {}
func (FaultGone) connectorEvent()       {}
func (Appended) connectorEvent()        {}
func (AppendFailed) connectorEvent()    {}
func (StorageChanged) connectorEvent()  {}
func (TimerFired) connectorEvent()      {}
func (LocalStop) connectorEvent()       {}
func (Shutdown) connectorEvent()        {}
