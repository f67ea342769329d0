package uplink_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/internal/uplink"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/engines"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	theCP   charge.CPID      = "CP_001"
	theBoot charge.JournalID = "boot1"
)

// disk is a journal in memory, of one boot.
type disk struct {
	changed chan struct{}

	mu      sync.Mutex
	records [][]byte
	first   charge.Seq // first held
	broken  bool       // nothing can be read
}

func newDisk(n int) *disk {
	d := &disk{changed: make(chan struct{}, 1), first: 1}
	d.append(n)
	return d
}

func (d *disk) append(n int) {
	d.mu.Lock()
	for range n {
		rec, err := wire.NewRecord(&wire.MeterRead{Register: 1000})
		if err != nil {
			panic(err)
		}
		rec.CPID, rec.Journal, rec.Seq, rec.At = theCP, theBoot, charge.Seq(len(d.records)+1), charge.At(time.Now())
		raw, err := rec.Encode()
		if err != nil {
			panic(err)
		}
		d.records = append(d.records, raw)
	}
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

func (d *disk) Held() delivery.Held {
	d.mu.Lock()
	defer d.mu.Unlock()
	return delivery.Held{Present: theBoot, Ranges: []delivery.Range{
		{Journal: theBoot, First: d.first, Last: charge.Seq(len(d.records)), Index: delivery.Index(d.first)},
	}}
}

func (d *disk) Read(i delivery.Index) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken {
		return nil, io.ErrUnexpectedEOF
	}
	return d.records[i-1], nil
}

func (d *disk) Changed() <-chan struct{} { return d.changed }

// handler remembers what it receives, and is also the source of telemetry and
// the storage of the position.
type handler struct {
	mu       sync.Mutex
	verdicts []delivery.Verdict
	clocks   []charge.Time
	saved    delivery.Position
	interval int64
}

func (h *handler) Command(v delivery.Verdict) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.verdicts = append(h.verdicts, v)
}

func (h *handler) kinds() (kinds []delivery.VerdictKind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.verdicts {
		kinds = append(kinds, v.Kind)
	}
	return kinds
}

func (*handler) RolledBack(delivery.RolledBack) {}

func (h *handler) CentralTime(at charge.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clocks = append(h.clocks, at)
}

func (h *handler) centralTimes() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clocks)
}

func (h *handler) Position() delivery.Position { return h.saved }

func (h *handler) SavePosition(p delivery.Position, _ delivery.Index) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saved = p
	return nil
}

func (h *handler) Telemetry() wire.Telemetry {
	return wire.Telemetry{
		V: 1, CPID: theCP, Journal: theBoot, At: charge.At(time.Now()), IntervalMS: h.interval,
		Connectors: []wire.ConnectorTelemetry{{Connector: 1, Status: charge.StatusAvailable}},
	}
}

func (*handler) Wall() (charge.Time, charge.ClockQuality) {
	return charge.At(time.Now()), charge.ClockSynced
}

// network is a broker, an agent's uplink, and a Central connected by MQTT,
// in a bubble of fake time.
type network struct {
	t       *testing.T
	wires   *kfake.VirtualNetwork
	broker  *engines.MQTT
	disk    *disk
	handler *handler
	up      *uplink.Uplink

	central *mqttlink.Link
	first   func() // if set, done before the uplink starts

	mu          sync.Mutex
	epoch       int  // of Central
	acksNothing bool // Central does not answer
	known       charge.Seq
	flight      int // the most records that arrived unacknowledged
	repeats     int
	presences   []wire.Presence
	telemetry   int
}

