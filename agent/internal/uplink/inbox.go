package uplink

import (
	"sync"
	"time"

	"github.com/carga-ev/carga/internal/mqttlink"
)

// inboxBound is how many messages may wait for the loop. Acknowledgements come
// at most ten times a second; Central repeats commands that were dropped.
const inboxBound = 1024

// item is an event from outside the loop.
//
//sumtype:decl
type item interface{ inboxItem() }

// message is a received message and the time of its receipt.
type message struct {
	mqttlink.Message
	at time.Duration
}

// connected is a new connection, with its sender.
type connected struct{ sender *sender }

// disconnected is the end of a connection.
type disconnected struct{ conn uint64 }

// confirmed is a PUBACK for an event.
type confirmed struct{ conn uint64 }

func (message) inboxItem()      {}
func (connected) inboxItem()    {}
func (disconnected) inboxItem() {}
func (confirmed) inboxItem()    {}

// inbox passes events to the loop without blocking. When it is full, messages
// and confirmations are dropped, which are repeated or only hints; connections
// and their ends never are.
type inbox struct {
	wake chan struct{} // capacity 1: items has grown

	mu sync.Mutex
	// mu guards everything that follows.
	items   []item
	dropped uint64
}

func (b *inbox) put(i item) {
	b.mu.Lock()
	_, isMessage := i.(message)
	_, isHint := i.(confirmed)
	if len(b.items) >= inboxBound && (isMessage || isHint) {
		b.dropped++
	} else {
		b.items = append(b.items, i)
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) drain() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	b.items = nil
	return items
}

func (b *inbox) droppedCount() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}
