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

	"github.com/carga-ev/carga/bridge/forward"
	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/metrics"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// Publisher publishes by MQTT. Its methods may be called concurrently.
type Publisher interface {
	// Await waits until there is a connection.
	Await(ctx context.Context) error
	// Publish publishes a message on the present connection, in the order of the
	// calls. confirmed waits for the broker's acknowledgement. An error of
	// either means that the message may not have arrived.
	Publish(ctx context.Context, p route.Publish) (confirmed func(context.Context) error, err error)
}

// Core decides what becomes of what was received: the pure core of the bridge. Its
// methods may be called concurrently, and do not block.
type Core interface {
	// Receive passes on a dead letter of a record of cp-commands.
	Receive(m *forward.Message) bool
	// Step reports what became of a message that was to be written.
	Step(e forward.Event)
	// Counts returns the present counts.
	Counts() forward.Counts
}

// Lease decides whether a bridge that shares its MQTT session with others is active.
// Its methods may be called concurrently, and do not block.
type Lease interface {
	// Beat returns what the next heartbeat states.
	Beat() *wire.BridgeLease
	// Read reads a heartbeat of any bridge, in the order of the log.
	Read(b *wire.BridgeAlive)
	// Wake receives when a heartbeat is to be sent at once.
	Wake() <-chan struct{}
	// Held and Lost return channels that are closed while this bridge is active, or
	// not.
	Held() <-chan struct{}
	Lost() <-chan struct{}
}

// Config configures a Side.
type Config struct {
	Core     Core
	Name     string      // of the bridge
	Started  charge.Time // when it started
	Brokers  []string
	ClientID string
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Router   route.Router
	// Lease, if set, decides by the heartbeats whether the bridge is active.
	Lease Lease
	// Topics are the topics that are written, and cp-commands. Missing ones are
	// created.
	Topics []kafkalink.TopicSpec
	// Grace is how long Run goes on writing after its context has ended.
	Grace time.Duration
	Rand  *rand.Rand
	// HeartbeatTick and TopicsTick, if set, are called in each iteration of the
	// loop that publishes the heartbeat and of the topic watcher. They must not
	// block.
	HeartbeatTick, TopicsTick func()
	Log                       *slog.Logger
}

// Side is the Kafka side of one bridge. Its methods may be called concurrently,
// and before Run.
type Side struct {
	cfg         Config
	client      *kafkalink.Client
	topics      *kafkalink.TopicWatcher
	producer    *kafkalink.Producer
	produceTime *metrics.Durations
	commands    atomic.Pointer[kafkalink.TopicReader] // nil before Run
	started     charge.Time
	log         *slog.Logger

	published atomic.Int64 // messages to charging points
	stale     atomic.Int64 // commands that had expired
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
		return nil, fmt.Errorf("kafka side: %w", err)
	}
	topics, err := kafkalink.NewTopicWatcher(client, kafkalink.WatcherConfig{Create: cfg.Topics, Tick: cfg.TopicsTick, Log: cfg.Log})
	if err != nil {
		return nil, fmt.Errorf("kafka side: %w", err)
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
		Grace: grace, Rand: cfg.Rand, ObserveProduce: produceTime.Observe, Log: cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("kafka side: %w", err)
	}
	return &Side{
		cfg: cfg, client: client, topics: topics, producer: producer,
		produceTime: produceTime, started: cfg.Started, log: cfg.Log,
	}, nil
}

// Run writes and reads until ctx ends, whatever is away and for how long. Then
// it goes on writing what it holds for the grace period. What is left was not
// acknowledged to MQTT and is redelivered.
func (s *Side) Run(ctx context.Context, down Publisher, mqtt func() wire.Dependency) error {
	defer s.client.Close()
	// The topic watcher outlives the rest: lanes wait for its changes.
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watcher, running sync.WaitGroup
	watcher.Go(func() { _ = s.topics.Run(watching) }) // returns nil when its context has ended
	running.Go(func() { _ = s.producer.Run(ctx) })
	running.Go(func() { s.commandLoop(ctx, down) })
	if s.cfg.Lease != nil {
		reader := s.heartbeatReader()
		running.Go(func() { _ = reader.Run(ctx) })
	}
	s.heartbeatLoop(ctx, mqtt)
	running.Wait()
	stopWatching()
	watcher.Wait()
	return nil
}

// Write performs forward.Effects.Write: it queues a message for Kafka, and reports
// to the core how it ends. It does not block.
func (s *Side) Write(m *forward.Message) {
	switch d := &m.Decision; d.Kind {
	case route.DeadLetter:
		s.log.Warn("dead letter", slog.String("cp_id", string(d.CP)), slog.String("reason", d.Why.String()))
	case route.Event:
		crashpoint.At(crashpoint.Received)
	case route.Telemetry, route.Presence:
	}
	r := record(m.Decision.Record)
	r.Done = func(o kafkalink.Outcome) {
		switch o.Kind {
		case kafkalink.Produced:
			crashpoint.At(crashpoint.Kept)
			s.cfg.Core.Step(forward.Written{Message: m})
		case kafkalink.Conflated:
			s.cfg.Core.Step(forward.Replaced{Message: m})
		case kafkalink.Poisoned:
			s.cfg.Core.Step(forward.Refused{Message: m, Why: o.Reason})
		}
	}
	if err := s.producer.Enqueue(r); err != nil { // it has stopped
		s.cfg.Core.Step(forward.Withdrawn{Message: m})
	}
}

