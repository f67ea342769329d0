package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/wire"
)

// encoder makes the bytes of the record that gets seq and follows prev.
type encoder = func(seq charge.Seq, prev string) ([]byte, error)

// maxGroup bounds the records of one commit.
const maxGroup = 256

// spaceRetryEvery is how often a full disk is tried again.
const spaceRetryEvery = time.Second

// recorder makes records durable in one order and tells who asked. It also
// folds them, so that a checkpoint holds exactly what they say.
//
// While there is no room, samples are dropped, and the others wait in memory in
// their order until there is, or until one of them may use the reserve: then
// all before it go with it.
type recorder struct {
	cp      charge.CPID
	journal charge.JournalID
	clock   *clock
	append  func(journal.Class, ...encoder) error
	// onFull is called when not even final records find room, and when they do
	// again.
	onFull func(bool)
	log    *slog.Logger

	saved      []connector.Saved // owned by run, and by boot before it
	pending    []job             // taken and not written yet; owned by run
	lacksSpace atomic.Bool       // there is no room for something pending
	blocked    bool              // full was called with true; owned by run

	wake chan struct{} // capacity 1: there is something in the queue
	mu   sync.Mutex
	// mu guards everything that follows.
	queue     []job
	written   int64 // records made durable
	dropped   int64 // samples for which there was no room
	abandoned bool  // nothing more is written
}

// job is records that belong together.
type job struct {
	connector charge.ConnectorID
	records   []connector.Record
	now       connector.Now
	done      func(error)
}

// class is the highest of its records: they go together.
func (j *job) class() (c journal.Class) {
	for _, r := range j.records {
		c = max(c, journal.ClassOf(r.Payload.RecordType()))
	}
	return c
}

func highestClass(jobs []job) (c journal.Class) {
	for i := range jobs {
		c = max(c, jobs[i].class())
	}
	return c
}

// add asks for records to be made durable together. It never waits; done is
// called on the recorder's goroutine, and may be nil.
func (r *recorder) add(n charge.ConnectorID, records []connector.Record, done func(error)) {
	r.mu.Lock()
	if !r.abandoned {
		// Stamped under the lock, so that the uptime of records grows with their seq.
		r.queue = append(r.queue, job{n, records, r.clock.now(), done})
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// addRecord adds one record that nobody waits for.
func (r *recorder) addRecord(n charge.ConnectorID, p wire.Payload) {
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

// commitAll commits group after group until nothing waits.
func (r *recorder) commitAll(ctx context.Context) error {
	for {
		r.dequeue()
		if len(r.pending) == 0 {
			r.clearFull()
			return nil
		}
		group := r.group()
		err := r.commit(group, highestClass(r.pending))
		if errors.Is(err, ErrNoSpace) {
			if err = r.waitForSpace(ctx, err); err == nil {
				continue
			}
			group = r.pending
		}
		r.pending = r.pending[len(group):]
		if err = complete(group, err); err != nil {
			return err
		}
	}
}

// waitForSpace drops the samples and waits for a while, or for more to write. It
// returns err when ctx has ended.
func (r *recorder) waitForSpace(ctx context.Context, err error) error {
	r.dropSamples()
	if len(r.pending) == 0 {
		return nil
	}
	r.lacksSpace.Store(true)
	if !r.blocked && highestClass(r.pending) == journal.Final {
		r.blocked = true
		r.onFull(true)
	}
	retry := time.NewTimer(spaceRetryEvery)
	defer retry.Stop()
	select {
	case <-ctx.Done():
		return err
	case <-retry.C:
	case <-r.wake:
	}
	return nil
}

// dropSamples forgets the samples that are pending.
func (r *recorder) dropSamples() {
	before := len(r.pending)
	r.pending = slices.DeleteFunc(r.pending, func(j job) bool {
		if j.class() > journal.Sample {
			return false
		}
		if j.done != nil {
			j.done(nil)
		}
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped += int64(before - len(r.pending))
}

// clearFull says that there is room for everything.
func (r *recorder) clearFull() {
	r.lacksSpace.Store(false)
	if r.blocked {
		r.blocked = false
		r.onFull(false)
	}
}

// complete who asked what came of it, and pass it on.
func complete(group []job, err error) error {
	for _, j := range group {
		if j.done != nil {
			j.done(err)
		}
	}
	return err
}

// dequeue moves the queue to what is pending.
func (r *recorder) dequeue() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, r.queue...)
	r.queue = nil
}

// group is the jobs of the next commit.
func (r *recorder) group() []job {
	n, records := 0, 0
	for n < len(r.pending) && (n == 0 || records+len(r.pending[n].records) <= maxGroup) {
		records += len(r.pending[n].records)
		n++
	}
	return r.pending[:n:n]
}

// commit makes a group durable. After an error nothing of it is.
func (r *recorder) commit(group []job, class journal.Class) error {
	before := slices.Clone(r.saved)
	var encoders []encoder
	for _, j := range group {
		for _, rec := range j.records {
			encoders = append(encoders, r.encoder(j, rec))
		}
	}
	if err := r.append(class, encoders...); err != nil {
		r.saved = before
		if !errors.Is(err, ErrNoSpace) || !r.lacksSpace.Load() { // of a full disk once
			r.log.Error("records not written", slog.Int("records", len(encoders)), logs.Err(err))
		}
		return fmt.Errorf("append %d records: %w", len(encoders), err)
	}
	for i := range group {
		group[i].crashPoints()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written += int64(len(encoders))
	return nil
}

// crashPoints is where the records of the job are durable and nothing has come of them.
func (j *job) crashPoints() {
	for _, rec := range j.records {
		switch rec.Payload.(type) {
		case *wire.CommandAccepted:
			crashpoint.At(crashpoint.Synced)
		case *wire.Authorized:
			crashpoint.At(crashpoint.Granted)
		default:
		}
	}
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
	r.queue, r.abandoned = nil, true
}

// writtenRecords is how many records were made durable in this boot.
func (r *recorder) writtenRecords() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written
}

// droppedSamples is how many samples found no room in this boot.
func (r *recorder) droppedSamples() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}
