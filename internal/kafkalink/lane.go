package kafkalink

import (
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
	"github.com/carga-ev/carga/internal/crashpoint"
)

const (
	maxBatchRecords = 1000
	maxBatchBytes   = 900_000
	// minBatchBytes is where a lane stops halving its batches for a topic that
	// takes less than expected; single records may still be larger.
	minBatchBytes = 8 << 10
	// batchFrame is more than the header of a batch.
	batchFrame = 256
)

// LaneStats are the books of one partition.
type LaneStats struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	// Depth and Bytes are held: waiting, or sent and not yet confirmed.
	Depth int `json:"depth"`
	Bytes int `json:"bytes"`
	// OldestAge is how long the first of them has been held.
	OldestAge time.Duration `json:"oldest_age"`
	// PendingSince is when the first of them came; zero when nothing is held. Of a
	// topic of latest values: since when there is a value that Kafka has not.
	PendingSince time.Time `json:"pending_since,omitzero"`
	Produced     uint64    `json:"produced"`
	Poisoned     uint64    `json:"poisoned"`
	Conflated    uint64    `json:"conflated"`
	Retries      uint64    `json:"retries"`
	// ProduceTime is how long the last successful produce took.
	ProduceTime time.Duration `json:"produce_time"`
	// LastError is why the last attempt failed; empty after a success.
	LastError string `json:"last_error,omitempty"`
	// Reason says in words why what is held is not written, or why a record was
	// given up; empty when nothing is known to be wrong.
	Reason string `json:"reason,omitempty"`
	// RefusedAt is when Kafka refused a record for ever; zero when it never did.
	RefusedAt time.Time `json:"refused_at,omitzero"`
}

const (
	// blockedAfter is how long a lane may hold a record while all is well: an
	// attempt and its pause are shorter.
	blockedAfter = 10 * time.Second
	// refusedFor is how long a lane counts as blocked after a record was refused
	// for ever: it holds nothing then, but the next one like it is refused too.
	refusedFor = time.Minute
)

// Blocked reports that the lane does not write what it should: what it holds
// does not get on, or Kafka has just refused a record for ever.
func (s LaneStats) Blocked() bool {
	return s.OldestAge >= blockedAfter || !s.RefusedAt.IsZero() && time.Since(s.RefusedAt) < refusedFor
}

// since is when the trouble of a blocked lane began.
func (s LaneStats) since() time.Time {
	if s.PendingSince.IsZero() || !s.RefusedAt.IsZero() && s.RefusedAt.Before(s.PendingSince) {
		return s.RefusedAt
	}
	return s.PendingSince
}

// lane is one partition's way: one goroutine, one produce outstanding.
type lane struct {
	p         *Producer
	topic     string
	partition int
	retrier   retrier
	maxBatch  int           // bytes of a batch by configuration
	wake      chan struct{} // capacity 1: something was put
	log       *slog.Logger

	mu sync.Mutex
	// mu guards everything that follows.
	q          queue
	inFlight   []entry // the batch under way; its bytes are part of books.Bytes
	batchLimit int     // bytes of a batch that the topic was found to take, <= limit
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
	// A source of its own: lanes run concurrently.
	rnd := rand.New(rand.NewPCG(p.cfg.Rand.Uint64(), p.cfg.Rand.Uint64()))
	n.retrier = retrier{backoff: backoff.New(minRetry, maxRetry, rnd), watcher: p.watcher}
	return n
}

// put adds an entry. What it replaces must be released.
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

// drainQueue returns what waits and is not under way, for other lanes.
func (n *lane) drainQueue() []entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	waiting := n.q.pop(n.q.len(), math.MaxInt)
	for _, e := range waiting {
		n.totals.Bytes -= e.size
	}
	return waiting
}

// release tells the owners of entries, whose offsets follow each other from that
// of o, and gives their room back. Callers hold no lock.
func (n *lane) release(part []entry, o Outcome) {
	bytes := 0
	for i := range part {
		bytes += part[i].size
		if done := part[i].Done; done != nil {
			done(o)
		}
		o.Offset++
	}
	n.p.add(-len(part), -bytes)
}

func (n *lane) run(ctx context.Context) {
	for n.awaitRecords(ctx) {
		switch n.awaitPartition(ctx) {
		case laneOpen:
			if batch := n.nextBatch(); len(batch) > 0 { // it may just have been moved
				n.deliver(ctx, batch)
			}
		case laneGone:
			n.p.reassign(n.topic, n.drainQueue())
		case laneEnded:
			return
		}
	}
}

