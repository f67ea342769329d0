package kafkalink

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/backoff"
	"github.com/carga-ev/carga/internal/reason"
)

const (
	maxBatchRecords = 1000
	maxBatchBytes   = 900_000
	// minBatchBytes is the smallest limit to which a lane halves its batches,
	// for a topic that accepts less than was configured. A single larger record
	// is still sent.
	minBatchBytes = 8 << 10
	// batchFrame is more than the header of a batch takes.
	batchFrame = 256
	// latestEvery is the shortest time between two batches of a Latest topic. Each batch
	// has a cost in Kafka and in its readers that does not depend on its size.
	latestEvery = 100 * time.Millisecond
)

// LaneStats are the counts of one partition, and why it is not written.
type LaneStats struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	// Depth and Bytes are held: waiting, or in flight.
	Depth int `json:"depth"`
	Bytes int `json:"bytes"`
	// OldestAge is how long the first of them has been held.
	OldestAge time.Duration `json:"oldest_age"`
	// PendingSince is when the first of them was accepted; zero when none is
	// held. On a Latest topic: since when Kafka lacks a current value.
	PendingSince time.Time `json:"pending_since,omitzero"`
	Produced     uint64    `json:"produced"`
	Poisoned     uint64    `json:"poisoned"`
	Conflated    uint64    `json:"conflated"`
	Retries      uint64    `json:"retries"`
	// ProduceTime is the duration of the last successful produce request.
	ProduceTime time.Duration `json:"produce_time"`
	// LastError is why the last attempt failed; empty after a success.
	LastError string `json:"last_error,omitempty"`
	// Reason is, for a person, why the held records are not written or why a
	// record was given up; empty when nothing is wrong.
	Reason reason.Reason `json:"reason,omitzero"`
	// RefusedAt is when Kafka refused a record for good; zero if it never did.
	RefusedAt time.Time `json:"refused_at,omitzero"`
}

const (
	// blockedAfter is how long a lane may hold a record before it counts as
	// blocked. An attempt and its pause are shorter when all is well.
	blockedAfter = 10 * time.Second
	// refusedFor is how long a lane counts as blocked after a record was refused
	// for good. It holds nothing then, but the next record of the kind is
	// refused, too.
	refusedFor = time.Minute
)

// Blocked reports that the lane cannot write: it has held a record for too long,
// or Kafka has just refused one for good.
func (s LaneStats) Blocked() bool {
	return s.OldestAge >= blockedAfter || !s.RefusedAt.IsZero() && time.Since(s.RefusedAt) < refusedFor
}

// since is when a blocked lane became blocked.
func (s LaneStats) since() time.Time {
	if s.PendingSince.IsZero() || !s.RefusedAt.IsZero() && s.RefusedAt.Before(s.PendingSince) {
		return s.RefusedAt
	}
	return s.PendingSince
}

// lane writes one partition: one goroutine, with one produce request in flight
// at most. A second request could overtake the first after a retry, and so break
// the order.
type lane struct {
	p         *Producer
	topic     string
	partition int
	retrier   retrier
	maxBatch  int           // most bytes of a batch, by configuration
	wake      chan struct{} // capacity 1: the queue has a new record
	alone     bool          // the last request failed, so the next one is not shared; of run's goroutine
	begunAt   time.Time     // when the last batch of a Latest topic was begun; of run's goroutine
	log       *slog.Logger

	mu sync.Mutex
	// mu guards everything that follows.
	q          queue
	inFlight   []entry // the batch being sent; its bytes are part of totals.Bytes
	batchLimit int     // most bytes of a batch that the topic accepts, as found by trying; at most maxBatch
	totals     LaneStats
}

