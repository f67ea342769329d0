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
	// SaidAlive and Kept, if set, are called at each turn of the loop that says
	// that the bridge lives, and of that which keeps the topics. They must not
	// wait.
	SaidAlive, Kept func()
	Log             *slog.Logger
}

// Side is the Kafka side of one bridge. Its methods may be called
// concurrently, also before Run.
type Side struct {
	cfg      Config
	client   *kafkalink.Client
	keeper   *kafkalink.Keeper
	producer *kafkalink.Producer
	ledger   *ledger
	debts    debts
	took     *metrics.Durations
	down     atomic.Pointer[kafkalink.TopicReader] // nil before Run
	started  charge.Time
	log      *slog.Logger

	commands atomic.Int64 // published
	stale    atomic.Int64 // not published: too late
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
	keeper, err := kafkalink.NewKeeper(client, kafkalink.KeeperConfig{Write: cfg.Topics, Turned: cfg.Kept, Log: cfg.Log})
	if err != nil {
		return nil, fmt.Errorf("side of Kafka: %w", err)
	}
	grace := cfg.Grace
	if grace == 0 {
		grace = -1
	}
	if cfg.SaidAlive == nil {
		cfg.SaidAlive = func() {}
	}
	took := metrics.NewDurations(
		2*time.Millisecond, 5*time.Millisecond, 10*time.Millisecond, 25*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond,
		250*time.Millisecond, 500*time.Millisecond, time.Second, 2500*time.Millisecond, 5*time.Second)
	producer, err := kafkalink.NewProducer(client, keeper, kafkalink.ProducerConfig{
		Topics: written, Latest: []string{cfg.Router.Kafka.Telemetry, cfg.Router.Kafka.Monitor},
		Limits: kafkalink.Limits{HighRecords: 2 * cfg.LimitRecords, HighBytes: 2 * cfg.LimitBytes},
		Grace:  grace, Rand: cfg.Rand, Took: took.Observe, Log: cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("side of Kafka: %w", err)
	}
	return &Side{
		cfg: cfg, client: client, keeper: keeper, producer: producer, ledger: newLedger(),
		took: took, started: charge.At(time.Now()), log: cfg.Log,
	}, nil
}

// Run writes and reads until ctx ends, whatever is away and for how long. Then
// it goes on writing what it holds for the grace; what is left was not
// acknowledged to MQTT and comes again.
func (s *Side) Run(ctx context.Context, down Publisher, mqtt func() wire.Dependency) error {
	defer s.client.Close()
	// The keeper outlives the rest: lanes wait for what it says.
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	var kept, running sync.WaitGroup
	kept.Go(func() { _ = s.keeper.Run(keeping) }) // it ends with its context alone
	running.Go(func() { _ = s.producer.Run(ctx) })
	reader := s.downlink(down)
	s.down.Store(reader)
	running.Go(func() { _ = reader.Run(ctx) })
	s.aliveLoop(ctx, mqtt)
	running.Wait()
	stopKeeping()
	kept.Wait()
	return nil
}

// Take takes over what came by MQTT; see mqttside.Sink.
func (s *Side) Take(d route.Decision, done func()) bool {
	if d.Kind == route.DeadLetter {
		s.log.Warn("dead letter", slog.String("cp_id", string(d.CP)), slog.String("reason", d.Reason))
	}
	if d.Kind == route.Telemetry || d.Kind == route.Presence {
		return s.takeLatest(d, done)
	}
	crashpoint.At(crashpoint.Received)
	if d.Kind != route.Event {
		return s.carry(d, done)
	}
	debt, earlier := s.debts.take(&d, done)
	if debt == nil { // it waits already
		earlier()
		return true
	}
	if s.carry(d, func() { s.debts.end(debt)() }) {
		return true
	}
	s.debts.end(debt)
	return false
}

// carry takes over what is owed.
func (s *Side) carry(d route.Decision, done func()) bool {
	end := s.ledger.accept(time.Now())
	if s.write(d, end, done) {
		return true
	}
	end(withdrawn)
	return false
}

// takeLatest takes over a value that a newer one may replace.
func (s *Side) takeLatest(d route.Decision, done func()) bool {
	r := record(d.Record)
	r.Done = func(o kafkalink.Outcome) {
		if o.Kind != kafkalink.Poisoned {
			done()
			return
		}
		if end := s.ledger.accept(time.Now()); !s.poisoned(d, o.Err, end, done) {
			end(withdrawn)
		}
	}
	_, err := s.producer.Enqueue(r)
	return err == nil
}

// write enqueues a record that is owed, and books its end.
func (s *Side) write(d route.Decision, end func(ending), done func()) bool {
	r := record(d.Record)
	r.Done = func(o kafkalink.Outcome) {
		switch {
		case o.Kind == kafkalink.Poisoned && d.Kind != route.DeadLetter:
			s.poisoned(d, o.Err, end, done)
			return
		case d.Kind == route.DeadLetter:
			// Even one that Kafka refuses has ended: the log has said why.
			s.ledger.why(origin(d) + d.Reason)
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

// poisoned makes a dead letter of what Kafka refuses for good. It reports false
// when the producer takes nothing any more: the message then stays owed.
func (s *Side) poisoned(d route.Decision, why error, end func(ending), done func()) bool {
	reason := "refused by Kafka"
	if why != nil {
		reason += ": " + why.Error()
	}
	dead := route.Decision{Kind: route.DeadLetter, CP: d.CP, Reason: reason, Record: s.cfg.Router.Poison(d.Record, reason)}
	return s.write(dead, end, done)
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

// Books returns the books.
func (s *Side) Books() Books { return s.ledger.read() }

// aliveLoop says each second that the bridge lives.
func (s *Side) aliveLoop(ctx context.Context, mqtt func() wire.Dependency) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		s.cfg.SaidAlive()
		select {
		case <-ticker.C:
			s.sayAlive(mqtt())
		case <-ctx.Done():
			return
		}
	}
}

func (s *Side) sayAlive(mqtt wire.Dependency) {
	m := s.Alive(mqtt)
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
	Books    Books
	Producer kafkalink.Stats
	// Took is how long each produce of a batch took.
	Took *metrics.Durations
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
		Books: s.Books(), Repeats: s.debts.repeated(), Producer: s.producer.Stats(), Took: s.took,
		Commands: s.commands.Load(), Stale: s.stale.Load(), Readers: s.readers(),
	}
}

// Alive is what the bridge says of itself now.
func (s *Side) Alive(mqtt wire.Dependency) wire.BridgeAlive {
	now := time.Now()
	b, p := s.ledger.read(), s.producer.Stats()
	m := wire.BridgeAlive{
		V: wire.Version, Bridge: s.cfg.Name, At: charge.At(now), StartedAt: s.started,
		MQTT: mqtt, Kafka: s.Dependency(),
		Buffered: b.Buffered, Accepted: b.Accepted, Forwarded: b.Forwarded, DeadLetters: b.DeadLetters,
		Retries: int64(p.Retries), Conflated: int64(p.Conflated), Commands: s.commands.Load(),
	}
	if !b.Oldest.IsZero() {
		m.OldestMS = now.Sub(b.Oldest).Milliseconds()
	}
	var troubles []wire.Trouble
	for _, t := range s.Troubles() {
		troubles = append(troubles, wire.Trouble{Since: charge.At(t.Since), Reason: t.Reason})
	}
	m.Tell(b.LastDeadLetter, troubles, s.keeper.State().Warnings())
	return m
}

// Troubles are what cannot be written or read although Kafka answers.
func (s *Side) Troubles() []kafkalink.Trouble {
	return kafkalink.Troubles(s.keeper.State(), []kafkalink.Stats{s.producer.Stats()}, s.readers())
}

// Unread is the part of Troubles that is not about writing.
func (s *Side) Unread() []kafkalink.Trouble {
	return kafkalink.Troubles(s.keeper.State(), nil, s.readers())
}

// Warnings are what an operator may want to change about the topics.
func (s *Side) Warnings() []string { return s.keeper.State().Warnings() }

// readers are the states of those of cp-commands.
func (s *Side) readers() []kafkalink.ReaderState {
	if r := s.down.Load(); r != nil {
		return r.States()
	}
	return nil
}

// Dependency says whether Kafka answers, as the bridge tells it.
func (s *Side) Dependency() wire.Dependency {
	k := s.keeper.State()
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
