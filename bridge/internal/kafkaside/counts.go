package kafkaside

import (
	"container/list"
	"sync"
	"time"

	"github.com/carga-ev/carga/bridge/route"
)

// Counts count what is owed to Kafka: everything that came in order, not the
// latest values.
//
// Invariant: Accepted = Forwarded + DeadLetters + Buffered at every moment.
type Counts struct {
	Accepted    int64 // since the start
	Forwarded   int64 // Kafka took it where it belongs
	DeadLetters int64 // Kafka took it as a dead letter
	Buffered    int64 // owed
	// Oldest is when the oldest buffered one came; zero when there is none.
	Oldest time.Time
	// LastDeadLetter says where the last dead letter came from, and why.
	LastDeadLetter string
}

// ending is how what was owed ended.
type ending int

const (
	forwarded ending = iota
	deadLetter
	notAccepted // it was not taken over after all
)

// counters keeps the Books.
type counters struct {
	mu sync.Mutex
	// mu guards everything that follows.
	counts  Counts
	pending *list.List // the times of what is buffered, in the order of coming
}

func newCounters() *counters { return &counters{pending: list.New()} }

// accept books one message and returns how to book its end; only the first
// call of that counts.
func (l *counters) accept(at time.Time) (end func(ending)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Accepted++
	l.counts.Buffered++
	entry := l.pending.PushBack(at)
	return func(how ending) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if entry == nil {
			return
		}
		l.pending.Remove(entry)
		entry = nil
		l.counts.Buffered--
		switch how {
		case forwarded:
			l.counts.Forwarded++
		case deadLetter:
			l.counts.DeadLetters++
		case notAccepted:
			l.counts.Accepted--
		}
	}
}

// setLastDeadLetter notes why the dead letter that ends now is one.
func (l *counters) setLastDeadLetter(words string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.LastDeadLetter = words
}

func (l *counters) snapshot() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.counts
	if e := l.pending.Front(); e != nil {
		b.Oldest, _ = e.Value.(time.Time)
	}
	return b
}

// dedup are what is owed, each once.
type dedup struct {
	mu sync.Mutex
	// mu guards everything that follows.
	events  route.Dedup
	repeats int64
}

func (d *dedup) add(e *route.Decision, done func()) (event *route.InFlight, earlier func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if event, earlier = d.events.Add(e, done); event == nil {
		d.repeats++
	}
	return event, earlier
}

func (d *dedup) remove(event *route.InFlight) (done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.events.Remove(event)
}

func (d *dedup) repeated() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.repeats
}
