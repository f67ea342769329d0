package app

import (
	"sync"

	"github.com/carga-ev/carga/agent/point"
)

// inboxBound is how many messages may wait for the core. Acknowledgements come at
// most ten times a second; Central repeats commands that were dropped.
const inboxBound = 1024

// inbox passes events to the core without blocking. When it is full, messages and
// confirmations are dropped, which are repeated or only hints; no other event ever
// is. Those are few: each of their senders has a bounded number in flight.
type inbox struct {
	wake chan struct{} // capacity 1: events has grown

	mu sync.Mutex
	// mu guards everything that follows.
	events  []point.Event
	dropped uint64
}

func (b *inbox) put(e point.Event) {
	b.mu.Lock()
	if len(b.events) >= inboxBound && mayBeDropped(e) {
		b.dropped++
	} else {
		b.events = append(b.events, e)
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// mayBeDropped reports whether an event comes from the network.
func mayBeDropped(e point.Event) bool {
	switch e.(type) {
	case point.AckReceived, point.CommandReceived, point.BadMessage, point.Confirmed:
		return true
	default:
		return false
	}
}

// drain removes and returns all events, in their order.
func (b *inbox) drain() []point.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := b.events
	b.events = nil
	return events
}
