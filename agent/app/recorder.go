package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/obs"
	"github.com/carga-ev/carga/internal/wire"
)

// encoder makes the bytes of the record that gets seq and follows prev.
type encoder = func(seq charge.Seq, prev string) ([]byte, error)

// maxGroup bounds the records of one commit.
const maxGroup = 256

// roomEvery is how often a full disk is tried again.
const roomEvery = time.Second

// recorder makes records durable in one order and tells who asked. It also
// folds them, so that a checkpoint holds exactly what they say.
type recorder struct {
	cp      charge.CPID
	journal charge.JournalID
	clock   *clock
	append  func(...encoder) error
	// full is called when the disk has no room, and when it has again.
	full func(bool)
	log  *slog.Logger

	saved []connector.Saved // owned by run, and by boot before it

	wake chan struct{} // capacity 1: there is something in the queue
	mu   sync.Mutex
	// mu guards everything that follows.
	queue   []job
	written int64 // records made durable
	dead    bool  // nothing more is written
}

// job is records that belong together.
type job struct {
	connector charge.ConnectorID
	records   []connector.Record
	now       connector.Now
	done      func(error)
}

// add asks for records to be made durable together. It never waits; done is
// called on the recorder's goroutine, and may be nil.
func (r *recorder) add(n charge.ConnectorID, records []connector.Record, done func(error)) {
	r.mu.Lock()
	if !r.dead {
		// Stamped under the lock, so that the uptime of records grows with their seq.
		r.queue = append(r.queue, job{n, records, r.clock.now(), done})
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// say adds one record that nobody waits for.
func (r *recorder) say(n charge.ConnectorID, p wire.Payload) {
	r.add(n, []connector.Record{{Payload: p}}, nil)
}

// run commits until ctx ends and the queue is empty. An error means that the
// journal takes no more.
func (r *recorder) run(ctx context.Context) error {
	for {
		if err := r.commitAll(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return r.commitAll(ctx)
		case <-r.wake:
		}
	}
}

// commitAll commits group after group until the queue is empty.
func (r *recorder) commitAll(ctx context.Context) error {
	for {
		group := r.take()
		if len(group) == 0 {
			return nil
		}
		if err := r.commitInTime(ctx, group); err != nil {
			return err
		}
	}
}

// commitInTime commits a group; on a full disk it tries until there is room or
// ctx ends.
func (r *recorder) commitInTime(ctx context.Context, group []job) error {
	err := r.commit(group)
	if !errors.Is(err, ErrNoSpace) {
		return tell(group, err)
	}
	r.full(true)
	retry := time.NewTicker(roomEvery)
	defer retry.Stop()
	for errors.Is(err, ErrNoSpace) {
		select {
		case <-ctx.Done():
			return tell(group, err)
		case <-retry.C:
			err = r.commit(group)
		}
	}
	if err == nil {
		r.full(false)
	}
	return tell(group, err)
}

// tell who asked what came of it, and pass it on.
func tell(group []job, err error) error {
	for _, j := range group {
		if j.done != nil {
			j.done(err)
		}
	}
	return err
}

// take returns the jobs of the next commit.
func (r *recorder) take() []job {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, records := 0, 0
	for n < len(r.queue) && (n == 0 || records+len(r.queue[n].records) <= maxGroup) {
		records += len(r.queue[n].records)
		n++
	}
	group := r.queue[:n:n]
	r.queue = r.queue[n:]
	if len(r.queue) == 0 {
		r.queue = nil
	}
	return group
}

// commit makes a group durable. After an error nothing of it is.
func (r *recorder) commit(group []job) error {
	before := slices.Clone(r.saved)
	var encoders []encoder
	for _, j := range group {
		for _, rec := range j.records {
			encoders = append(encoders, r.encoder(j, rec))
		}
	}
	if err := r.append(encoders...); err != nil {
		r.saved = before
		r.log.Error("records not written", slog.Int("records", len(encoders)), obs.Err(err))
		return fmt.Errorf("append %d records: %w", len(encoders), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written += int64(len(encoders))
	return nil
}

// encoder fills in the envelope. It folds the record too: the journal may ask
// for a checkpoint within a group.
func (r *recorder) encoder(j job, rec connector.Record) encoder {
	return func(seq charge.Seq, prev string) ([]byte, error) {
		m, err := wire.NewRecord(rec.Payload)
		if err != nil {
			return nil, err
		}
		m.CPID, m.Journal, m.Seq, m.Prev = r.cp, r.journal, seq, prev
		m.Connector, m.SessionID = j.connector, rec.Session
		m.At, m.Clock, m.UptimeMS = j.now.Wall, j.now.Clock, j.now.At.Milliseconds()
		raw, err := m.Encode()
		if err != nil {
			return nil, err
		}
		for i := range r.saved {
			r.saved[i] = connector.Replay(r.saved[i], m)
		}
		return raw, nil
	}
}

// checkpoint is what the records say so far. It is called within append.
func (r *recorder) checkpoint() ([]byte, error) { return connector.Checkpoint(r.saved) }

// abandon forgets what is not yet written and takes no more, as a kill of the
// process would.
func (r *recorder) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue, r.dead = nil, true
}

// count is how many records were made durable in this boot.
func (r *recorder) count() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written
}
