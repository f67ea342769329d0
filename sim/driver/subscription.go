package driver

import (
	"slices"
	"sync"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Subscription collects what one driver hears, until it is taken. It never makes the
// speaker wait: of a session only the newest progress in a row is kept, and
// everything else comes seldom.
type Subscription struct {
	username charge.Username
	ready    chan struct{} // capacity 1: something is there to be taken

	mu    sync.Mutex
	queue []Event // mu guards it
}

// NewSubscription makes the ear of one driver.
func NewSubscription(username charge.Username) *Subscription {
	return &Subscription{username: username, ready: make(chan struct{}, 1)}
}

// Ready is sent to when there is something to Take.
func (e *Subscription) Ready() <-chan struct{} { return e.ready }

// Drain returns what was heard since the last Take, in order.
func (e *Subscription) Drain() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.queue
	e.queue = nil
	return out
}

// Deliver puts one message of central-events into the ear, if it is about this
// driver or about nobody.
func (e *Subscription) Deliver(at time.Time, m *wire.CentralEvent) {
	if m.Username != "" && m.Username != e.username {
		return
	}
	if m.Username == "" && m.EventType != wire.CentralFault && m.EventType != wire.CentralFaultCleared {
		return
	}
	e.enqueue(Received{At: at, Event: *m})
}

// DeliverLink puts a change of Kafka into the ear.
func (e *Subscription) DeliverLink(c LinkChanged) { e.enqueue(c) }

func (e *Subscription) enqueue(v Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if id, ok := progressOf(v); ok {
		for i, waiting := range slices.Backward(e.queue) {
			other, ok := progressOf(waiting)
			if !ok {
				break
			}
			if other == id {
				e.queue[i] = v
				return
			}
		}
	}
	e.queue = append(e.queue, v)
	select {
	case e.ready <- struct{}{}:
	default:
	}
}

// progressOf is the session whose progress an event tells.
func progressOf(v Event) (charge.SessionID, bool) {
	h, ok := v.(Received)
	return h.Event.SessionID, ok && h.Event.EventType == wire.CentralProgress
}
