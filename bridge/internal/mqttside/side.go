package mqttside

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/wire"
)

// Sink accepts the messages that were received.
type Sink interface {
	// Accept takes responsibility for a message and does not block. It calls
	// done once, when the message is safe in Kafka or need not be any more;
	// never if the process ends before. It returns false, and never calls done,
	// when it accepts nothing any more.
	Accept(d route.Decision, done func()) bool
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
	// MaxMessages and MaxBytes are the high-water mark of what is in flight.
	MaxMessages, MaxBytes int
	Log                   *slog.Logger
}

// Side is the MQTT side of one bridge. Its methods may be called concurrently.
type Side struct {
	cfg      Config
	sink     Sink
	link     *mqttlink.Link
	inFlight *inFlight
	// maxPause is how long reading may be paused in sum before the connection is
	// abandoned.
	maxPause time.Duration
	overflow chan struct{} // capacity 1: a connection was abandoned
	refused  atomic.Int64

	mu sync.Mutex
	// mu guards everything that follows.
	abandoned  uint64        // the connection that refused messages and is to be closed
	pausedConn uint64        // the connection on which reading was paused
	paused     time.Duration // of maxPause, since the count was last below the low-water mark
	up         chan struct{} // closed while there is a connection
	isUp       bool
}

// New checks the configuration. It starts nothing.
func New(cfg Config, sink Sink) (*Side, error) {
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = mqttlink.DefaultKeepAlive
	}
	s := &Side{
		cfg: cfg, sink: sink, inFlight: newInFlight(cfg.MaxMessages, cfg.MaxBytes),
		// mqttlink gives up a connection that is not read for a fifth of the
		// keep-alive (its ping time-out).
		maxPause: cfg.KeepAlive / 8,
		overflow: make(chan struct{}, 1), up: make(chan struct{}),
	}
	link, err := mqttlink.New(mqttlink.Config{
		Brokers: cfg.Brokers, ClientID: cfg.ClientID, CleanSession: false, KeepAlive: cfg.KeepAlive,
		Username: cfg.Username, Password: cfg.Password, Open: cfg.Open, Rand: cfg.Rand, Log: cfg.Log,
		Subscriptions: []mqttlink.Subscription{{Filter: cfg.Router.MQTT.All("up/#"), QoS: 1}},
		ManualAck:     true,
		Handler:       s.handle,
		OnUp: func(ctx context.Context, conn *mqttlink.Conn) {
			if s.isAbandoned(conn.Number()) { // it refused messages before OnUp was called
				s.link.Pause("messages were refused")
				s.link.Resume()
			}
			s.setUp(true)
			<-ctx.Done()
			s.setUp(false)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("MQTT side: %w", err)
	}
	s.link = link
	return s, nil
}

// Run receives and publishes until ctx ends, whatever is away and for how long.
func (s *Side) Run(ctx context.Context) error {
	var disconnecting sync.WaitGroup
	disconnecting.Go(func() { s.disconnectOnOverflow(ctx) })
	defer disconnecting.Wait()
	return s.link.Run(ctx)
}

// handle decides what becomes of a message and passes it to the sink. It runs on
// the reader of the connection, and blocks only in admit.
func (s *Side) handle(m mqttlink.Message) {
	d := s.cfg.Router.Up(route.Message{Topic: m.Topic, Payload: m.Payload, Retained: m.Retained, At: charge.At(time.Now())})
	if d.Kind == route.Telemetry || d.Kind == route.Presence {
		s.sink.Accept(d, m.Ack) // conflated in the sink: at most one per charging point is held
		return
	}
	size := len(m.Topic) + len(m.Payload)
	if m.QoS == 0 { // telemetry that cannot be decoded may be dropped
		if !s.inFlight.add(size) {
			s.refused.Add(1)
			return
		}
	} else if !s.admit(m.Conn, size) {
		return // not acknowledged: the broker redelivers it
	}
	done := func() {
		s.inFlight.remove(size)
		m.Ack()
	}
	if !s.sink.Accept(d, done) {
		s.inFlight.remove(size)
	}
}

// admit counts a message as in flight, and pauses reading while there is no
// capacity. It returns false when the connection is abandoned.
func (s *Side) admit(conn uint64, size int) bool {
	for {
		if s.isAbandoned(conn) {
			return false
		}
		_, drained := s.inFlight.belowLowMark() // before add, so that no change is missed
		if s.inFlight.add(size) {
			return true
		}
		if !s.pauseReading(conn, drained) {
			return false
		}
	}
}

// pauseReading blocks the reader until the count is below the low-water mark,
// for at most maxPause in sum. Then it abandons the connection and returns
// false.
func (s *Side) pauseReading(conn uint64, drained <-chan struct{}) bool {
	s.mu.Lock()
	if s.pausedConn != conn {
		s.pausedConn, s.paused = conn, 0
	}
	left := s.maxPause - s.paused
	s.mu.Unlock()
	began := time.Now()
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-drained:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pausedConn, s.paused = 0, 0
		return true
	case <-s.lost(conn):
	case <-timer.C:
	}
	s.mu.Lock()
	s.paused += time.Since(began)
	s.abandoned = conn
	s.mu.Unlock()
	select {
	case s.overflow <- struct{}{}:
	default:
	}
	return false
}

