// Package outbox publishes the rows of the database's outbox table on Kafka, those of
// each topic in their order, and has each row deleted once Kafka has it.
//
// A row is written in the transaction of its cause, so an event is published if
// and only if its cause is committed. It may be published twice: a row whose
// deletion was not committed before a crash is published again. Consumers
// recognize repeats by their ids.
//
// Kafka may be down for ever, or refuse one topic alone. The rows then stay in the
// database; at most maxInFlight of each topic are in memory, so that a topic that is
// blocked does not block others.
//
// One goroutine, Run, owns the places in the table. A row's number of
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

// Table is the table of rows.
type Table interface {
	// Topics returns the topics that have rows.
	Topics(ctx context.Context) ([]string, error)
	// Rows reads up to limit rows of a topic with an id above after, oldest first.
	Rows(ctx context.Context, topic string, after int64, limit int) ([]Row, error)
}

// Producer writes rows to Kafka.
type Producer interface {
	// Produce queues a row, in order for each key, and calls done, from any
	// goroutine, once Kafka has it. It may block until the queue has space. It
	// returns an error only if ctx ends.
	Produce(ctx context.Context, r Row, done func()) error
}

// maxInFlight bounds the rows of one topic given to the producer and not confirmed. Half
// of them are read at once.
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
	table     Table
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
	places     map[string]*place // by topic
}

// place is how far the rows of a topic were read.
type place struct {
	after   int64 // the id of the last row given to the producer
	pending int   // rows given to it and not confirmed
	more    bool  // there may be rows behind after
}

// full reports whether no more rows may be read now.
func (p *place) full() bool { return p.pending >= maxInFlight/2 }

// New returns an outbox. confirmed has rows deleted. active reports whether
// this Central may publish; call Wake when that, or the table, changes.
// iterated is called in each iteration of Run, at least once per second unless
// it hangs. None of the three may block.
func New(table Table, out Producer, confirmed func(ids []int64), active func() bool, iterated func(), log *slog.Logger) *Outbox {
	return &Outbox{
		table: table, out: out, confirmed: confirmed, active: active, iterated: iterated, log: log,
		wake: make(chan struct{}, 1), confirmedSignal: make(chan struct{}, 1), // one signal stands for all before it
		places: map[string]*place{},
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
func (o *Outbox) Pending() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.places {
		n += p.pending
	}
	return n
}

// Run publishes rows until ctx ends. Rows in flight at that time are published
// again by the next run of the process.
func (o *Outbox) Run(ctx context.Context) {
	delay := time.NewTimer(0)
	defer delay.Stop()
	iterate := time.NewTicker(iterateEvery)
	defer iterate.Stop()
	waiting := false // delay runs, for confirmed rows
	for look := true; ; {
		o.iterated()
		if look && o.active() {
			o.read(ctx)
		}
		look = false
		select {
		case <-ctx.Done():
			return
		case <-iterate.C:
		case <-o.wake:
			look = true
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

// read gives the next rows of each topic to the producer.
func (o *Outbox) read(ctx context.Context) {
	topics, err := o.table.Topics(ctx)
	for i := 0; err == nil && i < len(topics); i++ {
		err = o.page(ctx, topics[i])
	}
	if err != nil && ctx.Err() == nil {
		o.log.Error("outbox cannot be read", slog.String("err", err.Error()))
		time.AfterFunc(retryAfter, o.Wake)
	}
}

// page gives the next rows of a topic to the producer, unless too many are in flight.
func (o *Outbox) page(ctx context.Context, topic string) error {
	p, after := o.next(topic)
	if p == nil {
		return nil
	}
	rows, err := o.table.Rows(ctx, topic, after, maxInFlight/2)
	if err != nil {
		return err
	}
	for _, r := range rows {
		o.mu.Lock()
		p.after, p.pending = r.ID, p.pending+1
		o.mu.Unlock()
		if err := o.out.Produce(ctx, r, func() { o.confirm(p, r.ID) }); err != nil {
			return nil // ctx has ended
		}
	}
	if len(rows) == maxInFlight/2 { // there may be more
		o.mu.Lock()
		defer o.mu.Unlock()
		if p.more = p.full(); !p.more {
			o.Wake()
		}
	}
	return nil
}

// next returns the place of a topic and the id of its last row that was read; no place
// if too many rows are in flight: confirm wakes Run later.
func (o *Outbox) next(topic string) (p *place, after int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p = o.places[topic]
	if p == nil {
		p = &place{}
		o.places[topic] = p
	}
	if p.full() {
		p.more = true
		return nil, 0
	}
	p.more = false
	return p, p.after
}

// confirm notes that Kafka has a row.
func (o *Outbox) confirm(p *place, id int64) {
	crashpoint.At(crashpoint.Produced)
	o.mu.Lock()
	p.pending--
	o.unreported = append(o.unreported, id)
	resume := p.more && !p.full()
	o.mu.Unlock()
	signal(o.confirmedSignal)
	if resume {
		o.Wake()
	}
}

// drainConfirmed returns the rows confirmed since the last call.
func (o *Outbox) drainConfirmed() []int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	ids := o.unreported
	o.unreported = nil
	return ids
}
