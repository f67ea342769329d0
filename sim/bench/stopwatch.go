package bench

import (
	"sync"
	"time"

	agentapp "github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
)

// stopwatch measures, for each record of a journal, how long it takes from the
// moment it is durable to the moment the agent learns that Central has it.
type stopwatch struct {
	mu sync.Mutex
	// mu guards everything that follows.
	durable     []durableRecord // not acknowledged, in order
	latencies   []time.Duration // of the acknowledged, since the last take
	written     int             // since the last take
	acked       time.Time       // of the last acknowledgement that moved on
	measureFrom time.Time       // records durable before it are not measured
}

type durableRecord struct {
	index delivery.Index
	at    time.Time
}

type opener = func(agentapp.JournalOptions) (agentapp.Journal, agentapp.Recovered, error)

// open puts the stopwatch on a journal.
func (w *stopwatch) open(inner opener) opener {
	return func(o agentapp.JournalOptions) (agentapp.Journal, agentapp.Recovered, error) {
		j, found, err := inner(o)
		if err != nil {
			return nil, found, err
		}
		return &timedJournal{Journal: j, watch: w, last: j.Held().Last()}, found, nil
	}
}

// reset forgets what was measured so far and measures what becomes durable
// from now on.
func (w *stopwatch) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latencies, w.written, w.measureFrom = nil, 0, time.Now()
}

// results returns what was measured since begin, and how many of the records
// written since then are not acknowledged.
func (w *stopwatch) results() (took []time.Duration, written, waiting int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latencies, w.written, len(w.durable)
}

// lastAck is when Central was last heard to have something new.
func (w *stopwatch) lastAck() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

func (w *stopwatch) recordDurable(first, last delivery.Index, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := first; i <= last; i++ {
		w.durable = append(w.durable, durableRecord{i, at})
	}
	w.written += int(last - first + 1)
}

func (w *stopwatch) recordAcked(upTo delivery.Index, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(w.durable) && w.durable[n].index <= upTo {
		if s := w.durable[n]; !s.at.Before(w.measureFrom) {
			w.latencies = append(w.latencies, at.Sub(s.at))
		}
		n++
	}
	if n > 0 {
		w.durable, w.acked = w.durable[n:], at
	}
}

// timedJournal is a journal with a stopwatch. The agent has one goroutine that
// appends, and one that saves positions.
type timedJournal struct {
	agentapp.Journal
	watch *stopwatch
	last  delivery.Index // appended; owned by whoever appends
}

// Append implements agentapp.Journal.
func (j *timedJournal) Append(class journal.Class, encode ...func(charge.Seq, string) ([]byte, error)) error {
	if err := j.Journal.Append(class, encode...); err != nil {
		return err
	}
	at := time.Now()
	last := j.Held().Last()
	j.watch.recordDurable(j.last+1, last, at)
	j.last = last
	return nil
}

// SavePosition implements agentapp.Journal.
func (j *timedJournal) SavePosition(p delivery.Position, acked delivery.Index) error {
	j.watch.recordAcked(acked, time.Now())
	return j.Journal.SavePosition(p, acked)
}
