package connector

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Effect is what the shell must do. A step's list is in this order and holds
// at most one of each: OpenContactor, Append, OfferPower, CloseContactor,
// ReadMeter, ResetLatch, ReleaseCable, SetTimer.
//
//sumtype:decl
type Effect interface{ connectorEffect() }

// Token names an Append.
type Token uint64

// OpenContactor withdraws the permission and opens, before anything else.
type OpenContactor struct{}

// Append asks for records to be made durable, in this order and together. Its
// result comes back as Appended or AppendFailed with the same token.
type Append struct {
	Token   Token
	Records []Record
}

// Record is one record of this connector; the shell adds number, time and hash.
type Record struct {
	Session charge.SessionID
	Payload wire.Payload
}

// OfferPower switches the pilot: with an offer the vehicle may request power
// (IEC 61851: PWM), without one it may not.
type OfferPower struct{ Offer bool }

// CloseContactor permits the safety loop to close the contactor, until
// OpenContactor.
type CloseContactor struct{}

// ReadMeter asks for a reading that begins now. MeterRead is its result; other
// readings may come before it.
type ReadMeter struct{}

// ResetLatch asks the safety loop to end the faults that it has latched: an
// operator orders it, or has put the connector back into service. What is still so
// latches again.
type ResetLatch struct{}

// ReleaseCable asks for the lock to be moved once more, as soon as the safety rules
// release the cable.
type ReleaseCable struct{}

// SetTimer asks for TimerFired at a time since the boot. It replaces the timer
// set before; 0 cancels it.
type SetTimer struct{ At time.Duration }

func (OpenContactor) connectorEffect()  {}
func (Append) connectorEffect()         {}
func (OfferPower) connectorEffect()     {}
func (CloseContactor) connectorEffect() {}
func (ReadMeter) connectorEffect()      {}
func (ResetLatch) connectorEffect()     {}
func (ReleaseCable) connectorEffect()   {}
func (SetTimer) connectorEffect()       {}
