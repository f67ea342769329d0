package kafkaside

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/metrics"
	"github.com/carga-ev/carga/internal/wire"
)

// Publisher publishes by MQTT. Its methods may be called concurrently.
type Publisher interface {
	// Await waits for a connection.
	Await(ctx context.Context) error
	// Publish hands a message to the present connection, in the order of the
	// calls. confirmed waits for the broker's acknowledgement; an error means
	// that the message may not have arrived.
	Publish(ctx context.Context, p route.Publish) (confirmed func(context.Context) error, err error)
}

// Config says what a Side connects to.
type Config struct {
	Name     string // of the bridge
	Brokers  []string
	ClientID string
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Router   route.Router
	// Topics are the topics that are written, and cp-commands, as they are made
	// if they are missing.
	Topics []kafkalink.TopicSpec
	// Grace is how long Run goes on writing after its context has ended.
	Grace time.Duration
	// Limit is how many records and bytes the owner lets wait; the producer is
	// told twice as much, so that it never refuses.
	LimitRecords, LimitBytes int
	Rand                     *rand.Rand
	// HeartbeatTick and Kept, if set, are called at each turn of the loop that says
	// that the bridge lives, and of that which keeps the topics. They must not
	// wait.
	HeartbeatTick, TopicsTick func()
	Log                       *slog.Logger
}

// Side is the Kafka side of one bridge. Its methods may be called
// concurrently, also before Run.
type Side struct {
	cfg         Config
	client      *kafkalink.Client
	topics      *kafkalink.TopicWatcher
	producer    *kafkalink.Producer
	counters    *counters
	dedup       dedup
	produceTime *metrics.Durations
	commands    atomic.Pointer[kafkalink.TopicReader] // nil before Run
	started     charge.Time
	log         *slog.Logger

	published atomic.Int64 // published
	stale     atomic.Int64 // not published: too late
}

