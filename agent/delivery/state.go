package delivery

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Limits of sending.
const (
	// MaxWindow is how many records may be in flight beyond the position.
	MaxWindow = 64
	// ProbeAfter is how long the first probe waits for progress; each further
	// one waits twice as long, up to ProbeAtMost.
	ProbeAfter  = 5 * time.Second
	ProbeAtMost = 60 * time.Second
	// SilentAfter is how long Central may leave confirmed sends unanswered
	// before that is an alarm: a broker that refuses by an access rule confirms
	// all the same, and looks exactly like this.
	SilentAfter = 60 * time.Second
	// ReconnectAfter is how long a connection may stay without an acknowledgement
	// before it is replaced: Central acknowledges each presence, so the broker may
	// have lost the agent's subscriptions. Each further one in a row waits twice as
	// long, up to ReconnectAtMost.
	ReconnectAfter  = 2*PresenceEvery + time.Minute
	ReconnectAtMost = time.Hour
)

// Position is the last record that Central acknowledged, and the epoch of that
// Central. The zero value is that of an agent without an acknowledgement.
type Position struct {
	Central charge.Epoch
	Journal charge.JournalID
	Seq     charge.Seq
}

// Moment is an optional time since the boot; the zero value is none.
type Moment struct {
	Known bool
	At    time.Duration
}

// State is what an agent knows about its deliveries. The zero value is an agent
// without a connection and without records; Booted fills it.
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

	// ReconnectAt is when the connection is replaced unless an acknowledgement
	// comes; valid while Up.
	ReconnectAt time.Duration
	// SilenceLimit is how long the present silence may last; zero means
	// ReconnectAfter.
	SilenceLimit time.Duration

	// Reconnecting: the connection was given up, and the next one is not up yet.
	Reconnecting bool
	// Unanswered is when the broker first confirmed a record after Central's last
	// acknowledgement.
	Unanswered Moment
	// ForeignAck: Central acknowledged records that this boot did not write.
	ForeignAck bool
	// RolledBack are journals of which Central holds more than this disk, each
	// reported once; the latest maxRolledBack of them.
	RolledBack []charge.JournalID

	Counts Counts
}

// Counts are what happened since the boot.
type Counts struct {
	Sent        uint64 // records handed to the connection, repeats included
	Probes      uint64
	AcksForward uint64 // moved the position forward
	AcksBack    uint64 // moved it backward: Central was restored from a backup
	AcksSame    uint64 // without a change
	AcksOld     uint64 // of a lower epoch than the position's
	AcksForeign uint64 // beyond the end of the present journal
	Reconnects  uint64 // connections replaced because Central was silent
}

// Unacked is how many records Central has not acknowledged.
func (s State) Unacked() uint64 { return uint64(s.End - s.Acked) }

// Timer is when the next TimerFired is due; zero when none is.
func (s State) Timer() time.Duration {
	switch {
	case !s.Up:
		return 0
	case s.Deadline == 0:
		return s.ReconnectAt
	}
	return min(s.Deadline, s.ReconnectAt)
}

// InFlight is how many records were sent and not acknowledged.
func (s State) InFlight() int { return int(s.Next - s.Acked - 1) }

// Alarm is what an operator must look into at the time at, in words; empty when
// there is nothing.
func (s State) Alarm(at time.Duration) string {
	switch {
	case s.ForeignAck:
		return "Central acknowledged records this charging point never wrote: another client writes in its name"
	case (s.Up || s.Reconnecting) && s.Unanswered.Known && at-s.Unanswered.At >= SilentAfter:
		return "the broker confirms what is sent, but Central does not answer"
	}
	return ""
}

// Now is the time of an event, and a random number for jitter.
type Now struct {
	At   time.Duration // since the boot, by the monotonic clock
	Rand uint64
}
