package delivery

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Event is what happened to an agent's deliveries.
//
//sumtype:decl
type Event interface{ deliveryEvent() }

// Booted is the first event and comes once: the records that the disk holds, and
// the position saved on it.
type Booted struct {
	Held     Held
	Position Position
}

// Appended means that the disk holds the records First to End, which are durable.
// It may have deleted acknowledged ones before First; 0 for none.
type Appended struct {
	Now
	First, End Index
}

// Connected means that a connection to the broker is open and subscribed.
type Connected struct{ Now }

// Disconnected means that the connection has ended. What was in flight may have
// arrived or not.
type Disconnected struct{}

// Confirmed means that the broker confirmed a record (PUBACK).
type Confirmed struct{ Now }

// AckReceived is an acknowledgement of Central, with the records that the disk
// holds now. Live is false for a retained message: the broker kept it from before
// the connection, so it is no sign that Central works.
type AckReceived struct {
	Now
	Ack  wire.Ack
	Held Held
	Live bool
}

// TimerFired means that the time of a SetTimer has come. An outdated one has no
// effect.
type TimerFired struct{ Now }

func (Booted) deliveryEvent()       {}
func (Appended) deliveryEvent()     {}
func (Connected) deliveryEvent()    {}
func (Disconnected) deliveryEvent() {}
func (Confirmed) deliveryEvent()    {}
func (AckReceived) deliveryEvent()  {}
func (TimerFired) deliveryEvent()   {}

// Effect is what the shell must do, in the order of the list.
//
//sumtype:decl
type Effect interface{ deliveryEffect() }

// SavePosition asks for the position to be saved on disk. It may be lost: then
// more records are sent again.
type SavePosition struct {
	Position Position
	Index    Index
}

// RolledBack reports that Central holds more of an older journal than this disk:
// the storage was set back. It is recorded as an anomaly, once for each journal.
type RolledBack struct {
	Journal charge.JournalID
	Central charge.Seq // the last record Central holds of it
	Held    charge.Seq // the last record the disk holds of it
}

// Send asks for the records First to Last to be published in their order on the
// present connection. One that cannot be published counts as lost on the way: it
// is sent again like any other.
type Send struct{ First, Last Index }

// Reconnect asks to replace the present connection by a new one.
type Reconnect struct{}

// SetTimer asks for a TimerFired at the time At and replaces the timer set
// before; zero cancels it.
type SetTimer struct{ At time.Duration }

func (SavePosition) deliveryEffect() {}
func (RolledBack) deliveryEffect()   {}
func (Send) deliveryEffect()         {}
func (Reconnect) deliveryEffect()    {}
func (SetTimer) deliveryEffect()     {}

// Step is total: every event is defined in every state. Effects come as
// SavePosition, RolledBack, Send, Leave, SetTimer.
func Step(s State, e Event) (State, []Effect) {
	before := s.Timer()
	var out []Effect
	switch e := e.(type) {
	case Booted:
		s, out = stepBooted(e)
	case Appended:
		s.End = max(s.End, e.End)
		// A position that moved back meanwhile cannot ask for what is deleted.
		s.Acked = max(s.Acked+1, e.First) - 1
		s.Next = max(s.Next, s.Acked+1)
		s, out = s.send(out, e.Now)
	case Connected:
		s.Up, s.Next, s.Window, s.Wait, s.Deadline = true, s.Acked+1, 1, ProbeAfter, 0
		s.Reconnecting = false
		s = s.awaitCentral(e.Now)
		s, out = s.send(out, e.Now)
	case Disconnected:
		s.Up, s.Next, s.Deadline = false, s.Acked+1, 0
		if !s.Reconnecting { // else the silence that was the reason goes on
			s.Unanswered = Moment{}
		}
	case Confirmed:
		if !s.Unanswered.Known && s.InFlight() > 0 {
			s.Unanswered = Moment{true, e.At}
		}
	case AckReceived:
		if e.Live {
			s.SilenceLimit = 0
			s = s.awaitCentral(e.Now)
		}
		s, out = stepAck(s, e)
		s, out = s.send(out, e.Now)
	case TimerFired:
		s, out = stepTimer(s, e)
	}
	if t := s.Timer(); t != before {
		out = append(out, SetTimer{At: t})
	}
	return s, out
}

