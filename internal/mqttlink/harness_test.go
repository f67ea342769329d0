package mqttlink_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/carga-ev/carga/internal/mqttlink"
)

var errRefused = errors.New("connection refused")

// wires is a network in memory with one broker on it, or none.
type wires struct {
	mu               sync.Mutex
	server           *mochi.Server
	rules            rules
	dials            int
	lines            []*line
	delivered, acked []uint16 // packet ids of QoS 1
}

// rules are what the broker refuses.
type rules struct {
	subscribe bool // refuse every SUBSCRIBE
	silent    bool // never answer a PUBLISH
}

// line is the client's end of a connection. While frozen it accepts writes and
// delivers nothing, like a cable that is unplugged somewhere on the way. Writes
// are buffered, as by a kernel: on a bare pipe two ends that both write first
// block each other.
type line struct {
	net.Conn
	frozen chan struct{}
	closed chan struct{}
	once   sync.Once
	out    chan []byte
}

func newLine(c net.Conn) *line {
	l := &line{Conn: c, frozen: make(chan struct{}), closed: make(chan struct{}), out: make(chan []byte, 4096)}
	go l.pump()
	return l
}

func (l *line) pump() {
	for {
		select {
		case b := <-l.out:
			if _, err := l.Conn.Write(b); err != nil {
				_ = l.Conn.Close()
				return
			}
		case <-l.closed:
			l.flush()
			_ = l.Conn.Close()
			return
		}
	}
}

func (l *line) flush() {
	for {
		select {
		case b := <-l.out:
			if _, err := l.Conn.Write(b); err != nil {
				return
			}
		default:
			return
		}
	}
}

// cut closes the connection at both ends.
func (l *line) cut() { _ = l.Conn.Close() }

func (l *line) freeze() { close(l.frozen) }

func (l *line) Read(b []byte) (int, error) {
	for {
		n, err := l.Conn.Read(b)
		select {
		case <-l.frozen:
			if err != nil {
				<-l.closed
				return 0, net.ErrClosed
			}
		default:
			return n, err
		}
	}
}

func (l *line) Write(b []byte) (int, error) {
	select {
	case <-l.frozen:
		return len(b), nil
	case <-l.closed:
		return 0, net.ErrClosed
	case l.out <- bytes.Clone(b):
		return len(b), nil
	}
}

func (l *line) Close() error {
	l.once.Do(func() { close(l.closed) })
	_ = l.SetReadDeadline(time.Now())
	return nil
}

// accept is a listener whose connections come from open.
type accept struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (a *accept) Accept() (net.Conn, error) {
	select {
	case c := <-a.conns:
		return c, nil
	case <-a.done:
		return nil, io.EOF
	}
}

func (a *accept) Close() error {
	a.once.Do(func() { close(a.done) })
	return nil
}
func (a *accept) Addr() net.Addr { return &net.TCPAddr{} }

// hook permits everything except what the rules refuse.
type hook struct {
	mochi.HookBase
	w *wires
}

func (*hook) ID() string { return "test" }

func (*hook) Provides(b byte) bool {
	return slices.Contains([]byte{mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPublish, mochi.OnPacketRead, mochi.OnQosPublish}, b)
}

func (*hook) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (h *hook) OnACLCheck(_ *mochi.Client, _ string, write bool) bool {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	return write || !h.w.rules.subscribe
}

func (h *hook) OnPublish(_ *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.w.rules.silent {
		return pk, packets.ErrRejectPacket
	}
	return pk, nil
}

// OnQosPublish notes the packet ids in the order of delivery.
func (h *hook) OnQosPublish(_ *mochi.Client, pk packets.Packet, _ int64, _ int) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.w.delivered = append(h.w.delivered, pk.PacketID)
}

// OnPacketRead notes the packet ids in the order of acknowledgement.
func (h *hook) OnPacketRead(_ *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Puback {
		h.w.mu.Lock()
		defer h.w.mu.Unlock()
		h.w.acked = append(h.w.acked, pk.PacketID)
	}
	return pk, nil
}

// start starts a broker without sessions.
func (w *wires) start(t *testing.T) {
	t.Helper()
	caps := mochi.NewDefaultServerCapabilities()
	s := mochi.New(&mochi.Options{Capabilities: caps, InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	l := &accept{conns: make(chan net.Conn), done: make(chan struct{})}
	if err := errors.Join(s.AddHook(&hook{w: w}, nil), s.AddListener(listeners.NewNet("mem", l)), s.Serve()); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.server = s
	w.rules = rules{}
}

func (w *wires) stop() {
	w.mu.Lock()
	s := w.server
	w.server = nil
	w.mu.Unlock()
	if s != nil {
		_ = s.Close()
	}
}

func (w *wires) set(r rules) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = r
}

// open is Config.Open.
func (w *wires) open(context.Context, *url.URL) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dials++
	if w.server == nil {
		return nil, errRefused
	}
	client, server := net.Pipe()
	s := w.server
	go func() { _ = s.EstablishConnection("mem", server) }()
	l := newLine(client)
	w.lines = append(w.lines, l)
	return l, nil
}

func (w *wires) last() *line {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines[len(w.lines)-1]
}

func (w *wires) publish(t *testing.T, topic, payload string) {
	t.Helper()
	w.mu.Lock()
	s := w.server
	w.mu.Unlock()
	if err := s.Publish(topic, []byte(payload), false, 1); err != nil {
		t.Fatal(err)
	}
}

// inbox collects what arrives.
type inbox struct {
	mu   sync.Mutex
	msgs []mqttlink.Message
}

func (i *inbox) put(m mqttlink.Message) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.msgs = append(i.msgs, m)
}

func (i *inbox) all() []mqttlink.Message {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.msgs)
}

func (i *inbox) texts() []string {
	var out []string
	for _, m := range i.all() {
		out = append(out, string(m.Payload))
	}
	return out
}

func config(w *wires, in *inbox) mqttlink.Config {
	return mqttlink.Config{
		Brokers: []string{"tcp://broker:1883"}, ClientID: "test", CleanSession: true,
		KeepAlive: 10 * time.Second, Open: w.open, Handler: in.put,
		Subscriptions: []mqttlink.Subscription{{Filter: "down/#", QoS: 1}},
	}
}

func mustNew(t *testing.T, cfg mqttlink.Config) *mqttlink.Link {
	t.Helper()
	l, err := mqttlink.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// run runs the link until the function returned is called.
func run(t *testing.T, l *mqttlink.Link) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}
