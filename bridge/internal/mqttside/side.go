package mqttside

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/bridge/forward"
	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/gate"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// Core decides what becomes of what was received: the pure core of the bridge. Its
// methods may be called concurrently, and do not block.
type Core interface {
	// Receive passes a message on. It reports false if the message was not
	// accepted, because reading is paused.
	Receive(m *forward.Message) bool
	// Step reports another event.
	Step(e forward.Event)
}

// Config configures a Side.
type Config struct {
	// Brokers, ClientID, Username, Password, KeepAlive, Open and Rand are those
	// of mqttlink.Config.
	Brokers            []string
	ClientID           string
	Username, Password string
	KeepAlive          time.Duration
	Open               func(ctx context.Context, broker *url.URL) (net.Conn, error)
	Rand               *rand.Rand
	Router             route.Router
	// Lease, if set, decides when the side may connect.
	Lease Lease
	Log   *slog.Logger
}

// Lease decides when a bridge that shares its session with others may connect. Its
// methods may be called concurrently.
type Lease interface {
	// Permit returns when one attempt to connect may be made, or when ctx ends.
	Permit(ctx context.Context)
	// Connected reports that there is a connection, or that it has ended.
	Connected(yes bool)
	// Lost returns a channel that is closed while the session is not this bridge's.
	Lost() <-chan struct{}
}

// Side is the MQTT side of one bridge. Its methods may be called concurrently.
type Side struct {
	cfg  Config
	core Core
	link *mqttlink.Link
	// maxPause is how long a connection may be left unread.
	maxPause time.Duration
	ended    chan struct{} // capacity 1: the core has ended a connection

	reading   *gate.Gate    // open while the core reads
	allowed   *gate.Gate    // open while the core allows a connection
	up        *gate.Gate    // open while there is a connection
	abandoned atomic.Uint64 // the connection that the core has ended
}

// New checks the configuration. It starts nothing.
func New(cfg Config, core Core) (*Side, error) {
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = mqttlink.DefaultKeepAlive
	}
	s := &Side{
		cfg: cfg, core: core,
		// mqttlink gives up a connection that is not read for a fifth of the
		// keep-alive (its ping time-out).
		maxPause: cfg.KeepAlive / 8,
		ended:    make(chan struct{}, 1), reading: gate.New(true), allowed: gate.New(true), up: gate.New(false),
	}
	var permit func(context.Context)
	if cfg.Lease != nil {
		permit = cfg.Lease.Permit
	}
	link, err := mqttlink.New(mqttlink.Config{
		Permit:  permit,
		Brokers: cfg.Brokers, ClientID: cfg.ClientID, CleanSession: false, KeepAlive: cfg.KeepAlive,
		Username: cfg.Username, Password: cfg.Password, Open: cfg.Open, Rand: cfg.Rand, Log: cfg.Log,
		Subscriptions: []mqttlink.Subscription{{Filter: cfg.Router.MQTT.All("up/#"), QoS: 1}},
		ManualAck:     true,
		Handler:       s.handle,
		OnUp: func(ctx context.Context, conn *mqttlink.Conn) {
			if s.abandoned.Load() == conn.Number() { // before it was up
				s.link.Pause(refused)
				s.link.Resume()
			}
			s.up.Set(true)
			s.hold(ctx, conn)
			s.up.Set(false)
			s.core.Step(forward.Lost{Conn: conn.Number()})
		},
	})
	if err != nil {
		return nil, fmt.Errorf("MQTT side: %w", err)
	}
	s.link = link
	return s, nil
}

// hold returns when the connection has ended. It ends it if the session becomes
// another bridge's.
func (s *Side) hold(ctx context.Context, conn *mqttlink.Conn) {
	if s.cfg.Lease == nil {
		<-ctx.Done()
		return
	}
	s.cfg.Lease.Connected(true)
	defer s.cfg.Lease.Connected(false)
	select {
	case <-s.cfg.Lease.Lost():
		conn.Leave(errStandby)
		<-ctx.Done()
	case <-ctx.Done():
	}
}

// errStandby ends a connection because another bridge is active.
var errStandby = errors.New("another bridge with this client id is active")

// refused is why a connection is ended that was not read for too long.
const refused = "messages wait for Kafka; new messages wait at the broker"

