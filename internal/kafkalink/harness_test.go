package kafkalink_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/carga-ev/carga/internal/kafkalink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCut = errors.New("network is cut")

// world is a Kafka in memory, behind a network that can be cut.
type world struct {
	net kfake.VirtualNetwork

	mu      sync.Mutex
	cut     bool
	lines   map[net.Conn]struct{}
	cluster *kfake.Cluster
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	cut := w.cut
	w.mu.Unlock()
	if cut {
		return nil, errCut
	}
	c, err := w.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lines == nil {
		w.lines = map[net.Conn]struct{}{}
	}
	l := &wire{Conn: c, w: w}
	w.lines[l] = struct{}{}
	return l, nil
}

// wire is a connection that can be cut from outside.
type wire struct {
	net.Conn
	w *world
}

func (l *wire) Close() error {
	l.w.mu.Lock()
	delete(l.w.lines, l)
	l.w.mu.Unlock()
	return l.Conn.Close()
}

// away cuts the network: open connections end, new ones are refused.
func (w *world) away() {
	w.mu.Lock()
	w.cut = true
	lines := w.lines
	w.lines = nil
	w.mu.Unlock()
	for l := range lines {
		_ = l.Close()
	}
}

func (w *world) back() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = false
}

// start starts a Kafka without topics.
func (w *world) start(tb testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	tb.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(w.net.Listen)}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	w.cluster = c
	return c
}

func (w *world) stop() {
	if w.cluster != nil {
		w.cluster.Close()
		w.cluster = nil
	}
}

// part is a program with one of everything of this package.
type part struct {
	client   *kafkalink.Client
	watcher  *kafkalink.TopicWatcher
	producer *kafkalink.Producer
	stop     func() // ends everything and waits
}

type setup struct {
	topics     []kafkalink.TopicSpec
	latest     []string
	read       []string
	maxRecords int
	grace      time.Duration
	seed       uint64
	keep       bool
}

// one is the topic "a" with one partition.
func one() []kafkalink.TopicSpec { return []kafkalink.TopicSpec{{Name: "a", Partitions: 1}} }

// open makes a part and runs it.
func (w *world) open(tb testing.TB, s setup) *part {
	tb.Helper()
	names := slices.Clone(s.read)
	for _, t := range s.topics {
		names = append(names, t.Name)
	}
	client, err := kafkalink.NewClient(kafkalink.ClientConfig{Brokers: []string{"127.0.0.1:9092"}, ClientID: "test", Topics: names, Dial: w.dial})
	if err != nil {
		tb.Fatal(err)
	}
	watcher, err := kafkalink.NewTopicWatcher(client, kafkalink.WatcherConfig{Create: s.topics, Watch: s.read})
	if err != nil {
		tb.Fatal(err)
	}
	producer, err := kafkalink.NewProducer(client, watcher, kafkalink.ProducerConfig{
		Topics: s.topics, Latest: s.latest, MaxRecords: s.maxRecords, Grace: s.grace, Keep: s.keep, Rand: rand.New(rand.NewPCG(s.seed, 1)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	p := &part{client: client, watcher: watcher, producer: producer}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = watcher.Run(ctx) })
	running.Go(func() { _ = producer.Run(ctx) })
	p.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		client.Close()
	})
	return p
}

// read runs a reader until the function returned is called.
func (p *part) read(cfg kafkalink.ReaderConfig) (r *kafkalink.PartitionReader, stop func()) {
	r = kafkalink.NewPartitionReader(p.client, p.watcher, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	return r, func() {
		cancel()
		running.Wait()
	}
}

// ends collects the outcomes of records.
type ends struct {
	mu    sync.Mutex
	order []string
	kinds map[kafkalink.OutcomeKind]int
	at    time.Time // of the first
}

func (e *ends) of(text string) func(kafkalink.Outcome) {
	return func(o kafkalink.Outcome) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.kinds == nil {
			e.kinds = map[kafkalink.OutcomeKind]int{}
			e.at = time.Now()
		}
		e.kinds[o.Kind]++
		e.order = append(e.order, text)
	}
}

func (e *ends) first() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at
}

func (e *ends) count(k kafkalink.OutcomeKind) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.kinds[k]
}

