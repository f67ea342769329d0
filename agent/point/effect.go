package point

import (
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Effect is what the shell does after a step, in the order of the list. Contactors
// are opened first. None of them is waited for: what has a result reports it as
// an event.
//
//sumtype:decl
type Effect interface{ pointEffect() }

// The effects at the hardware.
type (
	// OpenContactor withdraws the permission and opens.
	OpenContactor struct{ Connector charge.ConnectorID }

	// Permit permits the control loop to close the contactor, until OpenContactor.
	Permit struct {
		Connector charge.ConnectorID
		Session   charge.SessionID // for which it is closed
	}

	// OfferPower switches the pilot: with an offer the vehicle may request power
	// (IEC 61851: PWM), without one it may not.
	OfferPower struct {
		Connector charge.ConnectorID
		Offer     bool
	}

	// LimitCurrent limits the current of a connector, until the next LimitCurrent.
	// Without a Limit there is none but those that the control loop measures.
	LimitCurrent struct {
		Connector charge.ConnectorID
		Limit     charge.Limit
	}

	// ReadMeter asks for a reading that begins now. MeterRead is its result; other
	// readings may come before it.
	ReadMeter struct{ Connector charge.ConnectorID }

	// ResetLatch ends the faults that the control loop has latched: an operator orders
	// it, or has put the connector back into service. What is still so latches again.
	ResetLatch struct{ Connector charge.ConnectorID }

	// ReleaseCable moves the lock once more, as soon as the safety rules release the
	// cable.
	ReleaseCable struct{ Connector charge.ConnectorID }

	// Identify lets the lights of a connector blink; 0 means all.
	Identify struct{ Connector charge.ConnectorID }

	// Operate asks for an operation of simulated hardware; Operated is its result.
	Operate struct{ Operation Operation }
)

// Operation is what a command does at simulated hardware.
type Operation struct {
	Connector charge.ConnectorID
	Simulate  wire.Simulate
	Command   charge.CommandID
}

// The effects at the disk.
type (
	// Append asks for a batch to be made durable, in order and together. Appended or
	// AppendFailed is its result.
	Append struct{ Batch *Batch }

	// SavePosition asks for the position to be saved, and allows the journal to
	// delete the records up to Index. PositionSaved is its result.
	SavePosition struct {
		Position delivery.Position
		Index    delivery.Index
	}
)

// The effects at the uplink. What names a connection that has ended has no effect.
type (
	// PublishPresence publishes the presence, retained.
	PublishPresence struct {
		Conn     uint64
		Presence wire.Presence
	}

	// PublishTelemetry publishes the latest values. The shell adds what the core does
	// not know: keeper and late ticks of the control loop, the age of the oldest
	// record.
	PublishTelemetry struct {
		Conn      uint64
		Telemetry wire.Telemetry
	}

	// Send publishes the records First to Last in their order. One that cannot be
	// read counts as lost on the way.
	Send struct {
		Conn        uint64
		First, Last delivery.Index
	}

	// Reconnect replaces a connection on which Central is silent.
	Reconnect struct{ Conn uint64 }
)

type (
	// SetTimer asks for TimerFired at a time since the boot. It replaces the timer
	// set before; 0 cancels it.
	SetTimer struct{ At time.Duration }

	// SetClock is Central's time at this moment, for a clock that is not set.
	SetClock struct{ Central charge.Time }

	// Ended means, after Shutdown, that every session has ended or is suspended, every
	// contactor is open and every record is durable.
	Ended struct{}

	// Drained means, after Ended, that Central has acknowledged every record.
	Drained struct{}
)

// The effects that inform only.
type (
	// Recorded is the records that a step of a connector asked for, which are not yet
	// durable, and the state behind it.
	Recorded struct {
		Connector connector.State
		Records   []connector.Record
	}

	// CommandDecided is what was decided about a received command.
	CommandDecided struct{ Verdict delivery.Verdict }

	// RolledBack means that the storage was set back: Central holds more of an older
	// journal than this disk.
	RolledBack struct{ delivery.RolledBack }
)

func (OpenContactor) pointEffect()    {}
func (Permit) pointEffect()           {}
func (OfferPower) pointEffect()       {}
func (LimitCurrent) pointEffect()     {}
func (ReadMeter) pointEffect()        {}
func (ResetLatch) pointEffect()       {}
func (ReleaseCable) pointEffect()     {}
func (Identify) pointEffect()         {}
func (Operate) pointEffect()          {}
func (Append) pointEffect()           {}
func (SavePosition) pointEffect()     {}
func (PublishPresence) pointEffect()  {}
func (PublishTelemetry) pointEffect() {}
func (Send) pointEffect()             {}
func (Reconnect) pointEffect()        {}
func (SetTimer) pointEffect()         {}
func (SetClock) pointEffect()         {}
func (Ended) pointEffect()            {}
func (Drained) pointEffect()          {}
func (Recorded) pointEffect()         {}
func (CommandDecided) pointEffect()   {}
func (RolledBack) pointEffect()       {}