// record converts a record for kafkalink. The texts share one piece of memory.
func record(r route.Record) kafkalink.Record {
	size := len(r.Key)
	for _, h := range r.Headers {
		size += len(h.Value)
	}
	texts := make([]byte, 0, size)
	text := func(s string) []byte {
		from := len(texts)
		texts = append(texts, s...)
		return texts[from:len(texts):len(texts)]
	}
	out := kafkalink.Record{Topic: r.Topic, Key: text(r.Key), Value: r.Value, Headers: make([]kafkalink.Header, len(r.Headers))}
	for i, h := range r.Headers {
		out.Headers[i] = kafkalink.Header{Key: h.Key, Value: text(h.Value)}
		if h.Key == wire.HeaderKind { // distinguishes presence from the heartbeat of a bridge with the same name
			out.Subject = h.Value
		}
	}
	return out
}

// heartbeatLoop publishes the heartbeat of the bridge each second.
func (s *Side) heartbeatLoop(ctx context.Context, mqtt func() wire.Dependency) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var wake <-chan struct{}
	if s.cfg.Lease != nil {
		wake = s.cfg.Lease.Wake()
	}
	for {
		s.cfg.HeartbeatTick()
		select {
		case <-ticker.C:
			s.publishHeartbeat(mqtt())
		case <-wake:
			s.publishHeartbeat(mqtt())
		case <-ctx.Done():
			return
		}
	}
}

func (s *Side) publishHeartbeat(mqtt wire.Dependency) {
	m, key := s.Heartbeat(mqtt), s.cfg.Name
	if s.cfg.Lease != nil {
		m.Lease = s.cfg.Lease.Beat()
		key = m.Lease.Session
	}
	raw, err := m.Encode()
	if err != nil {
		s.log.Error("heartbeat cannot be encoded", slog.String("err", err.Error()))
		return
	}
	// An error means that the producer has stopped, as the bridge has: a
	// heartbeat would be wrong.
	_ = s.producer.Enqueue(record(route.Record{
		Topic: s.cfg.Router.Kafka.Monitor, Key: wire.BridgeKey(key), Value: raw,
		Headers: []route.Header{{Key: wire.HeaderKind, Value: wire.KindValueBridgeAlive}},
	}))
}

// State is the state of a Side, for metrics.
type State struct {
	Producer kafkalink.Stats
	// ProduceTime counts the durations of produce requests.
	ProduceTime *metrics.Durations
	// Readers are the states of the readers of cp-commands, by partition.
	Readers []kafkalink.ReaderState
	// Commands were published to charging points; Stale ones had expired.
	Commands, Stale int64
}

// State returns the present state.
func (s *Side) State() State {
	return State{
		Producer: s.producer.Stats(), ProduceTime: s.produceTime,
		Commands: s.published.Load(), Stale: s.stale.Load(), Readers: s.readers(),
	}
}

// Heartbeat returns the present state of the bridge, as it is published each
// second.
func (s *Side) Heartbeat(mqtt wire.Dependency) wire.BridgeAlive {
	now := time.Now()
	b, p := s.cfg.Core.Counts(), s.producer.Stats()
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
		troubles = append(troubles, wire.Trouble{Since: charge.At(t.Since), Why: t.Reason})
	}
	m.SetDetails(b.LastOrigin, b.LastDeadLetter, troubles, s.topics.State().Warnings())
	return m
}

// Troubles returns what cannot be written or read although Kafka answers.
func (s *Side) Troubles() []kafkalink.Trouble {
	return kafkalink.Troubles(s.topics.State(), []kafkalink.Stats{s.producer.Stats()}, s.readers())
}

// ReadTroubles returns the troubles that are not about writing.
func (s *Side) ReadTroubles() []kafkalink.Trouble {
	return kafkalink.Troubles(s.topics.State(), nil, s.readers())
}

// Warnings returns what an operator may want to change about the topics.
func (s *Side) Warnings() []reason.Reason { return s.topics.State().Warnings() }

// readers returns the states of the readers of cp-commands; nil before Run.
func (s *Side) readers() []kafkalink.ReaderState {
	if r := s.commands.Load(); r != nil {
		return r.States()
	}
	return nil
}

// Dependency returns whether Kafka answers, as in the heartbeat.
func (s *Side) Dependency() wire.Dependency {
	k := s.topics.State()
	since := charge.At(k.Since)
	if k.Up {
		return wire.Dependency{Up: true, Since: since}
	}
	words := fmt.Sprintf("waiting for Kafka at %s since %s", strings.Join(s.cfg.Brokers, " "), since)
	if k.LastError != "" {
		words += ": " + k.LastError
	}
	return wire.DependencyDown(since, words, k.Why())
}
