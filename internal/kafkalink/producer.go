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
	Limits Limits
	// Grace is how long lanes may go on after the end of Run's context; 0 means
	// DefaultGrace, below 0 none.
	Grace time.Duration
	Rand  *rand.Rand // spreads the attempts; nil for an own source
	// Took, if set, is told how long each successful produce of a batch took, by
	// the lanes' goroutines. It must not wait.
	Took func(time.Duration)
	Log  *slog.Logger
}

// Producer writes records in order per partition. Methods are safe for
// concurrent use; Enqueue works before Run.
//
// Invariant: accepted = produced + poisoned + conflated + held.
type Producer struct {
	cfg    ProducerConfig
	client *Client
	keeper *Keeper
	lanes  map[string][]*lane // by topic, one per configured partition

	stopping chan struct{} // closed when intake ends

	mu sync.Mutex
	// mu guards everything that follows.
	fill     Fill
	stopped  bool
	low      chan struct{} // closed while not under pressure
	accepted uint64
}

// NewProducer makes the lanes; it does no I/O. The keeper must keep the topics.
func NewProducer(c *Client, k *Keeper, cfg ProducerConfig) (*Producer, error) {
	cfg.Limits.fill()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Took == nil {
		cfg.Took = func(time.Duration) {}
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
		cfg: cfg, client: c, keeper: k, lanes: map[string][]*lane{},
		stopping: make(chan struct{}), low: make(chan struct{}),
	}
	close(p.low)
	for _, s := range cfg.Topics {
		if err := s.validate(); err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		if t, _ := k.Topic(s.Name); t.Want != s.Partitions {
			return nil, fmt.Errorf("kafka: topic %q: the keeper wants %d partitions, the producer %d", s.Name, t.Want, s.Partitions)
		}
		for partition := range s.Partitions {
			p.lanes[s.Name] = append(p.lanes[s.Name], newLane(p, s, partition, slices.Contains(cfg.Latest, s.Name)))
		}
	}
	return p, nil
}

// Run works until ctx ends, then takes nothing any more, gives the lanes the
// grace, and returns after they have ended. Call it once.
func (p *Producer) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var lanes sync.WaitGroup
	for _, of := range p.lanes {
		for _, n := range of {
			lanes.Go(func() { n.run(work) })
		}
	}
	<-ctx.Done()
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	close(p.stopping)
	end := time.AfterFunc(p.cfg.Grace, cancel)
	defer end.Stop()
	lanes.Wait()
	return nil
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
	of := p.lanes[r.Topic]
	if of == nil {
		return false, p.Fill(), fmt.Errorf("kafka: topic %q is not among the producer's", r.Topic)
	}
	e := newEntry(r)
	n := of[PartitionOf(r.Key, len(of))]
	p.mu.Lock()
	switch {
	case p.stopped:
		defer p.mu.Unlock()
		return false, p.fill, ErrStopped
	case bounded && (p.fill.Bytes+e.size > p.cfg.Limits.HardBytes || p.fill.Records >= p.cfg.Limits.HardRecords):
		defer p.mu.Unlock()
		return false, p.fill, nil
	}
	p.accepted++
	p.addLocked(1, e.size)
	fill := p.fill
	p.mu.Unlock()
	n.put(e)
	return true, fill, nil
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
	for _, spec := range p.cfg.Topics {
		for _, n := range p.lanes[spec.Name] {
			l := n.stats()
			s.Produced += l.Produced
			s.Poisoned += l.Poisoned
			s.Conflated += l.Conflated
			s.Retries += l.Retries
			s.Lanes = append(s.Lanes, l)
		}
	}
	return s
}