// awaitRecords waits for work. It reports false when there is no more to come or ctx
// has ended.
func (n *lane) awaitRecords(ctx context.Context) bool {
	for {
		n.mu.Lock()
		waits := n.q.len()
		n.mu.Unlock()
		if ctx.Err() != nil {
			return false
		}
		if waits > 0 {
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

// availability is whether a lane can write.
type availability int

const (
	laneOpen  availability = iota
	laneGone               // the topic has no such partition
	laneEnded              // ctx has ended
)

// awaitPartition waits until the topic is there.
func (n *lane) awaitPartition(ctx context.Context) availability {
	for {
		there, changed := n.p.partitions(n.topic)
		switch {
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

func (n *lane) nextBatch() []entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.inFlight = n.q.pop(maxBatchRecords, n.batchLimit)
	return n.inFlight
}

// deliver writes a batch, again and again until it is written. A batch that is
// refused for what it is, is halved until the single record is found.
func (n *lane) deliver(ctx context.Context, batch []entry) {
	parts := [][]entry{batch}
	for len(parts) > 0 {
		switch n.awaitPartition(ctx) {
		case laneOpen:
		case laneGone:
			n.p.reassign(n.topic, n.drainAll())
			return
		case laneEnded:
			return
		}
		part := parts[0]
		_, wake := n.p.watcher.Topic(n.topic)
		began := time.Now()
		offset, err := n.produce(ctx, part)
		if err == nil {
			n.retrier.backoff.Reset()
			n.written(part, offset, time.Since(began))
			parts = parts[1:]
			continue
		}
		if ctx.Err() != nil {
			return
		}
		switch c := classify(err); {
		case (c == classTooLarge || c == classInvalid) && len(part) > 1:
			n.shrink(c, part)
			half := len(part) / 2
			parts = append([][]entry{part[:half], part[half:]}, parts[1:]...)
			continue
		case (c == classTooLarge || c == classInvalid) && !n.p.cfg.Keep:
			n.poison(part[0], err)
			parts = parts[1:]
			continue
		}
		n.failed(err)
		if n.q.latest != nil { // newer values may take the place of these
			n.putBack(parts)
			parts = nil
		}
		if !n.retrier.wait(ctx, err, wake) {
			return
		}
	}
}

// produce sends one batch once.
func (n *lane) produce(ctx context.Context, batch []entry) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	crashpoint.During(crashpoint.Producing)
	res, err := n.p.client.api.Produce(ctx, &kafka.ProduceRequest{
		Topic: n.topic, Partition: n.partition, RequiredAcks: kafka.RequireAll, Records: &batchReader{batch: batch},
	})
	if err != nil {
		return 0, err
	}
	// Errors of the partition come inside the response, with a nil error.
	return res.BaseOffset, res.Error
}

func (n *lane) written(part []entry, offset int64, took time.Duration) {
	n.mu.Lock()
	again := n.totals.LastError != ""
	n.totals.Produced += uint64(len(part))
	n.totals.LastError, n.totals.ProduceTime = "", took
	if n.totals.RefusedAt.IsZero() || time.Since(n.totals.RefusedAt) >= refusedFor {
		n.totals.Reason = ""
	}
	n.completeLocked(part)
	n.mu.Unlock()
	n.p.cfg.ObserveProduce(took)
	if again {
		n.log.Info("writing to Kafka again")
	}
	n.release(part, Outcome{Kind: Produced, Partition: n.partition, Offset: offset})
}

// completeLocked takes a part, always the first, out of the flight.
func (n *lane) completeLocked(part []entry) {
	for _, e := range part {
		n.totals.Bytes -= e.size
	}
	n.inFlight = n.inFlight[len(part):]
	if len(n.inFlight) == 0 {
		n.inFlight = nil // its bytes may be freed
	}
}

func (n *lane) poison(e entry, err error) {
	n.mu.Lock()
	n.totals.Poisoned++
	n.totals.RefusedAt, n.totals.Reason = time.Now(), reasonOf(err)
	n.batchLimit = n.maxBatch // it was this record, not the size of the batch
	n.completeLocked([]entry{e})
	n.mu.Unlock()
	n.log.Error("Kafka refuses a record for ever", slog.Int("bytes", e.size), slog.String("err", err.Error()))
	n.release([]entry{e}, Outcome{Kind: Poisoned, Partition: n.partition, Err: err})
}

// shrink remembers that the topic takes smaller batches than expected, so that
// not each one has to be halved.
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

// failed notes a failed attempt; one line per reason.
func (n *lane) failed(err error) {
	reason := reasonOf(err)
	n.mu.Lock()
	first, other := n.totals.LastError == "", n.totals.Reason != reason
	n.totals.Retries++
	n.totals.LastError, n.totals.Reason = err.Error(), reason
	n.mu.Unlock()
	switch c := classify(err); {
	case c != classRetry && c != classStale && (first || other):
		n.log.Error("cannot write to Kafka, records are kept", slog.String("reason", reason), slog.String("err", err.Error()))
	case first:
		n.log.Info("waiting to write to Kafka", slog.String("reason", reason), slog.String("err", err.Error()))
	}
}

// drainAll takes everything that is held, under way or waiting, for other lanes.
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

// batchReader gives a batch to kafka-go; one serves one attempt.
type batchReader struct {
	batch  []entry
	record kafka.Record
}

func (b *batchReader) ReadRecord() (*kafka.Record, error) {
	if len(b.batch) == 0 {
		return nil, io.EOF
	}
	e := &b.batch[0]
	b.batch = b.batch[1:]
	b.record = kafka.Record{Key: kafka.NewBytes(e.Key), Value: kafka.NewBytes(e.Value), Headers: e.Headers}
	return &b.record, nil
}
