package cards

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// SameTap is how long after a tap the same card has no effect: readers report a card
// that is moved in their field more than once.
const SameTap = 3 * time.Second

// DefaultWait is how long Central's answer is awaited.
const DefaultWait = 2 * time.Second

// Policy is what the owner of the charging point decided.
type Policy struct {
	// Wait is how long Central's answer is awaited.
	Wait time.Duration
	// CacheFor is how long an answer of Central serves when it cannot be asked; 0:
	// there is no cache.
	CacheFor time.Duration
	// AcceptUnanswered admits an unknown card when Central does not answer although
	// there is a connection; AcceptOffline when there is none. Its session has no
	// driver.
	AcceptUnanswered bool
	AcceptOffline    bool
}

// Now is the time of an event: At is monotonic since the boot, Wall the wall clock
// with its quality.
type Now struct {
	At    time.Duration
	Wall  charge.Time
	Clock charge.ClockQuality
}

func (n Now) when() Now { return n }

// hasClock reports whether the wall clock was set.
func (n Now) hasClock() bool { return n.Clock != charge.ClockUnset && n.Clock != "" }

// State is everything known about the cards of a charging point. The zero value is
// that of an empty charging point that refuses unknown cards.
//
// Invariant: every limit in time is at Timer or after it.
type State struct {
	Saved
	Policy  Policy
	Waiting []Waiting // the earliest first
	Last    charge.TokenHash
	LastAt  time.Duration
	Timer   time.Duration // as last asked for; 0: none
}

// Waiting is a card for which Central's answer is awaited.
type Waiting struct {
	Request string
	Card    charge.TokenHash
	Session charge.SessionID // for a session that begins without Central
	Until   time.Duration
}

// New returns the state at a boot.
func New(p Policy, v Saved) State { return State{Policy: p, Saved: v} }

// Connector is what a decision needs to know of a connector.
type Connector struct {
	ID        charge.ConnectorID
	Free      bool // a session may begin here
	Plugged   bool
	PluggedAt time.Duration   // since the boot; 0: at the boot
	Reserved  bool            // a reservation is held
	Holder    charge.Username // of the reservation

	Session  charge.SessionID // that runs and is not ending, or that waits for the plug
	Waits    bool             // Session waits for the plug
	Username charge.Username  // of Session
	Card     charge.TokenHash // that began Session; empty: no card
}

// Event is what happened. Each has the connectors at that moment.
//
//sumtype:decl
type Event interface {
	when() Now
	cardEvent()
}

// Presented is a card that was presented. Request and Session are unused ids.
type Presented struct {
	Now
	Card       charge.TokenHash
	Request    string
	Session    charge.SessionID
	Online     bool // there is a connection to the broker
	Connectors []Connector
}

// Answered is Central's AUTHORIZE.
type Answered struct {
	Now
	ID         charge.CommandID
	Raw        string // the command's bytes, for command_accepted
	Order      wire.Authorize
	Connectors []Connector
}

// ListReceived is Central's SET_LOCAL_LIST.
type ListReceived struct {
	Now
	ID    charge.CommandID
	Raw   string
	Order wire.SetLocalList
}

// TimerFired means that the time of SetTimer has come.
type TimerFired struct {
	Now
	Connectors []Connector
}

func (Presented) cardEvent()    {}
func (Answered) cardEvent()     {}
func (ListReceived) cardEvent() {}
func (TimerFired) cardEvent()   {}

// Effect is what the shell must do, in order.
//
//sumtype:decl
type Effect interface{ cardEffect() }

// Append asks for records of the charging point as a whole to be made durable.
type Append struct{ Records []wire.Payload }

// Begin asks a connector for a session (connector.CardAllowed).
type Begin struct {
	Connector charge.ConnectorID
	Session   charge.SessionID
	Username  charge.Username
	Card      charge.TokenHash
	By        wire.Grant
	Limit     charge.SessionLimit
}

// End asks a connector to end a session as local (connector.CardStop).
type End struct {
	Connector charge.ConnectorID
	Session   charge.SessionID
}

// Forward passes the AUTHORIZE to a connector, which accepts and finishes it and
// begins its session.
type Forward struct {
	Connector charge.ConnectorID
	Card      charge.TokenHash
}

// Refused means that the tap has no effect, and why.
type Refused struct {
	Card   charge.TokenHash
	Reason string
}

// SetTimer asks for TimerFired at a time since the boot; 0 cancels it.
type SetTimer struct{ At time.Duration }

func (Append) cardEffect()   {}
func (Begin) cardEffect()    {}
func (End) cardEffect()      {}
func (Forward) cardEffect()  {}
func (Refused) cardEffect()  {}
func (SetTimer) cardEffect() {}
