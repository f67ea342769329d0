package uplink_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/internal/uplink"
	"github.com/carga-ev/carga/agent/point"
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

// shell is an agent with one connector, at which nothing happens: the core and the uplink, over a journal in
// memory whose records the test writes. The records of the core are not among
// them.
type shell struct {
	core   *point.State
	cfg    point.Config
	up     *uplink.Uplink
	began  time.Time
	view   atomic.Pointer[point.View]
	events chan point.Event

	mu sync.Mutex
	// mu guards everything that follows.
	records   [][]byte
	broken    bool // nothing can be read
	readFails int
	saved     delivery.Position
	kinds     []delivery.VerdictKind // of the commands decided
	clocks    int                    // how often Central's clock was given
}

func newShell(t *testing.T, records int, dial func(context.Context, *url.URL) (net.Conn, error)) *shell {
	t.Helper()
	s := &shell{began: time.Now(), events: make(chan point.Event, 8192)}
	s.cfg = point.Config{CP: theCP, Journal: theBoot, Agent: "test", Telemetry: time.Second, IdleTelemetry: time.Second}
	s.append(records)
	var err error
	s.up, err = uplink.New(uplink.Config{CP: theCP, Brokers: []string{"tcp://localhost:1883"}, Open: dial}, uplink.Deps{
		Post: func(e point.Event) { s.events <- e }, Uptime: func() time.Duration { return time.Since(s.began) }, Read: s.read,
		Offline:  func(conn uint64) wire.Presence { return s.cfg.Presence(conn, false, charge.At(time.Now())) },
		Complete: func(*wire.Telemetry) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.view.Store(&point.View{})
	return s
}

// run steps the core until ctx ends.
func (s *shell) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	perform := func(effects []point.Effect) {
		for _, f := range effects {
			s.perform(f, timer)
		}
		v := s.core.View()
		s.up.Skip(v.Delivery.Acked)
		s.view.Store(v)
	}
	var effects []point.Effect
	s.core, effects = point.Boot(s.cfg, s.now(), point.Recovered{
		Saved: make([]connector.Saved, 1), Outlets: []point.Outlet{{Pilot: charge.PilotA}},
	})
	perform(effects)
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-s.events:
			perform(s.core.Step(s.now(), e))
		case <-timer.C:
			perform(s.core.Step(s.now(), point.TimerFired{}))
		}
	}
}

func (s *shell) now() point.Now {
	return point.Now{Now: connector.Now{At: time.Since(s.began), Wall: charge.At(time.Now()), Clock: charge.ClockSynced}}
}

func (s *shell) perform(f point.Effect, timer *time.Timer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch f := f.(type) {
	case point.Append:
		s.events <- point.Appended{Saved: f.Batch.Saved(), Held: s.heldLocked()}
	case point.SavePosition:
		s.saved = f.Position
		s.events <- point.PositionSaved{Held: s.heldLocked()}
	case point.PublishPresence:
		s.up.Presence(f)
	case point.PublishTelemetry:
		s.up.Telemetry(f)
	case point.Send:
		s.up.Send(f)
	case point.Reconnect:
		s.up.Reconnect(f)
	case point.SetTimer:
		timer.Reset(max(f.At-time.Since(s.began), 0))
	case point.SetClock:
		s.clocks++
	case point.CommandDecided:
		s.kinds = append(s.kinds, f.Verdict.Kind)
	default:
	}
}

// append writes n records.
func (s *shell) append(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		rec, err := wire.NewRecord(&wire.MeterRead{Register: 1000})
		if err != nil {
			panic(err)
		}
		rec.CPID, rec.Journal, rec.Seq, rec.At = theCP, theBoot, charge.Seq(len(s.records)+1), charge.At(time.Now())
		raw, err := rec.Encode()
		if err != nil {
			panic(err)
		}
		s.records = append(s.records, raw)
	}
	s.events <- point.DiskChecked{Held: s.heldLocked()}
}

func (s *shell) heldLocked() delivery.Held {
	return delivery.Held{Present: theBoot, Ranges: []delivery.Range{{Journal: theBoot, First: 1, Last: charge.Seq(len(s.records)), Index: 1}}}
}

func (s *shell) read(i delivery.Index) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		s.readFails++
		return nil, io.ErrUnexpectedEOF
	}
	return s.records[i-1], nil
}

func (s *shell) setBroken(on bool) (failed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = on
	return s.readFails
}

func (s *shell) position() delivery.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved
}

func (s *shell) verdicts() []delivery.VerdictKind {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.kinds)
}

func (s *shell) centralTimes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clocks
}

// alarm is delivery's alarm now.
func (s *shell) alarm() string { return s.view.Load().Delivery.Alarm(time.Since(s.began)) }

// network is a broker, an agent's uplink, and a Central connected by MQTT,
// in a bubble of fake time.
type network struct {
	t      *testing.T
	wires  *kfake.VirtualNetwork
	broker *engines.MQTT
	agent  *shell

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
	n := &network{t: t, wires: &kfake.VirtualNetwork{}, epoch: 1}
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
	n.agent = newShell(t, records, n.open)
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
	up.Go(func() { n.agent.run(ctx) })
	synctest.Wait() // record 1 is durable: the core ignores a connection before it
	up.Go(func() {
		if err := n.agent.up.Run(ctx); err != nil {
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
			n.t.Fatalf("not within %s: %s (%+v)", d, what, n.agent.view.Load().Delivery)
		}
	}
}

func (n *network) delivered() bool {
	s := n.agent
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view.Load().Delivery.Acked == delivery.Index(len(s.records))
}

func (n *network) last() wire.Presence {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.presences[len(n.presences)-1]
}

// epoch is the epoch of the nth start of Central.
func epoch(n int) charge.Epoch { return charge.Epoch{Number: uint64(n), Run: "00000000000000ab"} }