// enqueue enqueues the texts as values under one key.
func (p *part) enqueue(tb testing.TB, e *ends, topic string, texts ...string) {
	tb.Helper()
	for _, text := range texts {
		r := kafkalink.Record{Topic: topic, Key: []byte("k"), Value: []byte(text)}
		if e != nil {
			r.Done = e.of(text)
		}
		if err := p.producer.Enqueue(r); err != nil {
			tb.Fatal(err)
		}
	}
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

// log reads a whole partition with a client of its own.
func (w *world) log(tb testing.TB, topic string, partition int) []string {
	tb.Helper()
	t := &kafka.Transport{Dial: w.net.DialContext}
	defer t.CloseIdleConnections()
	c := &kafka.Client{Addr: kafka.TCP("127.0.0.1:9092"), Transport: t}
	var out []string
	for {
		res, err := c.Fetch(context.Background(), &kafka.FetchRequest{
			Topic: topic, Partition: partition, Offset: int64(len(out)), MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 10 * time.Millisecond,
		})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			tb.Fatal(err)
		}
		n := 0
		for {
			rec, err := res.Records.ReadRecord()
			if err != nil {
				break
			}
			value, err := kafka.ReadAll(rec.Value)
			if err != nil {
				tb.Fatal(err)
			}
			if rec.Offset >= int64(len(out)) {
				out = append(out, string(value))
				n++
			}
		}
		if n == 0 {
			return out
		}
	}
}

// bare is a client of kafka-go alone.
func (w *world) bare() (*kafka.Client, *kafka.Transport) {
	t := &kafka.Transport{Dial: w.dial, MetadataTTL: time.Second, DialTimeout: 3 * time.Second}
	return &kafka.Client{Addr: kafka.TCP("127.0.0.1:9092"), Transport: t, Timeout: 10 * time.Second}, t
}

// grow adds partitions to a topic.
func (w *world) grow(tb testing.TB, topic string, partitions int32) {
	tb.Helper()
	c, t := w.bare()
	defer t.CloseIdleConnections()
	res, err := c.CreatePartitions(context.Background(), &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: partitions}},
	})
	if err == nil {
		err = res.Errors[topic]
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// inbox collects what readers pass to Handle.
type inbox struct {
	mu       sync.Mutex
	texts    []string
	batches  []kafkalink.Batch
	replaced []kafkalink.Replaced
	opened   []kafkalink.Opened
	fail     int // refuse so many batches
}

func (i *inbox) config(topic string, start kafkalink.Start) kafkalink.ReaderConfig {
	return kafkalink.ReaderConfig{
		Topic: topic, Start: start, Rand: rand.New(rand.NewPCG(1, 1)),
		Handle: func(_ context.Context, b kafkalink.Batch) error {
			i.mu.Lock()
			defer i.mu.Unlock()
			if i.fail > 0 {
				i.fail--
				return errors.New("not now")
			}
			for _, m := range b.Messages {
				i.texts = append(i.texts, string(m.Value))
			}
			i.batches = append(i.batches, b)
			return nil
		},
		Replaced: func(r kafkalink.Replaced) {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.replaced = append(i.replaced, r)
		},
		Opened: func(o kafkalink.Opened) {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.opened = append(i.opened, o)
		},
	}
}

func (i *inbox) got() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.texts)
}

// handled are the batches so far.
func (i *inbox) handled() []kafkalink.Batch {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.batches)
}

// firsts removes repeats, keeping the first of each.
func firsts(texts []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, t := range texts {
		if !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out
}

func equal(tb testing.TB, what string, got, want []string) {
	tb.Helper()
	if !slices.Equal(got, want) {
		tb.Errorf("%s: got %s, want %s", what, short(got), short(want))
	}
}

func short(texts []string) string {
	if len(texts) <= 24 {
		return fmt.Sprintf("%d %q", len(texts), texts)
	}
	return fmt.Sprintf("%d %q … %q", len(texts), texts[:12], texts[len(texts)-12:])
}

func balanced(tb testing.TB, p *part) {
	tb.Helper()
	s := p.producer.Stats()
	if sum := s.Produced + s.Poisoned + s.Conflated + uint64(s.Records); s.Accepted != sum {
		tb.Errorf("counts: accepted %d, but produced %d + poisoned %d + conflated %d + held %d = %d",
			s.Accepted, s.Produced, s.Poisoned, s.Conflated, s.Records, sum)
	}
	depth, bytes := 0, 0
	for _, l := range s.Lanes {
		depth, bytes = depth+l.Depth, bytes+l.Bytes
	}
	if depth != s.Records || bytes != s.Bytes {
		tb.Errorf("counts: lanes hold %d records and %d bytes, the producer %d and %d", depth, bytes, s.Records, s.Bytes)
	}
}
