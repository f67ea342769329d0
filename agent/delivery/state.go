package delivery

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Limits of sending.
const (
	// MaxWindow is how many records may be under way beyond the position.
	MaxWindow = 64
	// ProbeAfter is how long the first probe waits for progress; each further
	// one waits twice as long, up to ProbeAtMost.
	ProbeAfter  = 5 * time.Second
	ProbeAtMost = 60 * time.Second
	// SilentAfter is how long Central may leave confirmed sends unanswered
	// before that is an alarm: a broker that refuses by an access rule confirms
	// all the same, and looks exactly like this.
	SilentAfter = 60 * time.Second
	// ReconnectAfter is how long a connection may bring nothing from Central before
	// it is given up for a new one: Central answers each presence, so the broker
	// may have lost what we subscribed to. Each further one in a row waits twice
	// as long, up to LeaveAtMost.
	ReconnectAfter  = 2*PresenceEvery + time.Minute
	ReconnectAtMost = time.Hour
)

// Position is the last record Central acknowledged, and the epoch of the Central
// that did. The zero value means that it never acknowledged anything.
type Position struct {
	Central charge.Epoch
	Journal charge.JournalID
	Seq     charge.Seq
}

// State is what an agent knows about its deliveries. The zero value is an
// agent without a connection that holds nothing; Booted fills it.
//
// Invariant: Acked < Next ≤ Acked+MaxWindow+1, and Next ≤ End+1.
// Invariant: 1 ≤ Window ≤ MaxWindow once connected.
type State struct {
	Position Position
	Acked    Index // all records up to it are acknowledged
	End      Index // the last record held
	Next     Index // the next record to send
	Window   int   // how many may be under way now
	Up       bool  // there is a connection

	// Wait is how long the next probe waits, before jitter.
	Wait time.Duration
	// Deadline is when the next probe is due; zero when nothing is under way.
	Deadline time.Duration

	// ReconnectAt is when the connection is given up unless Central is heard; it holds
	// while Up.
	ReconnectAt time.Duration
	// silenceLimit is how long the present silence may last; zero means LeaveAfter.
	silenceLimit time.Duration

	// reconnecting: the connection is given up, and the next one is not there.
	reconnecting bool
	// unanswered is the first confirmation since Central was last heard, one
	// more than its time so that zero means none.
	unanswered time.Duration
	// foreignAck: Central acknowledged records that this boot never wrote.
	foreignAck bool
	// rolledBack are journals whose end Central knows better than this disk,
	// each told once.
	rolledBack []charge.JournalID

	Counts Counts
}

// Counts are what happened since the boot.
type Counts struct {
	Sent        uint64 // records handed to the connection, repeats included
	Probes      uint64
	AcksForward uint64 // moved the position forward
	AcksBack    uint64 // moved it back: Central came from a backup
	AcksSame    uint64 // told nothing new
	AcksOld     uint64 // of a lower epoch than the position's
	AcksForeign uint64 // beyond the end of the present journal
	Reconnects  uint64 // connections given up because Central was not heard
}

// Unacked is how many records Central has not acknowledged.
func (s State) Unacked() uint64 { return uint64(s.End - s.Acked) }

// Timer is when the next TimerFired is due; zero when nothing is waited for.
func (s State) Timer() time.Duration {
	switch {
	case !s.Up:
		return 0
	case s.Deadline == 0:
		return s.ReconnectAt
	}
	return min(s.Deadline, s.ReconnectAt)
}

// InFlight is how many records were sent and are not acknowledged.
func (s State) InFlight() int { return int(s.Next - s.Acked - 1) }

// Alarm says in words what somebody must look into at the time at; empty when
// all is well.
func (s State) Alarm(at time.Duration) string {
	switch {
	case s.foreignAck:
		return "Central acknowledged records this charging point never wrote: somebody else writes in its name"
	case (s.Up || s.reconnecting) && s.unanswered > 0 && at-(s.unanswered-1) >= SilentAfter:
		return "the broker confirms what is sent, but Central does not answer"
	}
	return ""
}

// Now is the time of an event, and a random number for what it may need.
type Now struct {
	At   time.Duration // since the boot, by the monotonic clock
	Rand uint64
}