func newLane(p *Producer, s TopicSpec, partition int) *lane {
	n := &lane{
		p: p, topic: s.Name, partition: partition, maxBatch: maxBatchBytes, wake: make(chan struct{}, 1),
		log:    p.cfg.Log.With(slog.String("topic", s.Name), slog.Int("partition", partition)),
		totals: LaneStats{Topic: s.Name, Partition: partition},
	}
	if s.MaxMessageBytes > 0 {
		n.maxBatch = max(minBatchBytes, min(maxBatchBytes, s.MaxMessageBytes-batchFrame))
	}
	n.batchLimit = n.maxBatch
	if slices.Contains(p.cfg.Latest, s.Name) {
		n.q.latest = map[subject]int{}
	}
	// Each lane has its own source: lanes run concurrently.
	rnd := rand.New(rand.NewPCG(p.cfg.Rand.Uint64(), p.cfg.Rand.Uint64()))
	n.retrier = retrier{backoff: backoff.New(minRetry, maxRetry, rnd), watcher: p.watcher}
	return n
}

// put queues an entry. The caller releases the entry that it replaced.
func (n *lane) put(e entry) (replaced entry, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	replaced, ok = n.q.put(e)
	n.totals.Bytes += e.size
	if ok {
		n.totals.Bytes -= replaced.size
		n.totals.Conflated++
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
	return replaced, ok
}

// drainQueue removes and returns the entries that are not in flight, to move
// them to other lanes.
func (n *lane) drainQueue() []entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	waiting := n.q.pop(n.q.len(), math.MaxInt)
	for _, e := range waiting {
		n.totals.Bytes -= e.size
	}
	return waiting
}

// release reports the outcome of entries to their owners and counts them as no
// longer held. Their offsets are consecutive, from that of o. The caller holds
// no lock, since Done may enqueue.
func (n *lane) release(part []entry, o Outcome) {
	bytes := 0
	for i := range part {
		bytes += part[i].size
		if done := part[i].Done; done != nil {
			done(o)
		}
		o.Offset++
	}
	n.p.released(len(part), bytes)
}

// run writes batches until ctx ends or nothing more is accepted and all is
// written. It is the goroutine of the lane.
func (n *lane) run(ctx context.Context) {
	for n.awaitRecords(ctx) {
		n.gather(ctx)
		switch n.awaitPartition(ctx, true) {
		case laneOpen:
			n.deliver(ctx)
		case laneGone:
			n.p.reassign(n, n.drainQueue())
		case laneEnded:
			return
		}
	}
}

// awaitRecords waits for records to write. It reports false when no more can
// come or ctx has ended.
func (n *lane) awaitRecords(ctx context.Context) bool {
	for {
		if ctx.Err() != nil {
			return false
		}
		if n.hasRecords() {
			return true
		}
		select {
		case <-n.wake:
		case <-ctx.Done():
			return false
		case <-n.p.stopping:
			// A last record may have been accepted just before.
			select {
			case <-n.wake:
			default:
				return false
			}
		}
	}
}

// gather waits until latestEvery after the last batch of a Latest topic: a value that
// comes alone leaves at once, those that come many times a second leave together.
func (n *lane) gather(ctx context.Context) {
	if n.q.latest == nil {
		return
	}
	pause := time.NewTimer(latestEvery - time.Since(n.begunAt))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	case <-n.p.stopping:
	}
	n.begunAt = time.Now()
}

// availability is whether the partition of a lane can be written.
type availability int

const (
	laneOpen  availability = iota
	laneGone               // the topic no longer has the partition
	laneEnded              // ctx has ended
)

// awaitPartition waits until the topic exists and, for a new batch, until no keys
// are moving.
func (n *lane) awaitPartition(ctx context.Context, newBatch bool) availability {
	for {
		there, moving, changed := n.p.partitions(n.topic)
		switch {
		case moving && newBatch:
		case n.partition < there:
			return laneOpen
		case there > 0:
			return laneGone
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return laneEnded
		}
	}
}

func (n *lane) hasRecords() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.q.len() > 0
}

func (n *lane) hasInFlight() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.inFlight) > 0
}

// nextBatch moves the first entries of the queue in flight and returns them: at
// most bytes, but at least one. It returns none while keys are moving.
func (n *lane) nextBatch(bytes int) []entry {
	n.p.layout.RLock()
	defer n.p.layout.RUnlock()
	if len(n.p.topics[n.topic].leaving) > 0 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.inFlight = n.q.pop(maxBatchRecords, min(n.batchLimit, bytes))
	return n.inFlight
}