func newNetwork(t *testing.T, records int) *network {
	t.Helper()
	n := &network{t: t, wires: &kfake.VirtualNetwork{}, disk: newDisk(records), handler: &handler{interval: 1000}, epoch: 1}
	n.broker = engines.NewMQTT("localhost:1883", n.wires.Listen, slog.New(slog.DiscardHandler))
	n.start()
	var err error
	n.central, err = mqttlink.New(mqttlink.Config{
		Brokers: []string{"tcp://localhost:1883"}, ClientID: "central", CleanSession: true, Open: n.open,
		Subscriptions: []mqttlink.Subscription{{Filter: "cp/+/up/+", QoS: 1}},
		Handler:       n.receive,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.up, err = uplink.New(uplink.Config{
		CP: theCP, Journal: theBoot, Started: time.Now(), Brokers: []string{"tcp://localhost:1883"}, Open: n.open,
	}, uplink.Deps{Records: n.disk, Positions: n.handler, Handler: n.handler, Source: n.handler})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *network) start() {
	n.t.Helper()
	if err := n.broker.Start(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) open(ctx context.Context, u *url.URL) (net.Conn, error) {
	return n.wires.DialContext(ctx, "tcp", u.Host)
}

// run runs uplink and Central for the length of f.
func (n *network) run(f func()) {
	n.t.Helper()
	life, stopCentral := context.WithCancel(n.t.Context())
	var central, up sync.WaitGroup
	central.Go(func() {
		if err := n.central.Run(life); err != nil {
			n.t.Errorf("central: %v", err)
		}
	})
	if n.first != nil {
		n.first()
	}
	ctx, stop := context.WithCancel(n.t.Context())
	up.Go(func() {
		if err := n.up.Run(ctx); err != nil {
			n.t.Errorf("uplink: %v", err)
		}
	})
	f()
	stop()
	up.Wait()
	time.Sleep(time.Second)
	stopCentral()
	central.Wait()
	n.broker.Stop()
	synctest.Wait()
}

// receive is a correct Central; it runs on its link's handler.
func (n *network) receive(m mqttlink.Message) {
	_, kind, err := (wire.Topics{}).Parse(m.Topic)
	if err != nil {
		n.t.Errorf("topic: %v", err)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch kind {
	case wire.KindTelemetry:
		if _, err := wire.DecodeTelemetry(m.Payload); err != nil || m.QoS != 0 || m.Retained {
			n.t.Errorf("telemetry QoS %d retained %t: %v", m.QoS, m.Retained, err)
		}
		n.telemetry++
	case wire.KindPresence:
		p, err := wire.DecodePresence(m.Payload)
		if err != nil {
			n.t.Errorf("presence: %v", err)
		}
		n.presences = append(n.presences, p)
		if p.Online {
			n.answerLocked()
		}
	case wire.KindEvent:
		r, err := wire.DecodeRecord(m.Payload)
		if err != nil {
			n.t.Errorf("event: %v", err)
		}
		switch {
		case r.Seq <= n.known:
			n.repeats++
		case n.acksNothing:
			n.flight = max(n.flight, int(r.Seq-n.known))
		case r.Seq == n.known+1:
			n.known++
		}
		n.answerLocked()
	case wire.KindCommand, wire.KindAck:
		n.t.Errorf("an agent speaks on %s", m.Topic)
	}
}

func (n *network) answerLocked() {
	if n.acksNothing {
		return
	}
	a := wire.Ack{V: 1, Central: epoch(n.epoch), At: charge.At(time.Now())}
	if n.known > 0 {
		a.Journal, a.Seq = new(theBoot), n.known
	}
	raw, err := a.Encode()
	if err != nil {
		n.t.Errorf("ack: %v", err)
		return
	}
	n.publish(wire.KindAck, true, raw)
}

// publish publishes without waiting.
func (n *network) publish(k wire.Kind, retained bool, raw []byte) {
	go func() { _ = n.central.Publish(n.t.Context(), wire.Topics{}.Of(theCP, k), 1, retained, raw) }()
}

func (n *network) get(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// within waits in fake time until ok.
func (n *network) within(d time.Duration, what string, ok func() bool) {
	n.t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(10 * time.Millisecond) {
		synctest.Wait()
		if ok() {
			return
		}
		if time.Now().After(end) {
			n.t.Fatalf("not within %s: %s (%+v)", d, what, n.up.Stats())
		}
	}
}

func (n *network) delivered() bool { return n.up.Stats().Unacked == 0 }

func (n *network) last() wire.Presence {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.presences[len(n.presences)-1]
}

// epoch is the epoch of the nth start of Central.
func epoch(n int) charge.Epoch { return charge.Epoch{Number: uint64(n), Run: "00000000000000ab"} }