// isAbandoned reports whether a connection is to be closed.
func (s *Side) isAbandoned(conn uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.abandoned == conn
}

// lost returns a channel that is closed when the connection has ended; nil if it
// is not up yet.
func (s *Side) lost(conn uint64) <-chan struct{} {
	if c := s.link.Conn(); c != nil && c.Number() == conn {
		return c.Lost()
	}
	return nil
}

// disconnectOnOverflow disconnects whenever a connection was abandoned, and
// stays disconnected until the count is below the low-water mark.
func (s *Side) disconnectOnOverflow(ctx context.Context) {
	for {
		select {
		case <-s.overflow:
		case <-ctx.Done():
			return
		}
		low, drained := s.inFlight.belowLowMark()
		if low {
			// Below the mark again already. The connection has refused messages,
			// which are redelivered only on the next one.
			s.link.Pause("messages were refused")
			s.link.Resume()
			continue
		}
		messages, bytes := s.inFlight.level()
		s.link.Pause(fmt.Sprintf("%d messages of %d bytes wait for Kafka; new messages wait at the broker", messages, bytes))
		select {
		case <-drained:
		case <-ctx.Done():
		}
		s.link.Resume()
	}
}

// setUp records whether there is a connection, for Await.
func (s *Side) setUp(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if up == s.isUp {
		return
	}
	s.isUp = up
	if up {
		close(s.up)
	} else {
		s.up = make(chan struct{})
	}
}

// Await waits until there is a connection.
func (s *Side) Await(ctx context.Context) error {
	s.mu.Lock()
	up := s.up
	s.mu.Unlock()
	select {
	case <-up:
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

// State is the state of a Side, for metrics.
type State struct {
	Link mqttlink.State
	// Messages and Bytes are in flight.
	Messages, Bytes int
	// Refused counts telemetry that could not be decoded and was dropped for
	// lack of capacity.
	Refused int64
}

// State returns the present state.
func (s *Side) State() State {
	messages, bytes := s.inFlight.level()
	return State{Link: s.link.State(), Messages: messages, Bytes: bytes, Refused: s.refused.Load()}
}

// Dependency returns the state of the connection, as in the heartbeat.
func (s *Side) Dependency() wire.Dependency {
	l := s.link.State()
	d := wire.Dependency{Up: l.Up, Since: charge.At(l.Since)}
	if !l.Up {
		d.Reason = cut(l.String())
	}
	return d
}

// cut shortens a reason to what the heartbeat allows.
func cut(s string) string { return s[:min(len(s), 1000)] }
