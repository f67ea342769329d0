package connector

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Effect is what the shell must do. A step's list is in this order and holds
// at most one of each: OpenContactor, Append, OfferPower, CloseContactor,
// ReadMeter, SetTimer.
//
//sumtype:decl
type Effect interface{ connectorEffect() }

// Token names an Append.
type Token uint64

// OpenContactor withdraws the permission and opens, before anything else.
type OpenContactor struct{}

// Append asks for records to be made durable, in this order and together. What
// came of it is told by Appended or AppendFailed.
type Append struct {
	Token   Token
	Records []Record
}

// Record is one record to be written about this connector.
type Record struct {
	Session charge.SessionID
	Payload wire.Payload
}

// OfferPower tells the vehicle that it may ask for power, or that it may not.
type OfferPower struct{ Offer bool }

// CloseContactor permits the safety loop to close, until OpenContactor.
type CloseContactor struct{}

// ReadMeter asks for a reading that begins now.
type ReadMeter struct{}

// SetTimer asks for TimerFired at a time since the boot and replaces the timer
// set before; 0 takes it away.
type SetTimer struct{ At time.Duration }

func (OpenContactor) connectorEffect()  {}
func (Append) connectorEffect()         {}
func (OfferPower) connectorEffect()     {}
func (CloseContactor) connectorEffect() {}
func (ReadMeter) connectorEffect()      {}
func (SetTimer) connectorEffect()       {}
