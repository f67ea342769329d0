package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/carga-ev/carga/bridge/app"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a bridge between embedded brokers, in a synctest bubble. The MQTT
// broker loses its sessions when it stops; Kafka keeps its log.
type world struct {
	t     *testing.T
	wires *kfake.VirtualNetwork
	ice   *ice // between the bridge and Kafka
	dir   string
	log   *lockedLog

	mqtt  *mqtt.Server
	kafka *kfake.Cluster
	cfg   app.Config
	stops []func() // of bridges that run

	agents     *mqttlink.Link
	stopAgents func()

	mu       sync.Mutex
	alive    []wire.BridgeAlive
	received []mqttlink.Message // downwards
}

// inWorld runs f in a bubble and ends everything afterwards.
func inWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, wires: &kfake.VirtualNetwork{}, dir: dir, cfg: app.DefaultConfig(), log: &lockedLog{}}
		w.ice = &ice{dial: w.wires.DialContext}
		w.cfg.Kafka.SetPartitions(2)
		w.cfg.Observe.Listen = "" // no sockets in fake time
		w.cfg.MQTT.URL = "tcp://localhost:1883"
		w.cfg.Kafka.Brokers = []string{"127.0.0.1:9092"}
		w.connectAgents()
		defer w.end()
		f(w)
	})
}

// end stops everything, after a failure, too: a bubble must have no goroutines
// left.
func (w *world) end() {
	for _, stop := range w.stops {
		stop()
	}
	w.stopAgents()
	w.stopMQTT()
	w.stopKafka()
	w.balanced()
}

