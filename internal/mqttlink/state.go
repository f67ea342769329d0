package mqttlink

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// State is the state of a Link, for pages and logs.
type State struct {
	Up bool `json:"up"`
	// Since is when Up last changed; before the first connection, when the Link
	// was made.
	Since time.Time `json:"since"`
	// LastError is why the last attempt or connection ended; it stays while up.
	LastError string `json:"last_error,omitempty"`
	// Paused is why the link is disconnected on purpose; empty if it is not.
	Paused string `json:"paused,omitempty"`
	// Conn is the number of the present connection or attempt.
	Conn   uint64 `json:"conn"`
	Broker string `json:"broker"`
	Counters
}

// Counters only grow.
type Counters struct {
	Attempts uint64 `json:"attempts"`
	Connects uint64 `json:"connects"` // attempts that came up
	Received uint64 `json:"received"`
	// Unmatched counts messages that match no subscription: they are
	// acknowledged and dropped. A broker with an older session of the client
	// sends them.
	Unmatched   uint64 `json:"unmatched"`
	Cut         uint64 `json:"cut"`          // messages beyond maxPacket: delivered without their end
	Published   uint64 `json:"published"`    // acknowledged, or written with QoS 0
	Unpublished uint64 `json:"unpublished"`  // ended in an error
	Acked       uint64 `json:"acked"`        // PUBACKs written
	AcksDropped uint64 `json:"acks_dropped"` // their connection had ended
}

// String describes the state for a person.
func (s State) String() string {
	at := s.Since.UTC().Format(time.RFC3339)
	switch {
	case s.Up:
		return fmt.Sprintf("connected to MQTT at %s since %s", s.Broker, at)
	case s.Paused != "":
		return fmt.Sprintf("staying away from MQTT at %s since %s: %s", s.Broker, at, s.Paused)
	case s.LastError != "":
		return fmt.Sprintf("waiting for MQTT at %s since %s: %s", s.Broker, at, s.LastError)
	}
	return fmt.Sprintf("waiting for MQTT at %s since %s", s.Broker, at)
}

// status guards the state, and logs each transition once.
type status struct {
	log *slog.Logger
	// received is Counters.Received; it is counted for each message, without mu.
	received atomic.Uint64

	mu sync.Mutex
	// mu guards everything that follows.
	s            State
	outageLogged bool // the present outage has been logged
	resumedCh    chan struct{}
}

func newStatus(brokers []string, log *slog.Logger) *status {
	released := make(chan struct{})
	close(released)
	return &status{log: log, resumedCh: released, s: State{Since: time.Now(), Broker: strings.Join(brokers, " ")}}
}

func (t *status) get() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.s
	s.Received = t.received.Load()
	return s
}

// count changes the counters.
func (t *status) count(f func(*Counters)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.s.Counters)
}

// attempt returns the number of a new attempt.
func (t *status) attempt() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.Conn++
	t.s.Attempts++
	return t.s.Conn
}

// up records a connection with all subscriptions.
func (t *status) up() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.Up, t.s.Since = true, time.Now()
	t.s.Connects++
	t.outageLogged = false
	t.log.Info("connected to MQTT", slog.String("broker", t.s.Broker), slog.Uint64("conn", t.s.Conn))
}

// down records a lost connection or a failed attempt.
func (t *status) down(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.s.Up {
		t.s.Up, t.s.Since = false, time.Now()
	}
	t.s.LastError = err.Error()
	attrs := []any{
		slog.String("broker", t.s.Broker), slog.Time("since", t.s.Since),
		slog.Uint64("conn", t.s.Conn), slog.String("err", t.s.LastError),
	}
	if t.outageLogged {
		t.log.Debug("still waiting for MQTT", attrs...)
		return
	}
	t.outageLogged = true
	t.log.Info("waiting for MQTT", attrs...)
}

// stopped records a clean end.
func (t *status) stopped() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.s.Up {
		t.s.Up, t.s.Since = false, time.Now()
		t.log.Info("disconnected from MQTT", slog.String("broker", t.s.Broker), slog.Uint64("conn", t.s.Conn))
	}
	t.s.LastError = errStopped.Error()
}

// pause makes Link.await block until resume.
func (t *status) pause(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.s.Paused == "" {
		t.resumedCh = make(chan struct{})
	}
	t.s.Paused = reason
}

func (t *status) resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.s.Paused != "" {
		t.s.Paused = ""
		close(t.resumedCh)
	}
}

// resumed returns a channel that is closed while the link is not paused.
func (t *status) resumed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.resumedCh
}
