// Package outbox publishes the rows of the database's outbox table on Kafka, in
// their order, and has each row deleted once Kafka has it.
//
// A row is written in the transaction of its cause, so an event is published if
// and only if its cause is committed. It may be published twice: a row whose
// deletion was not committed before a crash is published again. Consumers
// recognize repeats by their ids.
//
// Kafka may be down for ever. The rows then stay in the database; at most
// maxInFlight of them are in memory.
//
// One goroutine, Run, owns the place in the table. A row's number of
// publications is one per run of the process: Run never goes back.
package outbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/carga-ev/carga/internal/crashpoint"
)

// Row is one message to publish.
type Row struct {
	ID      int64
	Topic   string
	Key     string
	Headers map[string]string
	Value   []byte
}

// Rows reads up to limit rows with an id above after, oldest first.
type Rows func(ctx context.Context, after int64, limit int) ([]Row, error)

// Producer writes rows to Kafka.
type Producer interface {
	// Produce queues a row, in order for each key, and calls done, from any
	// goroutine, once Kafka has it. It may block until the queue has space. It
	// returns an error only if ctx ends.
	Produce(ctx context.Context, r Row, done func()) error
}

// maxInFlight bounds the rows given to the producer and not confirmed.
const maxInFlight = 500

// deleteDelay is how long the deletion of confirmed rows waits for more of
// them, so that not every row costs a transaction.
const deleteDelay = 100 * time.Millisecond

// iterateEvery is the longest time between two iterations of an idle Run, so
// that a watchdog can distinguish idle from hung.
const iterateEvery = time.Second

// retryAfter is the wait after the database could not be read.
const retryAfter = time.Second

// Outbox publishes the rows of one table. New starts no goroutine.
type Outbox struct {
	rows      Rows
	out       Producer
	confirmed func(ids []int64)
	active    func() bool
	iterated  func()
	log       *slog.Logger

	// wake and confirmedSignal are buffered by 1: one signal stands for all
	// before it.
	wake            chan struct{}
	confirmedSignal chan struct{}

	mu sync.Mutex
	// mu guards what follows.
	unreported []int64
	pending    int
}

// New returns an outbox. confirmed has rows deleted. active reports whether
// this Central may publish; call Wake when that, or the table, changes.
// iterated is called in each iteration of Run, at least once per second unless
// it hangs. None of the three may block.
func New(rows Rows, out Producer, confirmed func(ids []int64), active func() bool, iterated func(), log *slog.Logger) *Outbox {
	return &Outbox{
		rows: rows, out: out, confirmed: confirmed, active: active, iterated: iterated, log: log,
		wake: make(chan struct{}, 1), confirmedSignal: make(chan struct{}, 1), // one signal stands for all before it
	}
}

// Wake makes Run look for rows. It does not block.
func (o *Outbox) Wake() { signal(o.wake) }

// signal sends on a channel buffered by 1 without blocking.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // a signal is pending already
	}
}

// Pending returns how many rows were given to Kafka and are not confirmed.
func (o *Outbox) Pending() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pending
}

// Run publishes rows until ctx ends. Rows in flight at that time are published
// again by the next run of the process.
func (o *Outbox) Run(ctx context.Context) {
	after := int64(0)
	delay := time.NewTimer(0)
	defer delay.Stop()
	iterate := time.NewTicker(iterateEvery)
	defer iterate.Stop()
	waiting := false // delay runs, for confirmed rows
	for idle := false; ; {
		o.iterated()
		if !idle && o.active() && o.Pending() < maxInFlight/2 {
			n, last := o.page(ctx, after)
			after = max(after, last)
			if n == maxInFlight/2 {
				o.Wake() // there may be more
			}
		}
		idle = false
		select {
		case <-ctx.Done():
			return
		case <-iterate.C:
			idle = true // no event: do not read the database
		case <-o.wake:
		case <-o.confirmedSignal:
			if !waiting {
				waiting = true
				delay.Reset(deleteDelay)
			}
		case <-delay.C:
			waiting = false
			if ids := o.drainConfirmed(); len(ids) > 0 {
				o.confirmed(ids)
			}
		}
	}
}

// page gives the next rows to the producer. It returns how many there were, and
// the id of the last one.
func (o *Outbox) page(ctx context.Context, after int64) (n int, last int64) {
	rows, err := o.rows(ctx, after, maxInFlight/2)
	if err != nil {
		if ctx.Err() == nil {
			o.log.Error("outbox cannot be read", slog.String("err", err.Error()))
			time.AfterFunc(retryAfter, o.Wake)
		}
		return 0, after
	}
	for _, r := range rows {
		o.mu.Lock()
		o.pending++
		o.mu.Unlock()
		if err := o.out.Produce(ctx, r, func() { o.confirm(r.ID) }); err != nil {
			return len(rows), last // ctx has ended
		}
		last = r.ID
	}
	return len(rows), last
}

// confirm notes that Kafka has a row.
func (o *Outbox) confirm(id int64) {
	crashpoint.At(crashpoint.Produced)
	o.mu.Lock()
	o.pending--
	o.unreported = append(o.unreported, id)
	o.mu.Unlock()
	signal(o.confirmedSignal)
}

// drainConfirmed returns the rows confirmed since the last call.
func (o *Outbox) drainConfirmed() []int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	ids := o.unreported
	o.unreported = nil
	return ids
}
