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

// DefaultPartitions is the number of partitions of a drivers' topic that the
// client has to create.
const DefaultPartitions = 12

// ClientConfig is the configuration of a Client.
type ClientConfig struct {
	Brokers  []string // host:port, at least one
	ClientID string   // of the Kafka client, shown in Kafka's logs
	// Partitions is how many a topic gets that does not exist and is created.
	// The number of an existing topic is read from Kafka. 0: DefaultPartitions.
	Partitions int
	// DriverTopic and CentralTopic replace the topics of the protocol.
	DriverTopic, CentralTopic string
	// Dial replaces the network dialer, for tests in memory.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client is the Kafka connection that drivers share. It produces their messages
// one by one to driver-events and delivers central-events to their
// subscriptions, from the end of the log as it was when Kafka was first
// reached. It reconnects without limit while Run runs, and continues at the
// offsets where it was.
//
// It has no queue for outgoing messages: Send fails while Kafka is away, and
// the Conversation retries with a fresh timestamp. A message that waited in a
// queue would be too old when Central reads it.
type Client struct {
	cfg ClientConfig

	mu            sync.Mutex
	subscriptions map[*Subscription]struct{} // mu guards it and what follows
	link          LinkChanged                // the last one delivered, without At
	connection    *connection                // nil while Kafka is not reachable
}

var _ Transport = (*Client)(nil)

// NewClient validates the configuration; it does no I/O.
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

// reconnectDelay is the pause between two attempts to connect.
const reconnectDelay = 250 * time.Millisecond

// Run connects, reads and reconnects until ctx ends, and returns nil then.
func (c *Client) Run(ctx context.Context) error {
	var positions []int64
	for ctx.Err() == nil {
		connCtx, conn := newConnection(ctx, &c.cfg, c.deliver)
		conn.positions = positions
		err := conn.open(connCtx)
		if err == nil {
			c.setConnection(conn, "")
			err = conn.readAll(connCtx)
		}
		c.setConnection(nil, reasonOf(err))
		conn.close()
		positions = conn.positions
		select {
		case <-ctx.Done():
		case <-time.After(reconnectDelay):
		}
	}
	return nil
}

// setConnection publishes that a connection was opened, or why there is none.
func (c *Client) setConnection(conn *connection, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	was := c.link
	c.connection = conn
	c.link.Up, c.link.Reason = conn != nil, reason
	if was.Up != c.link.Up {
		c.link.Since = now
	}
	if was.Up == c.link.Up && was.Reason == reason {
		return
	}
	link := c.link
	link.At = now
	for sub := range c.subscriptions {
		sub.DeliverLink(link)
	}
}

// Subscribe implements Transport.
func (c *Client) Subscribe(username charge.Username) *Subscription {
	sub := NewSubscription(username)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscriptions[sub] = struct{}{}
	if c.link.Up || c.link.Reason != "" {
		link := c.link
		link.At = time.Now()
		sub.DeliverLink(link)
	}
	return sub
}

// Unsubscribe implements Transport.
func (c *Client) Unsubscribe(sub *Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.subscriptions, sub)
}

// deliver decodes one record of central-events and delivers it to all
// subscriptions. One that cannot be decoded is skipped: it is not of this
// protocol, and Central's own checks report it.
func (c *Client) deliver(value []byte) {
	m, err := wire.DecodeCentralEvent(value)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for sub := range c.subscriptions {
		sub.Deliver(now, &m)
	}
}

// errNotConnected is returned by Send without a connection.
var errNotConnected = errors.New("kafka does not answer")

// Send implements Transport. An error ends the connection: the leader or its
// address may have changed, and a new connection reads both again.
func (c *Client) Send(ctx context.Context, m *wire.DriverRequest) error {
	raw, err := m.Encode()
	if err != nil {
		return fmt.Errorf("driver: %w", err)
	}
	c.mu.Lock()
	conn := c.connection
	c.mu.Unlock()
	if conn == nil {
		return errNotConnected
	}
	key := []byte(m.Username)
	err = conn.produce(ctx, kafkalink.PartitionOf(key, conn.driverPartitions), key, raw)
	if err != nil && ctx.Err() == nil {
		conn.cancel(err) // reconnect
	}
	return err
}

// reasonOf returns the innermost error that is informative, short enough to be
// printed on one line.
func reasonOf(err error) string {
	// An error of the network or of Kafka's protocol is preferred to what wraps
	// it.
	for err != nil {
		if op, ok := err.(*net.OpError); ok { //nolint:errorlint // the loop unwraps, to find the innermost informative error
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
