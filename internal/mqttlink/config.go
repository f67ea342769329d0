package mqttlink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"time"
)

// Limits that hold unless the configuration says otherwise.
const (
	DefaultKeepAlive = 30 * time.Second

	connectTimeout = 10 * time.Second
	writeTimeout   = 10 * time.Second
	maxPingTimeout = 10 * time.Second
	minBackoff     = 200 * time.Millisecond
	maxBackoff     = 5 * time.Second
	// farewellTimeout bounds the last word of a clean stop.
	farewellTimeout = 2 * time.Second
	// disconnectQuiesce bounds the wait for DISCONNECT to leave.
	disconnectQuiesce = 250 * time.Millisecond
	// pahoStopTimeout bounds the wait for a lost client to end. Only a handler
	// that blocks makes it longer, and then the next connection must not wait.
	pahoStopTimeout = time.Second
)

// Subscription is a topic filter and the QoS asked for. Filters of one Link
// must not overlap: a message that matches two is handed over twice.
type Subscription struct {
	Filter string
	QoS    byte
}

// Note is a message that is said at the end of a connection: by the broker (a
// last will) or by the link itself (a farewell).
type Note struct {
	Topic    string
	Payload  []byte
	QoS      byte
	Retained bool
}

// Message is one that arrived.
type Message struct {
	Topic    string
	Payload  []byte // owned by the receiver
	QoS      byte
	Retained bool
	Dup      bool
	// Conn is the number of the connection it arrived on.
	Conn uint64
	// Ack tells the broker that the message is done. With ManualAck the owner
	// must call it for every message, also for one that is of no use, or the
	// message holds one of the broker's slots for the life of the connection.
	// It never blocks, may be called on any goroutine, in any order and more
	// than once. After the connection was lost it does nothing: the broker
	// delivers again. Without ManualAck it does nothing.
	Ack func()
}

// Config says what a Link connects to and what it does there.
type Config struct {
	// Brokers are tried in this order in each attempt: tcp://host:port, or
	// ssl://host:port with TLS.
	Brokers []string
	// ClientID must be the only one of its kind: two live connections of one id
	// cut each other off in turn.
	ClientID string
	// CleanSession false lets the broker keep subscriptions and queued messages.
	CleanSession bool
	// KeepAlive is rounded to whole seconds; 0 means DefaultKeepAlive.
	KeepAlive time.Duration
	// TLS is used for ssl://; its GetClientCertificate may renew certificates.
	TLS                *tls.Config
	Username, Password string
	// Will, if set, gives the last will of an attempt; nil for none. A will is
	// fixed before the connection exists, hence the number.
	Will func(conn uint64) *Note
	// Farewell, if set, is published before a clean stop, within 2 s.
	Farewell      func(conn uint64) *Note
	Subscriptions []Subscription
	// ManualAck leaves acknowledging to the owner.
	ManualAck bool
	// Handler receives the messages in the order of arrival. It must not wait:
	// while it does, paho reads nothing from the line, not even the answer to its
	// ping, so a handler that holds the line longer than the ping time-out loses
	// the connection, and one that never returns leaks it. Hand over to a queue
	// and return. It may be called before OnUp, since the broker delivers what it
	// kept as soon as the connection stands.
	Handler func(Message)
	// OnUp is called on its own goroutine once the connection is up; ctx ends
	// with the connection. The next connection waits until OnUp has returned.
	OnUp func(ctx context.Context, conn *Conn)
	// OnDown is called when a connection that was up has ended, after OnUp has
	// returned.
	OnDown func(conn uint64, err error)
	// Open dials instead of the network, for tests in memory. It must respect
	// ctx.
	Open func(ctx context.Context, broker *url.URL) (net.Conn, error)
	// Rand spreads the attempts; nil for an own source.
	Rand *rand.Rand
	// Log receives one line per transition; nil for none.
	Log *slog.Logger
}

func (c *Config) validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("brokers: none named, give one such as tcp://127.0.0.1:1883"))
	}
	for _, b := range c.Brokers {
		u, err := url.Parse(b)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("brokers: %w", err))
		case u.Host == "":
			errs = append(errs, fmt.Errorf("brokers: %q names no host, write tcp://host:port", b))
		case !plain(u.Scheme) && !secure(u.Scheme):
			errs = append(errs, fmt.Errorf("brokers: %q has the scheme %q, use tcp or ssl", b, u.Scheme))
		}
	}
	if c.ClientID == "" {
		errs = append(errs, errors.New("client id: empty, give a name that nobody else uses"))
	}
	if c.KeepAlive < 0 || c.KeepAlive > 0xffff*time.Second {
		errs = append(errs, fmt.Errorf("keep-alive: %v is outside 1s to 65535s", c.KeepAlive))
	}
	for _, s := range c.Subscriptions {
		if s.Filter == "" || s.QoS > 1 {
			errs = append(errs, fmt.Errorf("subscription %q with QoS %d: needs a filter and QoS 0 or 1", s.Filter, s.QoS))
		}
	}
	if len(c.Subscriptions) > 0 && c.Handler == nil {
		errs = append(errs, errors.New("handler: missing, though there are subscriptions"))
	}
	return errors.Join(errs...)
}

func plain(scheme string) bool { return scheme == "tcp" || scheme == "mqtt" }

func secure(scheme string) bool { return scheme == "ssl" || scheme == "tls" || scheme == "mqtts" }

// open dials a broker over the network.
func (c *Config) open(ctx context.Context, u *url.URL) (net.Conn, error) {
	if c.Open != nil {
		return c.Open(ctx, u)
	}
	d := net.Dialer{KeepAlive: 15 * time.Second}
	if plain(u.Scheme) {
		return d.DialContext(ctx, "tcp", u.Host)
	}
	t := tls.Dialer{NetDialer: &d, Config: c.TLS}
	return t.DialContext(ctx, "tcp", u.Host)
}

// pingTimeout leaves room for paho's coarse check (KeepAlive/4, at most 5 s)
// within 1.5 × KeepAlive.
func pingTimeout(keepAlive time.Duration) time.Duration {
	return min(maxPingTimeout, keepAlive/5)
}
