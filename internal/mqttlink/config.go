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

// Time limits. KeepAlive can be configured.
const (
	DefaultKeepAlive = 30 * time.Second

	connectTimeout = 10 * time.Second
	writeTimeout   = 10 * time.Second
	maxPingTimeout = 10 * time.Second
	minBackoff     = 200 * time.Millisecond
	maxBackoff     = 5 * time.Second
	// farewellTimeout bounds the last message of a clean stop.
	farewellTimeout = 2 * time.Second
	// disconnectQuiesce bounds the wait until DISCONNECT is sent.
	disconnectQuiesce = 250 * time.Millisecond
	// pahoStopTimeout bounds the wait for a lost client to end. Only a blocking
	// handler makes that longer, and then the next connection must not wait for
	// it.
	pahoStopTimeout = time.Second
)

// Subscription is a topic filter with the requested QoS. The filters of a Link
// must not overlap: a message that matches two is delivered twice.
type Subscription struct {
	Filter string
	QoS    byte
}

// Note is a message for the end of a connection: the broker publishes it as a
// last will, or the link itself as a farewell.
type Note struct {
	Topic    string
	Payload  []byte
	QoS      byte
	Retained bool
}

// Message is a message that was received.
type Message struct {
	Topic    string
	Payload  []byte // owned by the receiver
	QoS      byte
	Retained bool
	Dup      bool
	// Conn is the number of the connection on which it was received.
	Conn uint64
}

// Config configures a Link.
type Config struct {
	// Brokers are tried in this order in each attempt: tcp://host:port, or
	// ssl://host:port with TLS.
	Brokers []string
	// ClientID must be unique: a broker disconnects a client when another one
	// connects with the same ID, so that two would disconnect each other in
	// turn.
	ClientID string
	// CleanSession false lets the broker keep subscriptions and queued messages
	// while the client is away.
	CleanSession bool
	// KeepAlive is rounded to whole seconds; 0 means DefaultKeepAlive.
	KeepAlive time.Duration
	// TLS is used for ssl://. Its GetClientCertificate may renew certificates.
	TLS                *tls.Config
	Username, Password string
	// Will, if set, returns the last will of an attempt; nil means none. A will
	// is part of CONNECT, before the connection exists, hence the number.
	Will func(conn uint64) *Note
	// Farewell, if set, is published before a clean stop, within 2 s.
	Farewell      func(conn uint64) *Note
	Subscriptions []Subscription
	// ManualAck leaves acknowledging to the owner, by Link.Acknowledge. The owner
	// must acknowledge every message with QoS 1 that Handler received, including
	// those it cannot use: one that is not acknowledged holds up all that were
	// received after it, and occupies one of the broker's in-flight slots for the
	// lifetime of the connection.
	ManualAck bool
	// Handler receives the messages in the order of arrival. It must not block:
	// meanwhile paho reads nothing from the connection, not even the answer to
	// its ping. A handler that blocks longer than the ping time-out loses the
	// connection, and one that never returns leaks it. It may be called before
	// OnUp, since the broker delivers stored messages as soon as the connection
	// exists.
	Handler func(Message)
	// Permit, if set, is called before each attempt to connect and returns when it may
	// be made, or when ctx ends.
	Permit func(ctx context.Context)
	// OnUp is called on its own goroutine once the connection is up; ctx ends
	// with the connection. The next attempt waits until OnUp has returned.
	OnUp func(ctx context.Context, conn *Conn)
	// OnDown is called when a connection that was up has ended, after OnUp has
	// returned.
	OnDown func(conn uint64, err error)
	// Open, if set, replaces the network, for tests in memory. It must respect
	// ctx.
	Open func(ctx context.Context, broker *url.URL) (net.Conn, error)
	// Rand jitters the pauses between attempts; nil means a source of its own.
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
		errs = append(errs, errors.New("client id: empty, give a name that no other client uses"))
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

// open connects to a broker over the network.
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

// pingTimeout returns how long a ping may remain unanswered, so that a dead
// connection is detected within 1.5 × KeepAlive although paho checks coarsely
// (every KeepAlive/4, at most 5 s).
func pingTimeout(keepAlive time.Duration) time.Duration {
	return min(maxPingTimeout, keepAlive/5)
}
