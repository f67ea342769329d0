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

// encoder makes the bytes of the record with the number seq; prev is the hash of
// the record before it.
type encoder = func(seq charge.Seq, prev string) ([]byte, error)

// maxGroup is the most records of one commit, unless one job has more. Larger
// groups would delay the first record of a group for those behind it.
const maxGroup = 256

// spaceRetryEvery is how often an append to a full disk is retried.
const spaceRetryEvery = time.Second

// recorder makes the records of all connectors durable, in one order, and
// reports the result of each job. It also folds them into saved, so that a
// checkpoint holds exactly the state after the records written.
//
// While there is no space on the disk, samples are dropped. The other records
// wait in memory, in their order, until there is space or until a final record
// joins them: that may use the journal's reserve, and all before it go with it.
//
// Any goroutine may add. One goroutine runs run.
type recorder struct {
	cp      charge.CPID
	journal charge.JournalID
	clock   *clock
	append  func(journal.Class, ...encoder) error
	// onFull is called with true when not even final records fit, and with false
	// when they do again.
	onFull func(bool)
	log    *slog.Logger

	saved      []connector.Saved // owned by run, and by boot before it
	pending    []job             // from the queue, not yet written; owned by run
	lacksSpace atomic.Bool       // a pending record does not fit
	blocked    bool              // full was called with true; owned by run

	wake chan struct{} // capacity 1: there is something in the queue
	mu   sync.Mutex
	// mu guards everything that follows.
	queue     []job
	written   int64 // records made durable
	dropped   int64 // samples dropped for want of space
	abandoned bool  // nothing more is written
}

// job is records that become durable together or not at all.
type job struct {
	connector charge.ConnectorID
	records   []connector.Record
	now       connector.Now
	done      func(error) // called with the result; nil: no caller waits
}

// class is the highest class of the job's records, since they go together.
func (j *job) class() (c journal.Class) {
	for _, r := range j.records {
		c = max(c, journal.ClassOf(r.Payload.RecordType()))
	}
	return c
}

// highestClass is the highest class among jobs.
func highestClass(jobs []job) (c journal.Class) {
	for i := range jobs {
		c = max(c, jobs[i].class())
	}
	return c
}

// add queues records to be made durable together. It never waits. done, which
// may be nil, is called on the recorder's goroutine; after abandon it is not.
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

// addRecord queues one record without waiting for its result.
func (r *recorder) addRecord(n charge.ConnectorID, p wire.Payload) {
	r.add(n, []connector.Record{{Payload: p}}, nil)
}

// run commits until ctx has ended and the queue is empty. An error means that
// the journal has failed.
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

// commitAll commits group after group until the queue is empty. It offers each
// group with the highest class of all pending jobs: a final record lends its
// rights to those before it, since their order must not change.
func (r *recorder) commitAll(ctx context.Context) error {
	for {
		r.dequeue()
		if len(r.pending) == 0 {
			r.clearFull()
			return nil
		}
		group := r.group()
		err := r.commit(group, highestClass(r.pending))
		// A full disk is retried; any other error is final and reported to all.
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

// waitForSpace drops the pending samples and then waits for spaceRetryEvery or
// for new records, which may be final ones. It returns err when ctx has ended.
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

// dropSamples drops the jobs that are samples only, and reports them as done: a
// missing sample is no failure.
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

// clearFull reports that everything could be written.
func (r *recorder) clearFull() {
	r.lacksSpace.Store(false)
	if r.blocked {
		r.blocked = false
		r.onFull(false)
	}
}

// complete reports the result of a group to its jobs, and returns it.
func complete(group []job, err error) error {
	for _, j := range group {
		if j.done != nil {
			j.done(err)
		}
	}
	return err
}

// dequeue moves the queue behind the pending jobs.
func (r *recorder) dequeue() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, r.queue...)
	r.queue = nil
}

// group is the jobs of the next commit: at least one, and together at most
// maxGroup records where more than one fits.
func (r *recorder) group() []job {
	n, records := 0, 0
	for n < len(r.pending) && (n == 0 || records+len(r.pending[n].records) <= maxGroup) {
		records += len(r.pending[n].records)
		n++
	}
	return r.pending[:n:n]
}

// commit makes a group durable. After an error none of its records is, and saved
// is as before.
func (r *recorder) commit(group []job, class journal.Class) error {
	// The encoders fold into saved; after an error it must be as before.
	before := slices.Clone(r.saved)
	var encoders []encoder
	for _, j := range group {
		for _, rec := range j.records {
			encoders = append(encoders, r.encoder(j, rec))
		}
	}
	if err := r.append(class, encoders...); err != nil {
		r.saved = before
		if !errors.Is(err, ErrNoSpace) || !r.lacksSpace.Load() { // a full disk is logged once
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

// crashPoints is where a test build may die: the records of the job are durable,
// and they have had no effect yet.
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

// encoder returns the function that fills in the envelope of a record. The same
// call folds the record into saved, since the journal may ask for a checkpoint
// in the middle of a group.
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

// checkpoint encodes the state after the records encoded so far. The journal
// calls it within append, on the recorder's goroutine.
func (r *recorder) checkpoint() ([]byte, error) { return connector.Checkpoint(r.saved) }

// abandon drops what is queued and accepts no more, as a kill of the process
// would.
func (r *recorder) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue, r.abandoned = nil, true
}

// writtenRecords counts the records made durable in this boot.
func (r *recorder) writtenRecords() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written
}

// droppedSamples counts the samples that were dropped in this boot.
func (r *recorder) droppedSamples() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}