// Run receives and publishes until ctx ends, whatever is away and for how long.
func (s *Side) Run(ctx context.Context) error {
	var disconnecting sync.WaitGroup
	disconnecting.Go(func() { s.disconnectLoop(ctx) })
	defer disconnecting.Wait()
	return s.link.Run(ctx)
}

// handle passes a message to the core. It runs on the reader of the connection,
// and blocks only while reading is paused.
func (s *Side) handle(m mqttlink.Message) {
	now := time.Now()
	d := s.cfg.Router.Up(route.Message{Topic: m.Topic, Payload: m.Payload, Retained: m.Retained, At: charge.At(now)})
	received := &forward.Message{Decision: d, Conn: m.Conn, QoS: m.QoS, Size: len(m.Topic) + len(m.Payload), ReceivedAt: now}
	for !s.core.Receive(received) {
		if !s.awaitResume(m.Conn) {
			return // not acknowledged: the broker redelivers it
		}
	}
}

// awaitResume blocks while reading is paused, for at most maxPause. It reports
// false if the connection has ended or is being ended.
func (s *Side) awaitResume(conn uint64) bool {
	timer := time.NewTimer(s.maxPause)
	defer timer.Stop()
	select {
	case <-s.reading.Opened():
		return true
	case <-s.lost(conn):
		s.core.Step(forward.Lost{Conn: conn})
	case <-timer.C:
		s.core.Step(forward.PauseExpired{Conn: conn})
	}
	return false
}

// lost returns a channel that is closed when the connection has ended; nil if it
// is not up yet.
func (s *Side) lost(conn uint64) <-chan struct{} {
	if c := s.link.Conn(); c != nil && c.Number() == conn {
		return c.Lost()
	}
	return nil
}

// Acknowledge performs forward.Effects.Acknowledge.
func (s *Side) Acknowledge(conn uint64, n int) { s.link.Acknowledge(conn, n) }

// SetReading performs forward.Effects.Reading. It is called in the order of the
// core's steps, and does not block.
func (s *Side) SetReading(r forward.Reading, conn uint64) {
	switch r {
	case forward.Unchanged:
	case forward.Pause:
		s.reading.Set(false)
	case forward.Resume:
		s.reading.Set(true)
	case forward.Disconnect:
		s.abandoned.Store(conn)
		s.reading.Set(true) // a handler that waits learns from the core that it need not
		s.allowed.Set(false)
		select {
		case s.ended <- struct{}{}:
		default:
		}
	case forward.Connect:
		s.allowed.Set(true)
	}
}

// disconnectLoop ends the connection whenever the core does, and connects again
// when the core allows it. A connection that the core has ended is ended here,
// too, even if it may be connected again at once: what was refused on it is
// redelivered only on the next one.
func (s *Side) disconnectLoop(ctx context.Context) {
	for {
		select {
		case <-s.ended:
		case <-ctx.Done():
			return
		}
		s.link.Pause(refused)
		select {
		case <-s.allowed.Opened():
		case <-ctx.Done():
		}
		s.link.Resume()
	}
}

// Await waits until there is a connection.
func (s *Side) Await(ctx context.Context) error {
	select {
	case <-s.up.Opened():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Publish publishes a message on the present connection, in the order of the
// calls. confirmed waits for the broker's acknowledgement. An error of either
// means that the message may not have arrived.
func (s *Side) Publish(ctx context.Context, p route.Publish) (confirmed func(context.Context) error, err error) {
	pending, err := s.link.PublishAsync(ctx, p.Topic, 1, p.Retained, p.Payload)
	if err != nil {
		return nil, err
	}
	return pending.Wait, nil
}

// State returns the present state of the connection.
func (s *Side) State() mqttlink.State { return s.link.State() }

// Dependency returns the state of the connection, as in the heartbeat.
func (s *Side) Dependency() wire.Dependency {
	l := s.link.State()
	since := charge.At(l.Since)
	if l.Up {
		return wire.Dependency{Up: true, Since: since}
	}
	why := reason.Reason{Code: reason.MQTTDown, Address: l.Broker, Detail: l.LastError}
	if l.Paused != "" { // this program paused it, always with the same words
		why = reason.Reason{Code: reason.MQTTPaused, Address: l.Broker}
	}
	return wire.DependencyDown(since, l.String(), why)
}
