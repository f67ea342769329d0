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
)

// Defaults of a Producer's limits.
const (
	DefaultHighBytes   = 64 << 20
	DefaultHighRecords = 100_000
	DefaultGrace       = 5 * time.Second
)

// ErrStopped is returned for records that come after the end of Run's context.
var ErrStopped = errors.New("kafka: producer is stopped")

// Header is one header of a record.
type Header = kafka.Header

// Record is one to be written. Its slices must not change any more.
type Record struct {
	Topic string
	Key   []byte
	// Subject is what the value is the latest of, beside its key: on Latest topics
	// a record takes the place only of one with the same key and subject.
	Subject string
	Value   []byte
	Headers []Header
	// Done, if set, is told once how it ended, on the lane's goroutine: it must
	// not wait, but may enqueue. It is not called for a record that is still held
	// when the Producer stops: whoever sent it will send it again.
	Done func(Outcome)
}

// OutcomeKind is how the way of a record ended.
type OutcomeKind int

// The ways a record can end.
const (
	// Produced: Kafka has it, at least once.
	Produced OutcomeKind = iota
	// Poisoned: Kafka refuses this very record for what it is, for ever.
	Poisoned
	// Conflated: a newer value of its key and subject took its place (Latest topics only).
	Conflated
)

// Outcome is how the way of a record ended.
type Outcome struct {
	Kind      OutcomeKind
	Partition int
	Offset    int64 // of the record, if Produced
	Err       error // Kafka's reason, if Poisoned
}

// Limits bound what a Producer holds. Zero means the default.
type Limits struct {
	// From HighBytes or HighRecords on the Producer is under pressure, until it
	// is at most at LowBytes and LowRecords (default: half).
	HighBytes, LowBytes     int
	HighRecords, LowRecords int
	// At HardBytes or HardRecords (default: twice the high mark) TryEnqueue
	// refuses.
	HardBytes, HardRecords int
}

func (l *Limits) fill() {
	set := func(v *int, value int) {
		if *v <= 0 {
			*v = value
		}
	}
	set(&l.HighBytes, DefaultHighBytes)
	set(&l.HighRecords, DefaultHighRecords)
	set(&l.LowBytes, l.HighBytes/2)
	set(&l.LowRecords, l.HighRecords/2)
	set(&l.HardBytes, 2*l.HighBytes)
	set(&l.HardRecords, 2*l.HighRecords)
}

// Fill is how full a Producer is, over all lanes.
type Fill struct {
	Records int  `json:"records"`
	Bytes   int  `json:"bytes"`
	High    bool `json:"high"` // under pressure: the owner slows its source down
}

// ProducerConfig says what a Producer writes.
type ProducerConfig struct {
	Topics []TopicSpec
	// Latest names the topics of which only the latest value per key and subject
	// is kept while it waits.
	Latest []string
	// Keep keeps a record that Kafka refuses for what it is, and tries it again:
	// for an owner whose records are well-formed and small, so that the topic's
	// settings are at fault and nothing may be given up. What is behind it in its
	// partition waits.
	Keep   bool
	Limits Limits
	// Grace is how long lanes may go on after the end of Run's context; 0 means
	// DefaultGrace, below 0 none.
	Grace time.Duration
	Rand  *rand.Rand // spreads the attempts; nil for an own source
	// ObserveProduce, if set, is told how long each successful produce of a batch took, by
	// the lanes' goroutines. It must not wait.
	ObserveProduce func(time.Duration)
	Log            *slog.Logger
}

// Producer writes records in order per partition, as long as the topic keeps its
// partitions. When their number changes, what waits goes where its key goes from
// then on; what is under way stays, so that for a moment the order of a key may
// be lost. Methods are safe for concurrent use; Enqueue works before Run.
//
// Invariant: accepted = produced + poisoned + conflated + held.
type Producer struct {
	cfg     ProducerConfig
	client  *Client
	watcher *TopicWatcher

	stopping chan struct{} // closed when intake ends

	layout sync.RWMutex // before mu and those of lanes
	// layout guards what follows.
	topics        map[string]*topicLanes
	layoutChanged chan struct{} // closed and replaced when the keeper has news
	layoutFinal   bool          // no lane is added any more

	mu sync.Mutex
	// mu guards everything that follows.
	fill     Fill
	stopped  bool
	low      chan struct{} // closed while not under pressure
	accepted uint64
}

