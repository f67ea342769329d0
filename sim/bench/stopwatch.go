package bench

import (
	"sync"
	"time"

	agentapp "github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
)

// stopwatch measures, for each record of a journal, the time from the moment
// when it is durable until the agent saves the position that acknowledges it.
type stopwatch struct {
	// mu guards all fields: the agent's goroutines write, the measurement reads.
	mu          sync.Mutex
	durable     []durableRecord // unacknowledged records, in order
	latencies   []time.Duration // of acknowledged records, since reset
	written     int             // records written since reset
	acked       time.Time       // time of the last acknowledgement of a new record
	measureFrom time.Time       // records that became durable before are not measured
}

// durableRecord is a record, and when it became durable.
type durableRecord struct {
	index delivery.Index
	at    time.Time
}

// opener opens an agent's journal.
type opener = func(agentapp.JournalOptions) (agentapp.Journal, agentapp.Recovered, error)

// open returns an opener of journals that the stopwatch observes.
func (w *stopwatch) open(inner opener) opener {
	return func(o agentapp.JournalOptions) (agentapp.Journal, agentapp.Recovered, error) {
		j, found, err := inner(o)
		if err != nil {
			return nil, found, err
		}
		return &timedJournal{Journal: j, watch: w, last: j.Held().Last()}, found, nil
	}
}

// reset discards the results so far and measures the records that become
// durable from now on.
func (w *stopwatch) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latencies, w.written, w.measureFrom = nil, 0, time.Now()
}

// results returns the latencies since reset, how many records were written
// since, and how many are unacknowledged.
func (w *stopwatch) results() (took []time.Duration, written, waiting int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latencies, w.written, len(w.durable)
}

// lastAck is the time of the last acknowledgement of a new record.
func (w *stopwatch) lastAck() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

// recordDurable notes that records became durable.
func (w *stopwatch) recordDurable(first, last delivery.Index, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := first; i <= last; i++ {
		w.durable = append(w.durable, durableRecord{i, at})
	}
	w.written += int(last - first + 1)
}

// recordAcked notes that all records up to one are acknowledged.
func (w *stopwatch) recordAcked(upTo delivery.Index, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// Acknowledgements are cumulative: all records up to the position are
	// acknowledged at the same time.
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

// timedJournal is a journal that a stopwatch observes. In an agent one goroutine
// appends and saves positions.
type timedJournal struct {
	agentapp.Journal
	watch *stopwatch
	last  delivery.Index // last appended; owned by the goroutine that appends
}

// Append implements agentapp.Journal.
func (j *timedJournal) Append(class journal.Class, encode ...func(charge.Seq, string) ([]byte, error)) error {
	if err := j.Journal.Append(class, encode...); err != nil {
		return err
	}
	// The journal returns after the fsync: from here on the record is durable.
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