// New checks the configuration. It starts nothing.
func New(cfg Config) (*Side, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	names := make([]string, 0, len(cfg.Topics))
	written := make([]kafkalink.TopicSpec, 0, len(cfg.Topics))
	for _, t := range cfg.Topics {
		names = append(names, t.Name)
		if t.Name != cfg.Router.Kafka.Commands {
			written = append(written, t)
		}
	}
	client, err := kafkalink.NewClient(kafkalink.ClientConfig{Brokers: cfg.Brokers, ClientID: cfg.ClientID, Topics: names, Dial: cfg.Dial})
	if err != nil {
		return nil, fmt.Errorf("side of Kafka: %w", err)
	}
	topics, err := kafkalink.NewTopicWatcher(client, kafkalink.WatcherConfig{Create: cfg.Topics, Tick: cfg.TopicsTick, Log: cfg.Log})
	if err != nil {
		return nil, fmt.Errorf("side of Kafka: %w", err)
	}
	grace := cfg.Grace
	if grace == 0 {
		grace = -1
	}
	if cfg.HeartbeatTick == nil {
		cfg.HeartbeatTick = func() {}
	}
	produceTime := metrics.NewDurations(
		2*time.Millisecond, 5*time.Millisecond, 10*time.Millisecond, 25*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond,
		250*time.Millisecond, 500*time.Millisecond, time.Second, 2500*time.Millisecond, 5*time.Second)
	producer, err := kafkalink.NewProducer(client, topics, kafkalink.ProducerConfig{
		Topics: written, Latest: []string{cfg.Router.Kafka.Telemetry, cfg.Router.Kafka.Monitor},
		Limits: kafkalink.Limits{HighRecords: 2 * cfg.LimitRecords, HighBytes: 2 * cfg.LimitBytes},
		Grace:  grace, Rand: cfg.Rand, ObserveProduce: produceTime.Observe, Log: cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("side of Kafka: %w", err)
	}
	return &Side{
		cfg: cfg, client: client, topics: topics, producer: producer, counters: newCounters(),
		produceTime: produceTime, started: charge.At(time.Now()), log: cfg.Log,
	}, nil
}

// Run writes and reads until ctx ends, whatever is away and for how long. Then
// it goes on writing what it holds for the grace; what is left was not
// acknowledged to MQTT and comes again.
func (s *Side) Run(ctx context.Context, down Publisher, mqtt func() wire.Dependency) error {
	defer s.client.Close()
	// The keeper outlives the rest: lanes wait for what it says.
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watcher, running sync.WaitGroup
	watcher.Go(func() { _ = s.topics.Run(watching) }) // it ends with its context alone
	running.Go(func() { _ = s.producer.Run(ctx) })
	reader := s.commandReader(down)
	s.commands.Store(reader)
	running.Go(func() { _ = reader.Run(ctx) })
	s.heartbeatLoop(ctx, mqtt)
	running.Wait()
	stopWatching()
	watcher.Wait()
	return nil
}

// Accept takes over what came by MQTT; see mqttside.Sink.
func (s *Side) Accept(d route.Decision, done func()) bool {
	if d.Kind == route.DeadLetter {
		s.log.Warn("dead letter", slog.String("cp_id", string(d.CP)), slog.String("reason", d.Reason))
	}
	if d.Kind == route.Telemetry || d.Kind == route.Presence {
		return s.acceptLatest(d, done)
	}
	crashpoint.At(crashpoint.Received)
	if d.Kind != route.Event {
		return s.enqueueCounted(d, done)
	}
	event, earlier := s.dedup.add(&d, done)
	if event == nil { // it waits already
		earlier()
		return true
	}
	if s.enqueueCounted(d, func() { s.dedup.remove(event)() }) {
		return true
	}
	s.dedup.remove(event)
	return false
}

// enqueueCounted takes over what is owed.
func (s *Side) enqueueCounted(d route.Decision, done func()) bool {
	end := s.counters.accept(time.Now())
	if s.enqueue(d, end, done) {
		return true
	}
	end(notAccepted)
	return false
}

// acceptLatest takes over a value that a newer one may replace.
func (s *Side) acceptLatest(d route.Decision, done func()) bool {
	r := record(d.Record)
	r.Done = func(o kafkalink.Outcome) {
		if o.Kind != kafkalink.Poisoned {
			done()
			return
		}
		if end := s.counters.accept(time.Now()); !s.enqueueDeadLetter(d, o.Err, end, done) {
			end(notAccepted)
		}
	}
	_, err := s.producer.Enqueue(r)
	return err == nil
}

// enqueue enqueues a record that is owed, and books its end.
func (s *Side) enqueue(d route.Decision, end func(ending), done func()) bool {
	r := record(d.Record)
	r.Done = func(o kafkalink.Outcome) {
		switch {
		case o.Kind == kafkalink.Poisoned && d.Kind != route.DeadLetter:
			s.enqueueDeadLetter(d, o.Err, end, done)
			return
		case d.Kind == route.DeadLetter:
			// Even one that Kafka refuses has ended: the log has said why.
			s.counters.setLastDeadLetter(origin(d) + d.Reason)
			end(deadLetter)
		default:
			end(forwarded)
		}
		crashpoint.At(crashpoint.Kept)
		done()
	}
	_, err := s.producer.Enqueue(r)
	return err == nil
}

// enqueueDeadLetter makes a dead letter of what Kafka refuses for good. It reports false
// when the producer takes nothing any more: the message then stays owed.
func (s *Side) enqueueDeadLetter(d route.Decision, why error, end func(ending), done func()) bool {
	reason := "refused by Kafka"
	if why != nil {
		reason += ": " + why.Error()
	}
	dead := route.Decision{Kind: route.DeadLetter, CP: d.CP, Reason: reason, Record: s.cfg.Router.Poison(d.Record, reason)}
	return s.enqueue(dead, end, done)
}

// origin says where a dead letter came from, before its reason.
func origin(d route.Decision) string {
	for _, h := range d.Record.Headers {
		if h.Key == wire.HeaderTopic {
			return h.Value + ": "
		}
	}
	return ""
}

func record(r route.Record) kafkalink.Record {
	out := kafkalink.Record{Topic: r.Topic, Key: []byte(r.Key), Value: r.Value, Headers: make([]kafkalink.Header, len(r.Headers))}
	for i, h := range r.Headers {
		out.Headers[i] = kafkalink.Header{Key: h.Key, Value: []byte(h.Value)}
		if h.Key == wire.HeaderKind { // a bridge may have the name of a charging point
			out.Subject = h.Value
		}
	}
	return out
}

// Counts returns the books.
func (s *Side) Counts() Counts { return s.counters.snapshot() }

// heartbeatLoop says each second that the bridge lives.
func (s *Side) heartbeatLoop(ctx context.Context, mqtt func() wire.Dependency) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		s.cfg.HeartbeatTick()
		select {
		case <-ticker.C:
			s.publishHeartbeat(mqtt())
		case <-ctx.Done():
			return
		}
	}
}

