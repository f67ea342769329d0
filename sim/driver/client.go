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

// ClientConfig says where Kafka is.
type ClientConfig struct {
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

// Client is a driver's plain connection to Kafka: messages of several drivers go
// out one by one, and what Central says comes in from the end of the log as it
// was when Kafka was first reached. It reconnects for ever while Run runs.
//
// It has no queue: a message that Kafka did not take is the conversation's to
// say again, with a fresh timestamp, for one that lies waiting goes stale.
type Client struct {
	cfg ClientConfig

	mu            sync.Mutex
	subscriptions map[*Subscription]struct{} // mu guards it and what follows
	link          LinkChanged                // At is not kept up
	connection    *connection                // nil while Kafka is away
}

var _ Transport = (*Client)(nil)

// NewClient checks the configuration; it does no I/O.
func NewClient(cfg ClientConfig) (*Client, error) {
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
	return &Client{cfg: cfg, subscriptions: map[*Subscription]struct{}{}, link: LinkChanged{Since: time.Now()}}, nil
}

// reconnectDelay is how long the line waits before it tries Kafka again.
const reconnectDelay = 250 * time.Millisecond

// Run keeps the line until ctx ends, and returns nil then.
func (l *Client) Run(ctx context.Context) error {
	var positions []int64
	for ctx.Err() == nil {
		life, s := newConnection(ctx, &l.cfg, l.deliver)
		s.positions = positions
		err := s.open(life)
		if err == nil {
			l.setConnection(s, "")
			err = s.readAll(life)
		}
		l.setConnection(nil, reasonOf(err))
		s.close()
		positions = s.positions
		select {
		case <-ctx.Done():
		case <-time.After(reconnectDelay):
		}
	}
	return nil
}

// setConnection notes a session that began, or why there is none.
func (l *Client) setConnection(s *connection, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	was := l.link
	l.connection = s
	l.link.Up, l.link.Reason = s != nil, reason
	if was.Up != l.link.Up {
		l.link.Since = now
	}
	if was.Up == l.link.Up && was.Reason == reason {
		return
	}
	c := l.link
	c.At = now
	for e := range l.subscriptions {
		e.DeliverLink(c)
	}
}

// Subscribe implements Phone.
func (l *Client) Subscribe(username charge.Username) *Subscription {
	e := NewSubscription(username)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subscriptions[e] = struct{}{}
	if l.link.Up || l.link.Reason != "" {
		c := l.link
		c.At = time.Now()
		e.DeliverLink(c)
	}
	return e
}

// Unsubscribe implements Phone.
func (l *Client) Unsubscribe(e *Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.subscriptions, e)
}

// deliver puts one message into every ear. What cannot be read is not for us.
func (l *Client) deliver(value []byte) {
	m, err := wire.DecodeCentralEvent(value)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for e := range l.subscriptions {
		e.Deliver(now, &m)
	}
}

// errNotConnected says that there is no session to send by.
var errNotConnected = errors.New("kafka does not answer")

// Send implements Phone.
func (l *Client) Send(ctx context.Context, m *wire.DriverRequest) error {
	raw, err := m.Encode()
	if err != nil {
		return fmt.Errorf("driver: %w", err)
	}
	l.mu.Lock()
	s := l.connection
	l.mu.Unlock()
	if s == nil {
		return errNotConnected
	}
	key := []byte(m.Username)
	err = s.produce(ctx, kafkalink.PartitionOf(key, s.driverPartitions), key, raw)
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