// topicLanes is how the records of a topic are spread over its lanes.
type topicLanes struct {
	spec  TopicSpec
	lanes []*lane // by partition; those from count on get nothing new
	// count is how many partitions keys are mapped to: those the topic was last
	// seen to have, and before that those configured.
	count int
	// real is how many partitions there are now; 0 while the topic is not there.
	// It is 0 or count.
	real int
}

func (t *topicLanes) lane(key []byte) *lane { return t.lanes[PartitionOf(key, t.count)] }

// NewProducer makes the lanes; it does no I/O. The keeper must keep the topics.
func NewProducer(c *Client, k *TopicWatcher, cfg ProducerConfig) (*Producer, error) {
	cfg.Limits.fill()
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
		cfg: cfg, client: c, watcher: k, topics: map[string]*topicLanes{},
		stopping: make(chan struct{}), layoutChanged: make(chan struct{}), low: make(chan struct{}),
	}
	close(p.low)
	for _, s := range cfg.Topics {
		if err := s.validate(); err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		if t, _ := k.Topic(s.Name); t.Want != s.Partitions {
			return nil, fmt.Errorf("kafka: topic %q: the keeper wants %d partitions, the producer %d", s.Name, t.Want, s.Partitions)
		}
		t := &topicLanes{spec: s, count: s.Partitions}
		for partition := range s.Partitions {
			t.lanes = append(t.lanes, newLane(p, s, partition))
		}
		p.topics[s.Name] = t
	}
	return p, nil
}

// Run works until ctx ends, then takes nothing any more, gives the lanes the
// grace, and returns after they have ended. Call it once.
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
	following.Wait()
	return nil
}

