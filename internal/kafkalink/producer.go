package kafkalink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/reason"
)

// Defaults of a ProducerConfig.
const (
	DefaultMaxBytes   = 128 << 20
	DefaultMaxRecords = 200_000
	DefaultGrace      = 5 * time.Second
)

// ErrStopped is returned for records that are enqueued after the end of Run's
// context.
var ErrStopped = errors.New("kafka: producer is stopped")

// Header is one header of a record.
type Header = kafka.Header

// Record is a record to be written. Its slices must not be changed after it was
// enqueued.
type Record struct {
	Topic string
	Key   []byte
	// Subject distinguishes values of one key on Latest topics: a record replaces
	// only one with the same key and the same subject. Kafka does not see it.
	Subject string
	Value   []byte
	Headers []Header
	// Done, if set, is called once with the outcome, on the lane's goroutine: it
	// must not block, but may enqueue. It is not called for a record that is still
	// held when the Producer stops: its sender has no acknowledgement and sends it
	// again.
	Done func(Outcome)
}

// OutcomeKind is what became of a record.
type OutcomeKind int

// The outcomes.
const (
	// Produced: the record is in Kafka, at least once.
	Produced OutcomeKind = iota
	// Poisoned: Kafka refuses the content of this record, and always will.
	Poisoned
	// Conflated: a newer value of its key and subject replaced it (Latest topics
	// only).
	Conflated
)

// Outcome is what became of a record.
type Outcome struct {
	Kind      OutcomeKind
	Partition int
	Offset    int64         // of the record, if Produced
	Reason    reason.Reason // why, if Poisoned
}

// ProducerConfig configures a Producer.
type ProducerConfig struct {
	// Topics are the topics to write to; the topic watcher must create them.
	Topics []TopicSpec
	// Latest names the topics of which only the latest value per key and subject
	// is kept while it waits. Values that come many times a second wait for others, at
	// most latestEvery.
	Latest []string
	// Keep retries a record that Kafka refuses as too large or invalid, instead of
	// giving it up as Poisoned. It is for an owner whose records are well-formed
	// and small: then the settings of the topic are at fault, and an operator can
	// change them. The records behind it in its partition wait.
	Keep bool
	// MaxRecords and MaxBytes are the capacity above which TryEnqueue refuses; 0
	// means the default. Enqueue ignores them: its callers bound what they send by
	// themselves.
	MaxRecords, MaxBytes int
	// Grace is how long lanes go on writing after the end of Run's context; 0
	// means DefaultGrace, below 0 not at all.
	Grace time.Duration
	Rand  *rand.Rand // jitters the retries; nil means a source of its own
	// ObserveProduce, if set, is called by the lanes' goroutines with the duration
	// of each successful produce request. It must not block.
	ObserveProduce func(time.Duration)
	Log            *slog.Logger
}

// Producer writes records to Kafka, in order within each partition.
//
// Each partition has a lane: a queue, and a goroutine that has one produce
// request in flight at most and retries it until it succeeds. So an accepted
// record is written at least once, is refused for good (Poisoned), was replaced
// (Conflated), or is still held when the Producer stops.
//
// A key maps to a partition. When the number of partitions of a topic changes,
// waiting records move to the lanes that their keys map to from then on, and are
// sent once the records in flight at that moment have ended: so the order of a key
// holds although it changes its partition.
//
// Its methods may be called concurrently; Enqueue may be called before Run.
//
// Invariant: accepted = produced + poisoned + conflated + held.
type Producer struct {
	cfg      ProducerConfig
	client   *Client
	watcher  *TopicWatcher
	requests *requests

	stopping chan struct{} // closed when nothing more is accepted

	// layout is locked before mu and before the mutex of a lane.
	layout sync.RWMutex
	// layout guards what follows.
	topics        map[string]*topicLanes
	layoutChanged chan struct{} // closed and replaced when partitions may have changed
	layoutFinal   bool          // Run is stopping: no lane is added any more

	mu sync.Mutex
	// mu guards everything that follows.
	stopped        bool
	records, bytes int // held by all lanes
	accepted       uint64
}

