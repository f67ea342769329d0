package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/carga-ev/carga/bridge/lease"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/gate"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// session gives the lease of a shared MQTT session one caller at a time. Its methods
// may be called concurrently.
type session struct {
	name, id string        // of the bridge, and its MQTT client id
	wake     chan struct{} // capacity 1: a heartbeat is to be sent at once
	log      *slog.Logger

	held, lost *gate.Gate // open while this bridge is active, or is not

	mu sync.Mutex
	// mu guards everything that follows.
	state   *lease.State
	since   time.Time     // when holds changed last
	holds   bool          // this bridge is active
	changed chan struct{} // closed and replaced when the role changes
}

func newSession(name, id string, started charge.Time, log *slog.Logger) *session {
	return &session{
		name: name, id: id, wake: make(chan struct{}, 1), log: log, state: lease.New(name, started), since: started.Std(),
		held: gate.New(false), lost: gate.New(true), changed: make(chan struct{}),
	}
}

// step calls f with the state, and then lets the goroutines that wait for a role look
// at it.
func (s *session) step(f func(*lease.State) (send bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.state.Role()
	send := f(s.state)
	if send {
		select {
		case s.wake <- struct{}{}:
		default: // one will be sent
		}
	}
	is := s.state.Role()
	if is == was {
		return
	}
	close(s.changed)
	s.changed = make(chan struct{})
	if holds := is == lease.Active || is == lease.Checking; holds != s.holds {
		s.setHolds(holds)
	}
}

func (s *session) setHolds(holds bool) {
	s.holds, s.since = holds, time.Now()
	if holds {
		s.lost.Set(false) // before held: what begins with that waits for this
		s.held.Set(true)
		s.log.Info("active: no other bridge with this client id is", slog.String("client_id", s.id))
		return
	}
	s.held.Set(false)
	s.lost.Set(true)
	s.log.Info("stands by", slog.String("client_id", s.id), slog.String("reason", s.reasonLocked().String()))
}

// Beat implements kafkaside.Lease.
func (s *session) Beat() (b *wire.BridgeLease) {
	s.step(func(l *lease.State) bool {
		beat := l.Beat()
		b = &wire.BridgeLease{Session: s.id, Holds: beat.Holds, Term: beat.Term, Number: beat.Number}
		return false
	})
	return b
}

// Read implements kafkaside.Lease.
func (s *session) Read(b *wire.BridgeAlive) {
	if b.Lease == nil || b.Lease.Session != s.id {
		return
	}
	s.step(func(l *lease.State) bool {
		return l.Read(lease.Beat{Bridge: b.Bridge, Started: b.StartedAt, Term: b.Lease.Term, Holds: b.Lease.Holds, Number: b.Lease.Number})
	})
}

// Wake implements kafkaside.Lease.
func (s *session) Wake() <-chan struct{} { return s.wake }

// Held implements kafkaside.Lease.
func (s *session) Held() <-chan struct{} { return s.held.Opened() }

// Lost implements both Leases.
func (s *session) Lost() <-chan struct{} { return s.lost.Opened() }

// Permit implements mqttside.Lease.
func (s *session) Permit(ctx context.Context) {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		permitted := false
		s.step(func(l *lease.State) (send bool) {
			permitted, send = l.Attempt()
			return send
		})
		if permitted {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// Connected implements mqttside.Lease.
func (s *session) Connected(yes bool) {
	s.step(func(l *lease.State) bool {
		l.Connected(yes)
		return false
	})
}

// standby returns why this bridge is not connected to MQTT, and since when; zero if
// it is active.
func (s *session) standby() (why reason.Reason, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holds {
		return reason.Reason{}, s.since
	}
	return s.reasonLocked(), s.since
}

func (s *session) reasonLocked() reason.Reason {
	switch holder := s.state.Holder(); holder {
	case "":
		return reason.Reason{Code: reason.StandbyNone}
	case s.name:
		return reason.Reason{Code: reason.StandbyStarts}
	default:
		return reason.Reason{Code: reason.Standby, Other: holder}
	}
}
