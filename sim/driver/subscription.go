package driver

import (
	"slices"
	"sync"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Subscription is the queue of one driver's events, filled by the Client and
// emptied by Run. It never blocks the goroutine that delivers: successive
// progress messages of a session replace each other, and all other messages are
// rare, so the queue stays short while its owner is slow.
type Subscription struct {
	username charge.Username
	ready    chan struct{} // capacity 1: the queue is not empty

	mu    sync.Mutex
	queue []Event // mu guards it
}

// NewSubscription makes the queue of one driver.
func NewSubscription(username charge.Username) *Subscription {
	return &Subscription{username: username, ready: make(chan struct{}, 1)}
}

// Ready receives a value after the queue became non-empty. It may receive one
// although the queue was drained meanwhile.
func (s *Subscription) Ready() <-chan struct{} { return s.ready }

// Drain removes and returns the queued events, in order.
func (s *Subscription) Drain() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.queue
	s.queue = nil
	return out
}

// Deliver enqueues a message of central-events if it is about this driver, or
// is a fault of a connector, which concerns any driver there.
func (s *Subscription) Deliver(at time.Time, m *wire.CentralEvent) {
	if m.Username != "" && m.Username != s.username {
		return
	}
	if m.Username == "" && m.EventType != wire.CentralFault && m.EventType != wire.CentralFaultCleared {
		return
	}
	s.enqueue(Received{At: at, Event: *m})
}

// DeliverLink enqueues a change of the connection to Kafka.
func (s *Subscription) DeliverLink(c LinkChanged) { s.enqueue(c) }

// enqueue appends an event. A progress message replaces the one of the same
// session if only progress messages follow that one: nothing overtakes a
// message of another type.
func (s *Subscription) enqueue(v Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := progressOf(v); ok {
		for i, waiting := range slices.Backward(s.queue) {
			other, ok := progressOf(waiting)
			if !ok {
				break
			}
			if other == id {
				s.queue[i] = v
				return
			}
		}
	}
	s.queue = append(s.queue, v)
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// progressOf returns the session of a progress message; false for any other
// event.
func progressOf(v Event) (charge.SessionID, bool) {
	h, ok := v.(Received)
	return h.Event.SessionID, ok && h.Event.EventType == wire.CentralProgress
}
