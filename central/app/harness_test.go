package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/schema/schematest"
	"github.com/carga-ev/carga/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCut = errors.New("network is cut")

// world is a Kafka in memory, with its clients beside Central.
type world struct {
	t   *testing.T
	net *kfake.VirtualNetwork

	mu      sync.Mutex
	cluster *kfake.Cluster
	lines   []net.Conn
	port    int // of the last page
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t: t, net: &kfake.VirtualNetwork{}}
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cluster == nil {
		return nil, errCut
	}
	c, err := w.net.DialContext(ctx, network, address)
	if err == nil {
		w.lines = append(w.lines, c)
	}
	return c, err
}

// kafka starts an empty broker.
func (w *world) kafka() {
	w.t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(w.net.Listen))
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.cluster = c
	w.mu.Unlock()
}

func (w *world) kafkaGone() {
	w.mu.Lock()
	c, lines := w.cluster, w.lines
	w.cluster, w.lines = nil, nil
	w.mu.Unlock()
	for _, l := range lines {
		_ = l.Close()
	}
	if c != nil {
		c.Close()
	}
}

// runningCentral is a Central in this process.
type runningCentral struct {
	t       *testing.T
	cancel  context.CancelFunc
	done    chan error
	central *app.Central
	page    net.Listener
}

func settings(db string) app.Config {
	cfg := app.DefaultConfig()
	cfg.Database.Path = db
	cfg.Web.Access = app.AccessOpen
	cfg.Network.AdmitAutomatically = true
	cfg.Tariff.Version = "t1"
	cfg.Kafka.SetPartitions(1)
	return cfg
}

// network starts an empty broker, a Central with these settings, and the others. The
// caller stops both; the broker is gone at the end of the test.
func network(t *testing.T, cfg app.Config) (*world, *runningCentral, *others) {
	t.Helper()
	w := newWorld(t)
	w.kafka()
	t.Cleanup(w.kafkaGone)
	return w, w.central(cfg), w.others(cfg)
}

// listen opens a new address for a page.
func (w *world) listen() net.Listener {
	w.t.Helper()
	w.mu.Lock()
	w.port++
	address := fmt.Sprintf("127.0.0.1:%d", 8080+w.port)
	w.mu.Unlock()
	l, err := w.net.Listen("tcp", address)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (w *world) central(cfg app.Config) *runningCentral {
	w.t.Helper()
	l := w.listen()
	ctx, cancel := context.WithCancel(context.Background())
	r := &runningCentral{t: w.t, cancel: cancel, done: make(chan error, 1), page: l}
	started := make(chan *app.Central, 1)
	go func() {
		r.done <- app.Run(ctx, cfg, app.Deps{
			Dial: w.dial, Listener: l, Started: func(c *app.Central) { started <- c }, Log: slog.New(slog.DiscardHandler),
		})
	}()
	select {
	case r.central = <-started:
	case err := <-r.done:
		w.t.Fatal(err)
	}
	return r
}

func (r *runningCentral) stop() {
	r.t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		r.t.Error(err)
	}
}

// others are bridge, charging points and drivers: they write what Central
// reads, and read what Central publishes.
type others struct {
	t        *testing.T
	client   *kafkalink.Client
	producer *kafkalink.Producer
	cancel   context.CancelFunc
	running  sync.WaitGroup
	schemas  *schematest.Set

	mu         sync.Mutex
	acks       []wire.Ack
	commands   []json.RawMessage
	events     []wire.CentralEvent
	dead       int
	heartbeats int
}

func (w *world) others(cfg app.Config) *others {
	w.t.Helper()
	t := &cfg.Kafka.Topics
	var specs []kafkalink.TopicSpec
	var names []string
	for _, topic := range []kafkalink.TopicSettings{t.Events, t.Telemetry, t.Monitor, t.DriverEvents, t.Commands, t.CentralEvents, t.DeadLetters} {
		specs = append(specs, kafkalink.TopicSpec{Name: topic.Name, Partitions: topic.Partitions})
		names = append(names, topic.Name)
	}
	o := &others{t: w.t, schemas: schematest.Load(w.t)}
	var err error
	if o.client, err = kafkalink.NewClient(kafkalink.ClientConfig{Brokers: cfg.Kafka.Brokers, ClientID: "others", Topics: names, Dial: w.dial}); err != nil {
		w.t.Fatal(err)
	}
	topics, err := kafkalink.NewTopicWatcher(o.client, kafkalink.WatcherConfig{Create: specs})
	if err != nil {
		w.t.Fatal(err)
	}
	if o.producer, err = kafkalink.NewProducer(o.client, topics, kafkalink.ProducerConfig{Topics: specs, Grace: -1}); err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(context.Background())
	o.running.Go(func() { _ = topics.Run(ctx) })
	o.running.Go(func() { _ = o.producer.Run(ctx) })
	for _, topic := range []string{wire.TopicCommands, wire.TopicCentralEvents, wire.TopicDeadLetters, wire.TopicMonitor} {
		r := kafkalink.NewTopicReader(o.client, topics, topic, func(int) kafkalink.ReaderConfig {
			return kafkalink.ReaderConfig{Handle: o.read}
		})
		o.running.Go(func() { _ = r.Run(ctx) })
	}
	return o
}

