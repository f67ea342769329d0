package kafkaside

import (
	"container/list"
	"sync"
	"time"
)

// Counts count the messages that must not be lost: events and dead letters, but
// not the values of which the latest is enough.
//
// Invariant: Accepted = Forwarded + DeadLetters + Buffered at every moment.
type Counts struct {
	Accepted    int64 // since the start
	Forwarded   int64 // written to the topic of their kind
	DeadLetters int64 // written as dead letters
	Buffered    int64 // in flight: not yet written
	// Oldest is when the oldest buffered message was received; zero when there
	// is none.
	Oldest time.Time
	// LastDeadLetter is where the last dead letter came from, and why it is one.
	LastDeadLetter string
}

// ending is how a buffered message ended.
type ending int

const (
	forwarded ending = iota
	deadLetter
	notAccepted // the producer has stopped; the message is not counted
)

// counters keeps the Counts. Its methods may be called concurrently.
type counters struct {
	mu sync.Mutex
	// mu guards everything that follows.
	counts  Counts
	pending *list.List // when each buffered message was received, in this order
}

func newCounters() *counters { return &counters{pending: list.New()} }

// accept counts a message as buffered, and returns a function that counts its
// end. Only the first call of that has an effect.
func (c *counters) accept(at time.Time) (end func(ending)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Accepted++
	c.counts.Buffered++
	entry := c.pending.PushBack(at)
	return func(how ending) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if entry == nil {
			return
		}
		c.pending.Remove(entry)
		entry = nil
		c.counts.Buffered--
		switch how {
		case forwarded:
			c.counts.Forwarded++
		case deadLetter:
			c.counts.DeadLetters++
		case notAccepted:
			c.counts.Accepted--
		}
	}
}

// setLastDeadLetter records why the last dead letter is one.
func (c *counters) setLastDeadLetter(words string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.LastDeadLetter = words
}

// snapshot returns the present counts.
func (c *counters) snapshot() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.counts
	if e := c.pending.Front(); e != nil {
		b.Oldest, _ = e.Value.(time.Time)
	}
	return b
}