// awaitCentral starts the time in which an acknowledgement must come.
func (s State) awaitCentral(now Now) State {
	s.ReconnectAt = now.At + jittered(max(s.SilenceLimit, ReconnectAfter), now.Rand>>10)
	return s
}

// stepBooted starts behind the saved position, if its journal is still held.
// The position cannot be of the present journal, which has no record yet.
func stepBooted(e Booted) (State, []Effect) {
	s := State{Position: e.Position, Acked: e.Held.First() - 1, End: e.Held.Last()}
	var out []Effect
	if e.Position.Journal != "" && e.Position.Journal != e.Held.Present {
		f := e.Held.locate(e.Position.Journal, e.Position.Seq)
		if f.held {
			s.Acked = max(s.Acked, f.index)
		}
		if f.held && f.pastEnd {
			s, out = s.reportRollback(out, e.Held, f, e.Position.Seq)
		}
	}
	s.Next = s.Acked + 1
	return s, out
}

// stepTimer replaces a connection on which Central was silent for too long.
// Otherwise it sends a probe, the first unacknowledged record alone: records may
// be lost on the way, or Central may wait for just this one.
func stepTimer(s State, e TimerFired) (State, []Effect) {
	switch {
	case !s.Up:
		return s, nil
	case e.At >= s.ReconnectAt:
		s.Counts.Reconnects++
		s.Reconnecting = true
		s.SilenceLimit = min(2*max(s.SilenceLimit, ReconnectAfter), ReconnectAtMost)
		return s.awaitCentral(e.Now), []Effect{Reconnect{}}
	case s.Deadline == 0 || e.At < s.Deadline:
		return s, nil
	}
	s.Counts.Probes++
	s.Next, s.Window, s.Deadline = s.Acked+1, 1, 0
	s.Wait = min(2*s.Wait, ProbeAtMost)
	return s.send(nil, e.Now)
}

// send fills the window, and sets the time of the probe while records are in
// flight.
func (s State) send(out []Effect, now Now) (State, []Effect) {
	if !s.Up {
		return s, out
	}
	if last := min(s.End, s.Acked+Index(s.Window)); last >= s.Next {
		out = append(out, Send{First: s.Next, Last: last})
		s.Counts.Sent += uint64(last - s.Next + 1)
		s.Next = last + 1
	}
	switch {
	case s.InFlight() == 0:
		s.Deadline, s.Unanswered = 0, Moment{}
	case s.Deadline == 0:
		s.Deadline = now.At + jittered(s.Wait, now.Rand)
	}
	return s, out
}

// jittered shortens a wait by up to a fifth, so that a thousand agents do not
// probe together.
func jittered(d time.Duration, rnd uint64) time.Duration {
	return d - time.Duration(rnd%1024)*(d/5/1024)
}

// progress grows the window by the number of acknowledged records, and resets
// the wait for the next probe.
func (s State) progress(acked Index) State {
	s.Window = int(min(Index(s.Window)+acked, MaxWindow))
	s.Wait, s.Deadline = ProbeAfter, 0
	return s
}

// reportRollback adds a RolledBack for the journal of f, once.
func (s State) reportRollback(out []Effect, h Held, f location, seq charge.Seq) (State, []Effect) {
	p := h.Position(f.index)
	if p == nil || slices.Contains(s.RolledBack, p.Journal) {
		return s, out
	}
	s.RolledBack = append(slices.Clip(s.RolledBack), p.Journal)
	if len(s.RolledBack) > maxRolledBack {
		s.RolledBack = s.RolledBack[1:]
	}
	return s, append(out, RolledBack{Journal: p.Journal, Central: seq, Held: p.Seq})
}

// maxRolledBack bounds the memory of reported journals; it is far more than one
// rollback can concern.
const maxRolledBack = 16