func (w *world) startMQTT() {
	w.t.Helper()
	l, err := w.wires.Listen("tcp", "localhost:1883")
	if err != nil {
		w.t.Fatal(err)
	}
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumPacketSize, caps.MaximumInflight, caps.MaximumClientWritesPending = 68<<10, 1<<16-1, 1<<16
	w.mqtt = mqtt.New(&mqtt.Options{Capabilities: caps, Logger: slog.New(slog.DiscardHandler)})
	if err := w.mqtt.AddHook(new(allowAll), nil); err != nil {
		w.t.Fatal(err)
	}
	if err := w.mqtt.AddListener(listeners.NewNet("memory", l)); err != nil {
		w.t.Fatal(err)
	}
	if err := w.mqtt.Serve(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stopMQTT() {
	if w.mqtt != nil {
		_ = w.mqtt.Close()
		w.mqtt = nil
		time.Sleep(time.Second)
	}
}

func (w *world) startKafka() {
	w.t.Helper()
	var err error
	w.kafka, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(w.wires.Listen), kfake.DataDir(w.dir))
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stopKafka() {
	if w.kafka != nil {
		w.kafka.Close()
		w.kafka = nil
	}
}

// startBridge runs a bridge. The function that it returns kills the bridge at
// once, or stops it within a time.
func (w *world) startBridge(change ...func(*app.Config)) (stop func()) {
	cfg := w.cfg
	for _, f := range change {
		f(&cfg)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		err := app.Run(ctx, cfg, app.Deps{
			Log: slog.New(slog.NewTextHandler(w.log, nil)), DialMQTT: w.dialMQTT, DialKafka: w.ice.DialContext,
			Observe: func(a wire.BridgeAlive) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.alive = append(w.alive, a)
			},
		})
		if err != nil {
			w.t.Errorf("bridge: %v", err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	w.stops = append(w.stops, stop)
	return stop
}

func (w *world) dialMQTT(ctx context.Context, u *url.URL) (net.Conn, error) {
	c, err := w.wires.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return newBuffered(c), nil
}

// connectAgents makes one connection that publishes for all charging points.
func (w *world) connectAgents() {
	var err error
	w.agents, err = mqttlink.New(mqttlink.Config{
		Brokers: []string{"tcp://localhost:1883"}, ClientID: "agents", CleanSession: true, Open: w.dialMQTT,
		Subscriptions: []mqttlink.Subscription{{Filter: "cp/+/down/+", QoS: 1}},
		Handler: func(m mqttlink.Message) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.received = append(w.received, m)
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = w.agents.Run(ctx) })
	w.stopAgents = func() {
		cancel()
		running.Wait()
	}
}

// publish publishes a message and waits for the acknowledgement of the broker.
func (w *world) publish(cp string, k wire.Kind, qos byte, retained bool, payload []byte) {
	w.t.Helper()
	w.within(20*time.Second, "the agents are connected", func() bool { return w.agents.Conn() != nil })
	if err := w.agents.Publish(w.t.Context(), "cp/"+cp+"/"+string(k), qos, retained, payload); err != nil {
		w.t.Fatal(err)
	}
}

// event is record seq of a charging point.
func event(cp string, seq int) []byte {
	rec, err := wire.NewRecord(&wire.MeterRead{Register: 1000})
	if err != nil {
		panic(err)
	}
	rec.CPID, rec.Journal, rec.Seq, rec.At = charge.CPID(cp), "boot", charge.Seq(seq), 1_000_000
	raw, err := rec.Encode()
	if err != nil {
		panic(err)
	}
	return raw
}

// events publishes the records first to last of each charging point.
func (w *world) events(first, last int, cps ...string) {
	w.t.Helper()
	for seq := first; seq <= last; seq++ {
		for _, cp := range cps {
			w.publish(cp, wire.KindEvent, 1, false, event(cp, seq))
		}
	}
}

// read returns all records of a topic.
func (w *world) read(topic string) []*kgo.Record {
	w.t.Helper()
	var want int64
	for _, p := range w.kafka.PartitionInfos(topic) {
		want += p.HighWatermark
	}
	if want == 0 {
		return nil
	}
	c, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(w.wires.DialContext), kgo.ConsumeTopics(topic))
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	var all []*kgo.Record
	for int64(len(all)) < want && ctx.Err() == nil {
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) { all = append(all, r) })
	}
	return all
}

// seqs returns per charging point the records in cp-events, in the order of the
// log, each at its first appearance, and how many were repeats.
func (w *world) seqs() (seqs map[string][]int, repeats int) {
	w.t.Helper()
	seqs = map[string][]int{}
	for _, r := range w.read(wire.TopicEvents) {
		rec, err := wire.DecodeRecord(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		cp := string(r.Key)
		if slices.Contains(seqs[cp], int(rec.Seq)) {
			repeats++
			continue
		}
		seqs[cp] = append(seqs[cp], int(rec.Seq))
	}
	return seqs, repeats
}

// complete reports whether cp-events holds 1 to last of each charging point.
func (w *world) complete(last int, cps ...string) bool {
	seqs, _ := w.seqs()
	for _, cp := range cps {
		if len(seqs[cp]) < last {
			return false
		}
	}
	return true
}

// inOrder expects 1 to last of each charging point, in order.
func (w *world) inOrder(last int, cps ...string) (repeats int) {
	w.t.Helper()
	seqs, repeats := w.seqs()
	for _, cp := range cps {
		for i, seq := range seqs[cp] {
			if seq != i+1 {
				w.t.Fatalf("%s: record %d is at place %d: %v", cp, seq, i+1, seqs[cp])
			}
		}
		if len(seqs[cp]) != last {
			w.t.Fatalf("%s has %d records, want %d", cp, len(seqs[cp]), last)
		}
	}
	return repeats
}

// all expects 1 to last of each charging point, in any order: the broker of
// these tests redelivers in any order, and Central sorts that.
func (w *world) all(last int, cps ...string) {
	w.t.Helper()
	seqs, _ := w.seqs()
	for _, cp := range cps {
		slices.Sort(seqs[cp])
		if len(seqs[cp]) != last || seqs[cp][0] != 1 || seqs[cp][last-1] != last {
			w.t.Fatalf("%s has the records %v, want 1 to %d", cp, seqs[cp], last)
		}
	}
}

// stored is how many records a topic holds, without reading them.
func (w *world) stored(topic string) (n int64) {
	for _, p := range w.kafka.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	return n
}

// now is the last heartbeat of the bridge.
func (w *world) now() wire.BridgeAlive {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.alive) == 0 {
		return wire.BridgeAlive{}
	}
	return w.alive[len(w.alive)-1]
}

// balanced expects the counts of every heartbeat to balance.
func (w *world) balanced() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.alive {
		if a.Accepted != a.Forwarded+a.DeadLetters+a.Buffered {
			w.t.Fatalf("the counts do not balance: %+v", a)
		}
		if _, err := a.Encode(); err != nil {
			w.t.Fatalf("the heartbeat cannot be encoded: %v", err)
		}
	}
}

// down returns what was published downwards on one kind of topic.
func (w *world) down(k wire.Kind) (topics []string, payloads [][]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.received {
		if strings.HasSuffix(m.Topic, string(k)) {
			topics, payloads = append(topics, m.Topic), append(payloads, m.Payload)
		}
	}
	return topics, payloads
}

// within waits in fake time until ok.
func (w *world) within(d time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(20 * time.Millisecond) {
		synctest.Wait()
		if ok() {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("not within %s: %s\n%+v\n%s", d, what, w.now(), w.log.String())
		}
	}
}

// allowAll permits every client everything.
type allowAll struct{ mqtt.HookBase }

func (*allowAll) ID() string { return "allow-all" }

func (*allowAll) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}

func (*allowAll) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

func (*allowAll) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

// lockedLog collects the log.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var (
	_ io.Writer    = (*lockedLog)(nil)
	_ fmt.Stringer = (*lockedLog)(nil)
)
