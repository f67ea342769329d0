// Package outbox says on Kafka what the database holds to be said, in its
// order, and has it deleted once Kafka has it. It says a row again after a
// restart if its deletion was not committed: whoever listens knows repeats by
// their ids.
//
// Kafka may be away for ever: rows stay in the database, and only one page of
// them is in memory. One goroutine, Run, owns the place in the outbox.
package outbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/carga-ev/carga/internal/crashpoint"
)

// Row is one thing to be said.
type Row struct {
	ID      int64
	Topic   string
	Key     string
	Headers map[string]string
	Value   []byte
}

// Rows reads up to limit rows after the row id, oldest first.
type Rows func(ctx context.Context, after int64, limit int) ([]Row, error)

// Producer says rows on Kafka.
type Producer interface {
	// Produce takes a row, in order for each key, and calls done, from any
	// goroutine, once Kafka has it. It may wait until there is room, and answers
	// an error only when ctx ends.
	Produce(ctx context.Context, r Row, done func()) error
}

// maxInFlight is how many rows are under way at most.
const maxInFlight = 500

// deleteDelay is how long the deletion of said rows may wait for more, so that each
// is not a transaction of its own.
const deleteDelay = 100 * time.Millisecond

// iterateEvery is how often Run turns at least.
const iterateEvery = time.Second

// retryAfter is the wait after the database could not be read.
const retryAfter = time.Second

// Outbox drains the table. New starts nothing.
type Outbox struct {
	rows      Rows
	out       Producer
	confirmed func(ids []int64)
	active    func() bool
	iterated  func()
	log       *slog.Logger

	wake            chan struct{}
	confirmedSignal chan struct{}

	mu sync.Mutex
	// mu guards what follows.
	unreported []int64
	pending    int
}

// New makes an outbox. told, which must not wait, has rows deleted; allowed
// says whether this Central may speak, and Wake is to be called when that, or
// the table, changes. turned, which must not wait, is called at each turn of
// Run, at least each second while it does not hang.
func New(rows Rows, out Producer, confirmed func(ids []int64), active func() bool, iterated func(), log *slog.Logger) *Outbox {
	return &Outbox{
		rows: rows, out: out, confirmed: confirmed, active: active, iterated: iterated, log: log,
		wake: make(chan struct{}, 1), confirmedSignal: make(chan struct{}, 1), // one signal stands for all before it
	}
}

// Wake says that there may be something to do. It does not wait.
func (o *Outbox) Wake() { signal(o.wake) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // a signal is already there
	}
}

// Pending is how many rows were given to Kafka and are not confirmed.
func (o *Outbox) Pending() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pending
}

// Run drains until ctx ends. Rows under way then are said again by the next
// life.
func (o *Outbox) Run(ctx context.Context) {
	after := int64(0)
	delay := time.NewTimer(0)
	defer delay.Stop()
	iterate := time.NewTicker(iterateEvery)
	defer iterate.Stop()
	waiting := false // delay runs for said rows
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
			idle = true // nothing has happened
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

// page gives the next rows to Kafka; it answers how many there were and the
// last.
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

func (o *Outbox) confirm(id int64) {
	crashpoint.At(crashpoint.Produced)
	o.mu.Lock()
	o.pending--
	o.unreported = append(o.unreported, id)
	o.mu.Unlock()
	signal(o.confirmedSignal)
}

func (o *Outbox) drainConfirmed() []int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	ids := o.unreported
	o.unreported = nil
	return ids
}