// topicLanes maps the keys of one topic to its lanes.
type topicLanes struct {
	spec TopicSpec
	// lanes has one lane per partition. Lanes from count on belong to partitions
	// that no longer exist; they get no new records.
	lanes []*lane
	// count is the number of partitions that keys are mapped to: that of the topic
	// when it was last seen, and the configured one before.
	count int
	// real is the number of partitions at present; 0 while the topic does not
	// exist. It is 0 or count.
	real int
	// leaving are the lanes that had records in flight when keys last moved to
	// other lanes. Until they have ended, no lane sends a new batch.
	leaving map[*lane]struct{}
}

func (t *topicLanes) lane(key []byte) *lane { return t.lanes[PartitionOf(key, t.count)] }

// NewProducer makes the lanes; it does no I/O. The watcher must create the
// topics.
func NewProducer(c *Client, k *TopicWatcher, cfg ProducerConfig) (*Producer, error) {
	if cfg.MaxRecords <= 0 {
		cfg.MaxRecords = DefaultMaxRecords
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.ObserveProduce == nil {
		cfg.ObserveProduce = func(time.Duration) {}
	}
	switch {
	case cfg.Grace == 0:
		cfg.Grace = DefaultGrace
	case cfg.Grace < 0:
		cfg.Grace = 0
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	p := &Producer{
		cfg: cfg, client: c, watcher: k, requests: newRequests(c, k.leader), topics: map[string]*topicLanes{},
		stopping: make(chan struct{}), layoutChanged: make(chan struct{}),
	}
	for _, s := range cfg.Topics {
		if err := s.validate(); err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		if t, _ := k.Topic(s.Name); t.Want != s.Partitions {
			return nil, fmt.Errorf("kafka: topic %q: the watcher creates it with %d partitions, the producer expects %d", s.Name, t.Want, s.Partitions)
		}
		t := &topicLanes{spec: s, count: s.Partitions}
		for partition := range s.Partitions {
			t.lanes = append(t.lanes, newLane(p, s, partition))
		}
		p.topics[s.Name] = t
	}
	return p, nil
}

// Run writes until ctx ends. Then it accepts nothing more, gives the lanes the
// grace period, and returns after they have ended. Call it once.
func (p *Producer) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var lanes, following sync.WaitGroup
	start := func(n *lane) { lanes.Go(func() { n.run(work) }) }
	p.layout.RLock()
	for _, t := range p.topics {
		for _, n := range t.lanes {
			start(n)
		}
	}
	p.layout.RUnlock()
	following.Go(func() { p.followTopics(work, start) })
	<-ctx.Done()
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	p.layout.Lock()
	p.layoutFinal = true
	p.layout.Unlock()
	close(p.stopping)
	end := time.AfterFunc(p.cfg.Grace, cancel)
	defer end.Stop()
	lanes.Wait()
	cancel()
	p.requests.wait()
	following.Wait()
	return nil
}

// followTopics gives each topic as many lanes as the watcher reports partitions,
// and starts the lanes that it adds.
func (p *Producer) followTopics(ctx context.Context, start func(*lane)) {
	for {
		changed := p.watcher.changed() // before the read, so that no change is missed
		p.layout.Lock()
		var replaced []replacement
		for name, t := range p.topics {
			s, _ := p.watcher.Topic(name)
			replaced = append(replaced, p.applyPartitions(t, s.Partitions, start)...)
		}
		close(p.layoutChanged)
		p.layoutChanged = make(chan struct{})
		p.layout.Unlock()
		release(replaced)
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// applyPartitions changes the number of lanes of a topic to its number of
// partitions and moves waiting records. It returns the records that were
// conflated by the move. The caller holds layout.
func (p *Producer) applyPartitions(t *topicLanes, partitions int, start func(*lane)) []replacement {
	if partitions == 0 || partitions == t.count {
		t.real = partitions
		return nil
	}
	if p.layoutFinal { // Run is stopping: lanes whose partitions still exist go on writing
		return nil
	}
	for len(t.lanes) < partitions {
		n := newLane(p, t.spec, len(t.lanes))
		t.lanes = append(t.lanes, n)
		start(n)
	}
	t.leaving = map[*lane]struct{}{}
	for _, n := range t.lanes {
		if n.hasInFlight() {
			t.leaving[n] = struct{}{}
		}
	}
	waiting := t.drain()
	t.count, t.real = partitions, partitions
	return t.put(waiting)
}

// drain removes and returns what waits in all lanes. The entries of each key are in
// their order.
func (t *topicLanes) drain() (waiting []entry) {
	for _, n := range t.lanes {
		waiting = append(waiting, n.drainQueue()...)
	}
	return waiting
}

// left reports that nothing of a lane is in flight any more.
func (p *Producer) left(n *lane) {
	p.layout.RLock()
	_, leaving := p.topics[n.topic].leaving[n]
	p.layout.RUnlock()
	if !leaving {
		return
	}
	p.layout.Lock()
	defer p.layout.Unlock()
	p.leftLocked(n)
}

// leftLocked is left with layout held.
func (p *Producer) leftLocked(n *lane) {
	t := p.topics[n.topic]
	before := len(t.leaving)
	if delete(t.leaving, n); before > 0 && len(t.leaving) == 0 {
		close(p.layoutChanged)
		p.layoutChanged = make(chan struct{})
	}
}

// replacement is a record that a newer one replaced, with the lane of the newer
// one.
type replacement struct {
	lane  *lane
	entry entry
}

func release(all []replacement) {
	for _, r := range all {
		r.lane.release([]entry{r.entry}, Outcome{Kind: Conflated, Partition: r.lane.partition})
	}
}

// put queues entries by their keys. The caller releases what they replaced, after
// it has unlocked all mutexes.
func (t *topicLanes) put(entries []entry) (replaced []replacement) {
	for _, e := range entries {
		n := t.lane(e.Key)
		if old, ok := n.put(e); ok {
			replaced = append(replaced, replacement{n, old})
		}
	}
	return replaced
}

// reassign queues the entries of a lane whose partition no longer exists in the
// lanes that their keys map to now, before what waits there: they were accepted
// earlier.
func (p *Producer) reassign(n *lane, entries []entry) {
	p.layout.Lock()
	t := p.topics[n.topic]
	waiting := t.drain()
	replaced := t.put(append(entries, waiting...))
	p.leftLocked(n)
	p.layout.Unlock()
	release(replaced)
}

// partitions returns the number of partitions of a topic, 0 while it does not
// exist; whether keys are moving, so that no lane may send a new batch; and a
// channel that is closed when either may have changed.
func (p *Producer) partitions(topic string) (there int, moving bool, changed <-chan struct{}) {
	p.layout.RLock()
	defer p.layout.RUnlock()
	t := p.topics[topic]
	return t.real, len(t.leaving) > 0, p.layoutChanged
}

// Enqueue accepts a record, however many are held. It does not block. An error
// means that the record was not accepted: an unknown topic, or ErrStopped.
func (p *Producer) Enqueue(r Record) error {
	_, err := p.enqueue(r, false)
	return err
}

// TryEnqueue is Enqueue within the capacity of the configuration. It returns
// false when the record would exceed it.
func (p *Producer) TryEnqueue(r Record) (bool, error) { return p.enqueue(r, true) }

func (p *Producer) enqueue(r Record, bounded bool) (bool, error) {
	p.layout.RLock()
	t := p.topics[r.Topic]
	if t == nil {
		p.layout.RUnlock()
		return false, fmt.Errorf("kafka: topic %q is not among the producer's", r.Topic)
	}
	e := newEntry(r)
	ok, err := p.accept(e.size, bounded)
	var old entry
	var replaced bool
	n := t.lane(e.Key)
	if ok {
		old, replaced = n.put(e)
	}
	p.layout.RUnlock()
	if replaced {
		release([]replacement{{n, old}})
	}
	return ok, err
}

// accept counts a record as held, unless it has to be refused.
func (p *Producer) accept(size int, bounded bool) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopped:
		return false, ErrStopped
	case bounded && (p.bytes+size > p.cfg.MaxBytes || p.records >= p.cfg.MaxRecords):
		return false, nil
	}
	p.accepted++
	p.records++
	p.bytes += size
	return true, nil
}

// released counts records as no longer held.
func (p *Producer) released(records, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records -= records
	p.bytes -= bytes
}

// Stats are the counts of a Producer.
type Stats struct {
	// Records and Bytes are held: waiting, or in flight.
	Records   int         `json:"records"`
	Bytes     int         `json:"bytes"`
	Accepted  uint64      `json:"accepted"`
	Produced  uint64      `json:"produced"`
	Poisoned  uint64      `json:"poisoned"`
	Conflated uint64      `json:"conflated"`
	Retries   uint64      `json:"retries"`
	Lanes     []LaneStats `json:"lanes"` // sorted by topic and partition
}

// Stats returns the present counts. The invariant of Producer holds for them when
// no call and no produce is in progress.
func (p *Producer) Stats() Stats {
	p.mu.Lock()
	s := Stats{Records: p.records, Bytes: p.bytes, Accepted: p.accepted}
	p.mu.Unlock()
	p.layout.RLock()
	defer p.layout.RUnlock()
	for _, spec := range p.cfg.Topics {
		t := p.topics[spec.Name]
		away := p.unavailable(t)
		for i, n := range t.lanes {
			l := n.stats()
			s.Produced += l.Produced
			s.Poisoned += l.Poisoned
			s.Conflated += l.Conflated
			s.Retries += l.Retries
			if i >= t.count && l.Depth == 0 {
				continue // its partition no longer exists
			}
			if l.Depth > 0 && !away.IsZero() {
				l.Reason = away
			}
			s.Lanes = append(s.Lanes, l)
		}
	}
	return s
}

// unavailable returns the reason why no record of a topic can be written; zero if
// the topic exists and Kafka answers.
func (p *Producer) unavailable(t *topicLanes) reason.Reason {
	switch {
	case !p.watcher.State().Up:
		return reason.Reason{Code: reason.KafkaSilent}
	case t.real > 0:
		return reason.Reason{}
	}
	s, _ := p.watcher.Topic(t.spec.Name)
	return reason.Reason{Code: reason.TopicAbsent, Detail: s.Error}
}

// Blocked reports that a Producer cannot write to a topic.
type Blocked struct {
	Topic string
	// Lanes is the number of partitions that cannot be written, and Records the
	// number of records that their lanes hold.
	Lanes, Records int
	Since          time.Time     // when the first of them was blocked
	Reason         reason.Reason // of that one
}

// Why returns why the topic cannot be written.
func (b Blocked) Why() reason.Reason {
	return reason.Reason{Code: reason.CannotWrite, Topic: b.Topic}.Because(b.Reason)
}

// Blocked returns the topics that cannot be written, in the order of the
// configuration.
func (s Stats) Blocked() []Blocked {
	var all []Blocked
	for _, l := range s.Lanes {
		if !l.Blocked() {
			continue
		}
		i := slices.IndexFunc(all, func(b Blocked) bool { return b.Topic == l.Topic })
		if i < 0 {
			i = len(all)
			all = append(all, Blocked{Topic: l.Topic, Since: l.since(), Reason: l.Reason})
		}
		b := &all[i]
		b.Lanes++
		b.Records += l.Depth
		if l.since().Before(b.Since) {
			b.Since, b.Reason = l.since(), l.Reason
		}
	}
	return all
}