// nextOf returns what takes the next batch: from the queue, or a part that was
// taken before and is to be sent again.
func (n *lane) nextOf(part []entry) func(bytes int) []entry {
	if part == nil {
		return n.nextBatch
	}
	return func(int) []entry { return part }
}

// deliver writes batches while there are records, of a Latest topic one, each until it
// is written. If Kafka refuses its content, it halves the batch until the record in
// question is alone, and gives that up (or keeps it, see ProducerConfig.Keep).
func (n *lane) deliver(ctx context.Context) {
	defer n.p.left(n)
	var offered *offer
	parts := [][]entry{nil} // nil: the batch is taken when the request is built
	for len(parts) > 0 {
		if offered == nil {
			switch n.awaitPartition(ctx, parts[0] == nil) {
			case laneOpen:
			case laneGone:
				n.p.reassign(n, n.drainAll())
				return
			case laneEnded:
				return
			}
			if !n.alone {
				offered = n.p.requests.offer(ctx, n, n.nextOf(parts[0]))
			}
		}
		_, wake := n.p.watcher.Topic(n.topic)
		began, o := time.Now(), offered
		var r reply
		if offered = nil; o != nil {
			r = <-o.reply
		} else {
			r = n.p.requests.alone(ctx, n, n.nextOf(parts[0]))
		}
		switch {
		case len(r.batch) == 0:
			return // the records have just been moved to another lane
		case r.err == nil:
			n.alone = false
			n.retrier.backoff.Reset()
			n.written(r.batch, time.Since(began))
			if parts = parts[1:]; len(parts) == 0 {
				n.p.left(n)
			}
			if len(parts) == 0 && n.q.latest == nil && n.hasRecords() {
				parts = [][]entry{nil}
				offered = n.p.requests.offer(ctx, n, n.nextBatch)
			}
			o.settle()
			n.release(r.batch, Outcome{Kind: Produced, Partition: n.partition, Offset: r.offset})
			continue
		}
		o.settle()
		parts[0] = r.batch
		shared := !n.alone
		n.alone = true
		if shared && notSent(r.err) {
			continue // perhaps because of another partition
		}
		if ctx.Err() != nil {
			return
		}
		var again bool
		if parts, again = n.divide(parts, r.err); again {
			continue
		}
		n.failed(r.err)
		if n.q.latest != nil { // newer values may replace these
			n.putBack(parts)
			n.p.left(n)
			parts = nil
		}
		if !n.retrier.wait(ctx, r.err, wake) {
			return
		}
	}
}

// divide halves the first part if Kafka refuses its content, or gives up its only
// record. It reports whether what is left is to be sent at once.
func (n *lane) divide(parts [][]entry, err error) ([][]entry, bool) {
	part, c := parts[0], classify(err)
	switch {
	case c != classTooLarge && c != classInvalid:
		return parts, false
	case len(part) > 1:
		n.shrink(c, part)
		half := len(part) / 2
		return append([][]entry{part[:half], part[half:]}, parts[1:]...), true
	case n.p.cfg.Keep:
		return parts, false
	}
	n.poison(part[0], err)
	return parts[1:], true
}

// written counts a part that Kafka acknowledged. The caller releases it.
func (n *lane) written(part []entry, took time.Duration) {
	n.mu.Lock()
	again := n.totals.LastError != ""
	n.totals.Produced += uint64(len(part))
	n.totals.LastError, n.totals.ProduceTime = "", took
	if n.totals.RefusedAt.IsZero() || time.Since(n.totals.RefusedAt) >= refusedFor {
		n.totals.Reason = reason.Reason{}
	}
	n.completeLocked(part)
	n.mu.Unlock()
	n.p.cfg.ObserveProduce(took)
	if again {
		n.log.Info("writing to Kafka again")
	}
}

// completeLocked removes a part, always the first one, from what is in flight.
func (n *lane) completeLocked(part []entry) {
	for _, e := range part {
		n.totals.Bytes -= e.size
	}
	n.inFlight = n.inFlight[len(part):]
	if len(n.inFlight) == 0 {
		n.inFlight = nil // releases its memory
	}
}

