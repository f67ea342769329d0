package kafkalink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
)

const (
	requestTimeout = 10 * time.Second
	dialTimeout    = 3 * time.Second
	idleTimeout    = time.Minute
	metadataTTL    = time.Second
)

// ClientConfig is how to reach Kafka.
type ClientConfig struct {
	Brokers  []string // host:port, at least one
	ClientID string
	// Topics are all topics that this process reads or writes. The client keeps
	// metadata of these only.
	Topics []string
	TLS    *tls.Config
	SASL   sasl.Mechanism
	// Dial, if set, replaces the network, for tests in memory.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client is the connection pool of a process. It is safe for concurrent use.
type Client struct {
	api       *kafka.Client
	transport *kafka.Transport
	stop      context.CancelFunc // ends the transport

	mu sync.Mutex
	// mu guards everything that follows.
	conns  map[*trackedConn]struct{}
	closed bool
	open   sync.WaitGroup // one per element of conns
}

// NewClient checks the configuration; it does no I/O.
func NewClient(cfg ClientConfig) (*Client, error) {
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("kafka: brokers: none named, give one such as 127.0.0.1:9092")
	}
	for _, b := range cfg.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return nil, fmt.Errorf("kafka: brokers: %w; write host:port", err)
		}
	}
	if len(cfg.Topics) == 0 {
		return nil, errors.New("kafka: topics: none named")
	}
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
	}
	c := &Client{conns: map[*trackedConn]struct{}{}}
	life, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.transport = &kafka.Transport{
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return c.track(conn)
		},
		DialTimeout: dialTimeout, IdleTimeout: idleTimeout, MetadataTTL: metadataTTL,
		MetadataTopics: cfg.Topics, ClientID: cfg.ClientID, TLS: cfg.TLS, SASL: cfg.SASL, Context: life,
	}
	c.api = &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Timeout: requestTimeout, Transport: c.transport}
	return c, nil
}

// Close closes all connections and waits until kafka-go has let go of them. Call
// it after everything that uses the client has returned.
func (c *Client) Close() {
	c.stop()
	c.transport.CloseIdleConnections()
	c.mu.Lock()
	c.closed = true
	for l := range c.conns {
		_ = l.Conn.Close() // kafka-go reads the error and closes the trackedConn
	}
	c.mu.Unlock()
	c.open.Wait()
}

// dropConns makes the next request use new connections and new metadata. Requests
// in flight keep their connections.
func (c *Client) dropConns() { c.transport.CloseIdleConnections() }

// track registers a dialled connection, or closes it if the client is closed.
func (c *Client) track(conn net.Conn) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	l := &trackedConn{Conn: conn, client: c}
	c.conns[l] = struct{}{}
	c.open.Add(1)
	return l, nil
}

// trackedConn is a connection that its client counts until it is closed.
type trackedConn struct {
	net.Conn
	client *Client
	once   sync.Once
}

// Close implements net.Conn.
func (l *trackedConn) Close() error {
	err := l.Conn.Close()
	l.once.Do(func() {
		l.client.mu.Lock()
		delete(l.client.conns, l)
		l.client.mu.Unlock()
		l.client.open.Done()
	})
	return err
}
