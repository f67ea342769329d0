package connector

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Now is the time of an event. At is the monotonic time since the boot, which
// decides all durations; it never goes back between events. Wall is the wall
// clock with its quality, for limits that were set elsewhere.
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

// Booted restores the state of the journal and of the hardware. It is the first
// event; a second one has no effect. Nothing is recorded before Registered.
type Booted struct {
	Now
	ID         charge.ConnectorID
	Policy     Policy
	Saved      Saved
	Pilot      charge.PilotState
	Reading    Reading
	HasReading bool // false: the meter did not answer, Reading is zero
}

// Registered means that record 1 of this boot's journal is durable. Unfinished
// is Saved's: the commands that an earlier boot accepted and did not finish.
type Registered struct {
	Now
	Unfinished []Unfinished
}

// PilotChanged is a new state of the control pilot. NewSession is an unused
// session id, for a policy that starts a session by this plug.
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

// PowerWithheld means that the safety loop withholds power for a reason that may
// pass; with an empty reason, that it no longer does.
type PowerWithheld struct {
	Now
	Reason string
}

// MeterRead is a reading; with Failed, that the meter did not answer.
type MeterRead struct {
	Now
	Reading Reading
	Failed  bool
}

// CommandReceived is a command for this boot that came in order, in time and for
// the first time. Whether it has an effect is decided here.
type CommandReceived struct {
	Now
	ID      charge.CommandID
	SentAt  charge.Time
	Raw     string        // the command's bytes, for command_accepted
	Order   wire.Order    // nil: of a type this build does not know
	Expires time.Duration // since the boot; 0: never
	// AllConnectors: the command is for all connectors; its receiver records the
	// acceptance and the result, not each connector.
	AllConnectors bool
	// Card is the card that an AUTHORIZE is about.
	Card charge.TokenHash
}

// FaultSeen means that a fault is present.
type FaultSeen struct {
	Now
	Fault  charge.Fault
	Detail string
}

// FaultGone means that a fault is no longer present.
type FaultGone struct {
	Now
	Fault charge.Fault
}

// Appended means that the records of an Append are durable.
type Appended struct {
	Now
	Token Token
}

// AppendFailed means that the records of an Append are not durable, and that the
// journal has failed.
type AppendFailed struct {
	Now
	Token Token
}

// StorageChanged reports whether there is space for the records of a new
// session.
type StorageChanged struct {
	Now
	Full bool
}

// TimerFired means that the time of SetTimer has come. An outdated one has no
// effect.
type TimerFired struct{ Now }

// CardAllowed begins a session for a card that may charge by the local list, by an
// answer of Central that was kept, or by a policy (By). The AUTHORIZE of Central is a
// CommandReceived with Card.
type CardAllowed struct {
	Now
	Session  charge.SessionID
	Username charge.Username // empty: an unknown card
	Card     charge.TokenHash
	By       wire.Grant
	Limit    charge.SessionLimit
}

// CardStop is a card that ends a session.
type CardStop struct {
	Now
	Session charge.SessionID
}

// LocalStop is a stop by a person at the charging point.
type LocalStop struct{ Now }

// Shutdown means that the agent is about to end.
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
func (CardAllowed) connectorEvent()     {}
func (CardStop) connectorEvent()        {}
func (LocalStop) connectorEvent()       {}
func (Shutdown) connectorEvent()        {}
