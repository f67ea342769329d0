package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/wire"
)

// DefaultPartitions is how many partitions a drivers' topic gets that is not
// there yet.
const DefaultPartitions = 12

// LineConfig says where Kafka is.
type LineConfig struct {
	Brokers  []string // host:port, at least one
	ClientID string
	// Partitions of a topic that has to be made first; of one that is there the
	// real count is used. 0: DefaultPartitions.
	Partitions int
	// DriverTopic and CentralTopic are the protocol's unless set.
	DriverTopic, CentralTopic string
	// Dial replaces the network, for tests in memory.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Line is a driver's plain connection to Kafka: messages of several drivers go
// out one by one, and what Central says comes in from the end of the log as it
// was when Kafka was first reached. It reconnects for ever while Run runs.
//
// It has no queue: a message that Kafka did not take is the conversation's to
// say again, with a fresh timestamp, for one that lies waiting goes stale.
type Line struct {
	cfg LineConfig

	mu      sync.Mutex
	ears    map[*Ear]struct{} // mu guards it and what follows
	state   LinkChanged       // At is not kept up
	session *session          // nil while Kafka is away
}

var _ Phone = (*Line)(nil)

// NewLine checks the configuration; it does no I/O.
func NewLine(cfg LineConfig) (*Line, error) {
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("kafka: no address; give one such as 127.0.0.1:9092")
	}
	for _, b := range cfg.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return nil, fmt.Errorf("kafka: %q: use HOST:PORT: %w", b, err)
		}
	}
	if cfg.Partitions == 0 {
		cfg.Partitions = DefaultPartitions
	}
	if cfg.Partitions < 1 || cfg.Partitions > 10_000 {
		return nil, fmt.Errorf("kafka: partitions: %d; use 1 to 10000", cfg.Partitions)
	}
	if cfg.DriverTopic == "" {
		cfg.DriverTopic = wire.TopicDriverEvents
	}
	if cfg.CentralTopic == "" {
		cfg.CentralTopic = wire.TopicCentralEvents
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
	}
	return &Line{cfg: cfg, ears: map[*Ear]struct{}{}, state: LinkChanged{Since: time.Now()}}, nil
}

// retryAfter is how long the line waits before it tries Kafka again.
const retryAfter = 250 * time.Millisecond

// Run keeps the line until ctx ends, and returns nil then.
func (l *Line) Run(ctx context.Context) error {
	var positions []int64
	for ctx.Err() == nil {
		life, s := newSession(ctx, &l.cfg, l.deliver)
		s.positions = positions
		err := s.open(life)
		if err == nil {
			l.change(s, "")
			err = s.read(life)
		}
		l.change(nil, reasonOf(err))
		s.close()
		positions = s.positions
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
	return nil
}

// change notes a session that began, or why there is none.
func (l *Line) change(s *session, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	was := l.state
	l.session = s
	l.state.Up, l.state.Reason = s != nil, reason
	if was.Up != l.state.Up {
		l.state.Since = now
	}
	if was.Up == l.state.Up && was.Reason == reason {
		return
	}
	c := l.state
	c.At = now
	for e := range l.ears {
		e.Link(c)
	}
}

// Listen implements Phone.
func (l *Line) Listen(who charge.Username) *Ear {
	e := NewEar(who)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ears[e] = struct{}{}
	if l.state.Up || l.state.Reason != "" {
		c := l.state
		c.At = time.Now()
		e.Link(c)
	}
	return e
}

// Hang implements Phone.
func (l *Line) Hang(e *Ear) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ears, e)
}

// deliver puts one message into every ear. What cannot be read is not for us.
func (l *Line) deliver(value []byte) {
	m, err := wire.DecodeCentralEvent(value)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for e := range l.ears {
		e.Hear(now, &m)
	}
}

// errAway says that there is no session to send by.
var errAway = errors.New("kafka does not answer")

// Ask implements Phone.
func (l *Line) Ask(ctx context.Context, m *wire.DriverRequest) error {
	raw, err := m.Encode()
	if err != nil {
		return fmt.Errorf("driver: %w", err)
	}
	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	if s == nil {
		return errAway
	}
	key := []byte(m.Username)
	err = s.produce(ctx, kafkalink.PartitionOf(key, s.drivers), key, raw)
	if err != nil && ctx.Err() == nil {
		s.cancel(err) // another leader, another address: find out anew
	}
	return err
}

// reasonOf is what an error comes down to, in words short enough for a line.
func reasonOf(err error) string {
	for err != nil {
		if op, ok := err.(*net.OpError); ok { //nolint:errorlint // the loop unwraps, to find the deepest that says enough
			return op.Error()
		}
		if code, ok := err.(kafka.Error); ok { //nolint:errorlint // as above
			return code.Title()
		}
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
	return ""
}