// followTopics follows the keeper: it gives each topic as many lanes as it has
// partitions, and starts those it adds.
func (p *Producer) followTopics(ctx context.Context, start func(*lane)) {
	for {
		changed := p.watcher.changed() // first, so that nothing is missed
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

// applyPartitions takes over how many partitions a topic has. It returns what was replaced.
// Callers hold layout.
func (p *Producer) applyPartitions(t *topicLanes, partitions int, start func(*lane)) []replacement {
	if partitions == 0 || partitions == t.count {
		t.real = partitions
		return nil
	}
	if p.layoutFinal { // it is written as far as the partitions are the same
		return nil
	}
	for len(t.lanes) < partitions {
		n := newLane(p, t.spec, len(t.lanes))
		t.lanes = append(t.lanes, n)
		start(n)
	}
	var waiting []entry
	for _, n := range t.lanes {
		waiting = append(waiting, n.drainQueue()...)
	}
	t.count, t.real = partitions, partitions
	return t.put(waiting)
}

// replacement is a record that a newer one replaced, in the lane of that.
type replacement struct {
	lane  *lane
	entry entry
}

func release(all []replacement) {
	for _, r := range all {
		r.lane.release([]entry{r.entry}, Outcome{Kind: Conflated, Partition: r.lane.partition})
	}
}

// put spreads entries. What they replace must be released without any lock.
func (t *topicLanes) put(entries []entry) (replaced []replacement) {
	for _, e := range entries {
		n := t.lane(e.Key)
		if old, ok := n.put(e); ok {
			replaced = append(replaced, replacement{n, old})
		}
	}
	return replaced
}

// reassign puts entries of a lane that has no partition any more where they belong
// now.
func (p *Producer) reassign(topic string, entries []entry) {
	p.layout.RLock()
	replaced := p.topics[topic].put(entries)
	p.layout.RUnlock()
	release(replaced)
}

// partitions is how many partitions a topic has, 0 while it is not there, and a
// channel that is closed when that may have changed.
func (p *Producer) partitions(topic string) (there int, changed <-chan struct{}) {
	p.layout.RLock()
	defer p.layout.RUnlock()
	return p.topics[topic].real, p.layoutChanged
}

// Enqueue accepts a record, however full the Producer is, and says how full it
// is now. It does not wait. An error means that the record was not accepted:
// unknown topic, or ErrStopped.
func (p *Producer) Enqueue(r Record) (Fill, error) {
	_, fill, err := p.enqueue(r, false)
	return fill, err
}

// TryEnqueue is Enqueue below the hard limit; above it, it accepts nothing and
// returns false.
func (p *Producer) TryEnqueue(r Record) (bool, error) {
	ok, _, err := p.enqueue(r, true)
	return ok, err
}

func (p *Producer) enqueue(r Record, bounded bool) (bool, Fill, error) {
	p.layout.RLock()
	t := p.topics[r.Topic]
	if t == nil {
		p.layout.RUnlock()
		return false, p.Fill(), fmt.Errorf("kafka: topic %q is not among the producer's", r.Topic)
	}
	e := newEntry(r)
	ok, fill, err := p.accept(e.size, bounded)
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
	return ok, fill, err
}

// accept counts a record in, if it may come.
func (p *Producer) accept(size int, bounded bool) (bool, Fill, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopped:
		return false, p.fill, ErrStopped
	case bounded && (p.fill.Bytes+size > p.cfg.Limits.HardBytes || p.fill.Records >= p.cfg.Limits.HardRecords):
		return false, p.fill, nil
	}
	p.accepted++
	p.addLocked(1, size)
	return true, p.fill, nil
}

// add changes what is held and moves the pressure.
func (p *Producer) add(records, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addLocked(records, bytes)
}

func (p *Producer) addLocked(records, bytes int) {
	f, l := &p.fill, &p.cfg.Limits
	f.Records += records
	f.Bytes += bytes
	switch {
	case !f.High && (f.Bytes >= l.HighBytes || f.Records >= l.HighRecords):
		f.High = true
		p.low = make(chan struct{})
	case f.High && f.Bytes <= l.LowBytes && f.Records <= l.LowRecords:
		f.High = false
		close(p.low)
	}
}

// Fill says how full the Producer is.
func (p *Producer) Fill() Fill {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fill
}

// Relieved returns a channel that is closed when the Producer is no longer under
// pressure, at once if it is not.
func (p *Producer) Relieved() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.low
}

// Stats are a Producer's books.
type Stats struct {
	Fill
	Accepted  uint64      `json:"accepted"`
	Produced  uint64      `json:"produced"`
	Poisoned  uint64      `json:"poisoned"`
	Conflated uint64      `json:"conflated"`
	Retries   uint64      `json:"retries"`
	Lanes     []LaneStats `json:"lanes"` // sorted by topic and partition
}

// Stats returns the books. They balance when nothing is under way.
func (p *Producer) Stats() Stats {
	p.mu.Lock()
	s := Stats{Fill: p.fill, Accepted: p.accepted}
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
				continue // of a partition that was
			}
			if l.Depth > 0 && away != "" {
				l.Reason = away
			}
			s.Lanes = append(s.Lanes, l)
		}
	}
	return s
}

// unavailable says in words why nothing of a topic can be written; "" when it is there.
func (p *Producer) unavailable(t *topicLanes) string {
	switch {
	case !p.watcher.State().Up:
		return "Kafka does not answer"
	case t.real > 0:
		return ""
	}
	s, _ := p.watcher.Topic(t.spec.Name)
	if s.Error == "" {
		return "the topic does not exist"
	}
	return "the topic does not exist: " + s.Error
}

// Blocked is what a Producer cannot write to a topic.
type Blocked struct {
	Topic string
	// Lanes is how many of its partitions cannot be written, and Records how many
	// records they hold.
	Lanes, Records int
	Since          time.Time // when the longest of them began
	Reason         string    // of that one, in words
}

// String says it in words for a person, without figures that change by
// themselves.
func (b Blocked) String() string {
	words := "cannot write " + b.Topic
	if b.Reason != "" {
		words += ": " + b.Reason
	}
	return words
}

// Blocked returns what cannot be written, by topic in the order of the
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