func (o *others) stop() {
	o.cancel()
	o.running.Wait()
	o.client.Close()
}

// readable reports whether a record is valid. Tests write invalid ones in
// Central's name on purpose.
func readable(kind, topic string, raw []byte) bool {
	var err error
	switch {
	case topic == wire.TopicCentralEvents:
		_, err = wire.DecodeCentralEvent(raw)
	case kind == wire.KindValueCommand:
		_, err = wire.DecodeCommand(raw)
	case kind == wire.KindValueAck:
		_, err = wire.DecodeAck(raw)
	case kind == wire.KindValueCentralAlive:
		_, err = wire.DecodeCentralAlive(raw)
	default:
		return false
	}
	return err == nil
}

func (o *others) read(_ context.Context, b kafkalink.Batch) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range b.Messages {
		if readable(string(m.Header(wire.HeaderKind)), b.Topic, m.Value) {
			if err := o.schemas.Check(b.Topic, m.Value); err != nil {
				o.t.Errorf("%s: %v: %s", b.Topic, err, m.Value)
			}
		}
		switch b.Topic {
		case wire.TopicDeadLetters:
			o.dead++
		case wire.TopicMonitor:
			if string(m.Header(wire.HeaderKind)) == wire.KindValueCentralAlive {
				o.heartbeats++
			}
		case wire.TopicCentralEvents:
			var e wire.CentralEvent
			if err := json.Unmarshal(m.Value, &e); err != nil {
				o.t.Error(err)
			}
			if got := string(m.Header(wire.HeaderTrace)); got != string(e.SessionID) {
				o.t.Errorf("%s is published with the trace %q, want %q", e.EventType, got, e.SessionID)
			}
			o.events = append(o.events, e)
		case wire.TopicCommands:
			if string(m.Header(wire.HeaderKind)) != wire.KindValueAck {
				o.commands = append(o.commands, m.Value)
				continue
			}
			a, err := wire.DecodeAck(m.Value)
			if err != nil {
				o.t.Error(err)
			}
			o.acks = append(o.acks, a)
		}
	}
	return nil
}

func (o *others) publish(topic string, all ...journaltest.Message) {
	o.t.Helper()
	for _, m := range all {
		r := kafkalink.Record{Topic: topic, Key: []byte(m.Key), Value: m.Value, Headers: []kafkalink.Header{
			{Key: wire.HeaderReceivedAt, Value: []byte(charge.At(time.Now()).String())},
		}}
		if m.Kind != "" {
			r.Headers = append(r.Headers, kafkalink.Header{Key: wire.HeaderKind, Value: []byte(m.Kind)})
		}
		if err := o.producer.Enqueue(r); err != nil {
			o.t.Error(err)
		}
	}
}

// acked returns the last acknowledgement of a journal, and the epoch that sent
// it.
func (o *others) acked(j charge.JournalID) (charge.Seq, charge.Epoch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range slices.Backward(o.acks) {
		if a.Journal != nil && *a.Journal == j {
			return a.Seq, a.Central
		}
	}
	return 0, charge.Epoch{}
}

// tickets counts the published tickets of each session, by event id.
func (o *others) tickets() map[charge.SessionID]map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := map[charge.SessionID]map[string]int{}
	for _, e := range o.events {
		if e.EventType == wire.CentralTicket {
			if all[e.SessionID] == nil {
				all[e.SessionID] = map[string]int{}
			}
			all[e.SessionID][e.EventID]++
		}
	}
	return all
}

// eachTicketOnce fails the test if two different tickets of a session were
// published. The same ticket may be published more than once.
func (o *others) eachTicketOnce() {
	o.t.Helper()
	for id, events := range o.tickets() {
		if len(events) != 1 {
			o.t.Errorf("session %s was published as different tickets: %v", id, events)
		}
	}
}

func (o *others) heartbeatCount() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.heartbeats
}

func db(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "central.db")
}