// poison gives up a record whose content Kafka refuses.
func (n *lane) poison(e entry, err error) {
	n.mu.Lock()
	n.totals.Poisoned++
	n.totals.RefusedAt, n.totals.Reason = time.Now(), reasonOf(err)
	n.batchLimit = n.maxBatch // the record was too large, not the batch
	n.completeLocked([]entry{e})
	n.mu.Unlock()
	n.log.Error("Kafka refuses a record for ever", slog.Int("bytes", e.size), slog.String("err", err.Error()))
	n.release([]entry{e}, Outcome{Kind: Poisoned, Partition: n.partition, Reason: reasonOf(err)})
}

// shrink lowers the limit of a batch when a batch was too large, so that not
// each following one has to be halved.
func (n *lane) shrink(c class, part []entry) {
	if c != classTooLarge {
		return
	}
	size := 0
	for _, e := range part {
		size += e.size
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.batchLimit = max(minBatchBytes, min(n.batchLimit, size/2))
}

// failed counts a failed attempt, and logs it once per reason.
func (n *lane) failed(err error) {
	why := reasonOf(err)
	n.mu.Lock()
	first, other := n.totals.LastError == "", n.totals.Reason != why
	n.totals.Retries++
	n.totals.LastError, n.totals.Reason = err.Error(), why
	n.mu.Unlock()
	switch c := classify(err); {
	case c != classRetry && c != classStale && (first || other):
		n.log.Error("cannot write to Kafka, records are kept", slog.String("reason", why.String()), slog.String("err", err.Error()))
	case first:
		n.log.Info("waiting to write to Kafka", slog.String("reason", why.String()), slog.String("err", err.Error()))
	}
}

// drainAll removes and returns all held entries, in flight and waiting, to move
// them to other lanes.
func (n *lane) drainAll() []entry {
	n.mu.Lock()
	all := n.inFlight
	for _, e := range all {
		n.totals.Bytes -= e.size
	}
	n.inFlight = nil
	n.mu.Unlock()
	return append(slices.Clone(all), n.drainQueue()...)
}

// putBack returns the parts in flight of a Latest topic to the queue, where
// newer values replace them.
func (n *lane) putBack(parts [][]entry) {
	var replaced []entry
	n.mu.Lock()
	var batch []entry
	for _, part := range parts {
		batch = append(batch, part...)
	}
	replaced = n.q.putBack(batch)
	n.inFlight = nil
	for _, e := range replaced {
		n.totals.Bytes -= e.size
		n.totals.Conflated++
	}
	n.mu.Unlock()
	n.release(replaced, Outcome{Kind: Conflated, Partition: n.partition})
}

func (n *lane) stats() LaneStats {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.totals
	s.Depth = n.q.len() + len(n.inFlight)
	if len(n.inFlight) > 0 {
		s.PendingSince = n.inFlight[0].at
	} else if at, ok := n.q.oldest(); ok {
		s.PendingSince = at
	}
	if !s.PendingSince.IsZero() {
		s.OldestAge = time.Since(s.PendingSince)
	}
	return s
}

// batchReader is the kafka.RecordReader of one batch, for one attempt. A record that
// it returns is valid until the next one is read.
type batchReader struct {
	batch      []entry
	record     kafka.Record
	key, value content
}

// content is a kafka.Bytes.
type content struct{ bytes.Reader }

// Close implements kafka.Bytes.
func (*content) Close() error { return nil }

// ReadRecord implements kafka.RecordReader.
func (b *batchReader) ReadRecord() (*kafka.Record, error) {
	if len(b.batch) == 0 {
		return nil, io.EOF
	}
	e := &b.batch[0]
	b.batch = b.batch[1:]
	b.record = kafka.Record{Headers: e.Headers}
	if e.Key != nil { // null otherwise
		b.key.Reset(e.Key)
		b.record.Key = &b.key
	}
	if e.Value != nil {
		b.value.Reset(e.Value)
		b.record.Value = &b.value
	}
	return &b.record, nil
}
