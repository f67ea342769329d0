package point

import (
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Now is the time of a step, and a random number for jitter. At never goes back
// from step to step.
type Now struct {
	connector.Now
	Rand uint64
}

// Event is what happened to a charging point.
//
//sumtype:decl
type Event interface{ pointEvent() }

// The events of the hardware.
type (
	// PilotChanged is a new state of the control pilot. NewSession is an unused
	// session id, for a policy that starts a session by this plug.
	PilotChanged struct {
		Connector  charge.ConnectorID
		Pilot      charge.PilotState
		NewSession charge.SessionID
	}

	// ContactChanged is a new measured state of a contactor.
	ContactChanged struct {
		Connector charge.ConnectorID
		Closed    bool
	}

	// PowerWithheld means that the control loop withholds power for a reason that
	// may pass; with an empty reason, that it no longer does. Input is the input that is
	// bad, for the flight recorder: nothing is decided by it.
	PowerWithheld struct {
		Connector charge.ConnectorID
		Reason    string
		Input     string `json:",omitempty"`
	}

	// LimitApplied is the lowest limit of a connector's current, with those that the
	// control loop measures.
	LimitApplied struct {
		Connector charge.ConnectorID
		Limit     charge.Limit
	}

	// FaultSeen means that a fault is present.
	FaultSeen struct {
		Connector charge.ConnectorID
		Fault     charge.Fault
	}

	// FaultGone means that a fault is no longer present.
	FaultGone struct {
		Connector charge.ConnectorID
		Fault     charge.Fault
	}

	// MeterRead is a reading; with Failed, that the meter did not answer.
	MeterRead struct {
		Connector charge.ConnectorID
		Reading   connector.Reading
		Failed    bool
	}

	// LocalStop is a stop by a person at the charging point.
	LocalStop struct{ Connector charge.ConnectorID }

	// Operated is the result of Operate; Failure is empty if it succeeded.
	Operated struct {
		Operation Operation
		Failure   string
	}
)

// The events of the disk. Held is which records it holds now.
type (
	// Appended means that the batch under way is durable. Saved is Batch.Saved after
	// it.
	Appended struct {
		Saved []connector.Saved
		Held  delivery.Held
	}

	// AppendFailed means that no record of the batch under way is durable. NoSpace
	// may pass; without it the journal has failed for this boot.
	AppendFailed struct{ NoSpace bool }

	// PositionSaved means that SavePosition is done. A position that could not be
	// saved is no failure: more records are sent again after the next boot.
	PositionSaved struct{ Held delivery.Held }

	// DiskChecked is what the disk holds, and how much of the space for unacknowledged
	// records is used, in thousandths. It comes about every second.
	DiskChecked struct {
		Held     delivery.Held
		Permille int64
	}
)

// The events of the uplink. Conn counts the connections of a boot, from 1.
type (
	// Connected means that a connection to the broker is open and subscribed.
	Connected struct{ Conn uint64 }

	// Disconnected means that a connection has ended.
	Disconnected struct{ Conn uint64 }

	// Confirmed is the broker's confirmation of a record (PUBACK).
	Confirmed struct{ Conn uint64 }

	// AckReceived is an acknowledgement of Central. Live is false for a retained
	// message, which is of the past.
	AckReceived struct {
		Ack  wire.Ack
		Live bool
	}

	// CommandReceived is the bytes of a command, and the time since the boot when
	// they were received: they may have waited for this step.
	CommandReceived struct {
		Raw        []byte
		ReceivedAt time.Duration
	}

	// BadMessage is a message that cannot be decoded.
	BadMessage struct{}
)

type (
	// TimerFired means that the time of SetTimer has come. An outdated one has no
	// effect.
	TimerFired struct{}

	// Shutdown means that the agent is about to end. Ended follows, and then Drained.
	Shutdown struct{}
)

func (PilotChanged) pointEvent()    {}
func (ContactChanged) pointEvent()  {}
func (PowerWithheld) pointEvent()   {}
func (LimitApplied) pointEvent()    {}
func (FaultSeen) pointEvent()       {}
func (FaultGone) pointEvent()       {}
func (MeterRead) pointEvent()       {}
func (LocalStop) pointEvent()       {}
func (Operated) pointEvent()        {}
func (Appended) pointEvent()        {}
func (AppendFailed) pointEvent()    {}
func (PositionSaved) pointEvent()   {}
func (DiskChecked) pointEvent()     {}
func (Connected) pointEvent()       {}
func (Disconnected) pointEvent()    {}
func (Confirmed) pointEvent()       {}
func (AckReceived) pointEvent()     {}
func (CommandReceived) pointEvent() {}
func (BadMessage) pointEvent()      {}
func (TimerFired) pointEvent()      {}
func (Shutdown) pointEvent()        {}