func (s *Side) publishHeartbeat(mqtt wire.Dependency) {
	m := s.Heartbeat(mqtt)
	raw, err := m.Encode()
	if err != nil {
		s.log.Error("sign of life cannot be written", slog.String("err", err.Error()))
		return
	}
	// Refused only when the producer has stopped, and then nobody must hear it.
	_, _ = s.producer.Enqueue(record(route.Record{
		Topic: s.cfg.Router.Kafka.Monitor, Key: wire.BridgeKey(s.cfg.Name), Value: raw,
		Headers: []route.Header{{Key: wire.HeaderKind, Value: wire.KindValueBridgeAlive}},
	}))
}

// State is what a Side knows about itself.
type State struct {
	Counts   Counts
	Producer kafkalink.Stats
	// ProduceTime is how long each produce of a batch took.
	ProduceTime *metrics.Durations
	// Readers are those of cp-commands, one for each partition.
	Readers []kafkalink.ReaderState
	// Repeats were said again while they waited for Kafka.
	Repeats int64
	// Commands were published to charging points, Stale ones came too late.
	Commands, Stale int64
}

// State returns what is known now.
func (s *Side) State() State {
	return State{
		Counts: s.Counts(), Repeats: s.dedup.repeated(), Producer: s.producer.Stats(), ProduceTime: s.produceTime,
		Commands: s.published.Load(), Stale: s.stale.Load(), Readers: s.readers(),
	}
}

// Heartbeat is what the bridge says of itself now.
func (s *Side) Heartbeat(mqtt wire.Dependency) wire.BridgeAlive {
	now := time.Now()
	b, p := s.counters.snapshot(), s.producer.Stats()
	m := wire.BridgeAlive{
		V: wire.Version, Bridge: s.cfg.Name, At: charge.At(now), StartedAt: s.started,
		MQTT: mqtt, Kafka: s.Dependency(),
		Buffered: b.Buffered, Accepted: b.Accepted, Forwarded: b.Forwarded, DeadLetters: b.DeadLetters,
		Retries: int64(p.Retries), Conflated: int64(p.Conflated), Commands: s.published.Load(),
	}
	if !b.Oldest.IsZero() {
		m.OldestMS = now.Sub(b.Oldest).Milliseconds()
	}
	var troubles []wire.Trouble
	for _, t := range s.Troubles() {
		troubles = append(troubles, wire.Trouble{Since: charge.At(t.Since), Reason: t.Reason})
	}
	m.SetDetails(b.LastDeadLetter, troubles, s.topics.State().Warnings())
	return m
}

// Troubles are what cannot be written or read although Kafka answers.
func (s *Side) Troubles() []kafkalink.Trouble {
	return kafkalink.Troubles(s.topics.State(), []kafkalink.Stats{s.producer.Stats()}, s.readers())
}

// ReadTroubles is the part of Troubles that is not about writing.
func (s *Side) ReadTroubles() []kafkalink.Trouble {
	return kafkalink.Troubles(s.topics.State(), nil, s.readers())
}

// Warnings are what an operator may want to change about the topics.
func (s *Side) Warnings() []string { return s.topics.State().Warnings() }

// readers are the states of those of cp-commands.
func (s *Side) readers() []kafkalink.ReaderState {
	if r := s.commands.Load(); r != nil {
		return r.States()
	}
	return nil
}

// Dependency says whether Kafka answers, as the bridge tells it.
func (s *Side) Dependency() wire.Dependency {
	k := s.topics.State()
	d := wire.Dependency{Up: k.Up, Since: charge.At(k.Since)}
	if !k.Up {
		d.Reason = fmt.Sprintf("waiting for Kafka at %s since %s", strings.Join(s.cfg.Brokers, " "), d.Since)
		if k.LastError != "" {
			d.Reason += ": " + k.LastError
		}
	}
	d.Reason = d.Reason[:min(len(d.Reason), 1000)]
	return d
}
