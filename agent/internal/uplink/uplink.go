package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/wire"
)

// Config is the way to the broker.
type Config struct {
	CP     charge.CPID
	Topics wire.Topics
	// Brokers, Username, Password, TLS, KeepAlive and Open are those of
	// mqttlink.Config. The client id is the CP.
	Brokers            []string
	Username, Password string
	TLS                *tls.Config
	KeepAlive          time.Duration
	Open               func(ctx context.Context, broker *url.URL) (net.Conn, error)
	// Rand is the source of jitter for connection attempts; nil for one with a random
	// seed.
	Rand *rand.Rand
	Log  *slog.Logger // nil for none
}

// Deps are the parts of the agent that the uplink uses. Their methods may be
// called concurrently.
type Deps struct {
	// Post passes an event to the core. It must not wait.
	Post func(point.Event)
	// Uptime is the time since the boot.
	Uptime func() time.Duration
	// Read returns the bytes of a record held, as they were journalled. The caller
	// does not change them. An error leaves the record unsent until the next probe.
	Read func(delivery.Index) ([]byte, error)
	// Offline is the presence of a connection that has ended.
	Offline func(conn uint64) wire.Presence
	// Complete adds to telemetry what the core does not know. It may read the journal.
	Complete func(*wire.Telemetry)
}

// Uplink exchanges messages with Central for one boot of one charging point. Its
// methods may be called concurrently.
type Uplink struct {
	cfg    Config
	deps   Deps
	link   *mqttlink.Link
	log    *slog.Logger
	sender atomic.Pointer[sender] // of the connection that came up last; nil before
}

// New checks the configuration and makes an uplink. It starts nothing.
func New(cfg Config, deps Deps) (*Uplink, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	u := &Uplink{cfg: cfg, deps: deps, log: cfg.Log}
	link, err := mqttlink.New(mqttlink.Config{
		Brokers: cfg.Brokers, ClientID: string(cfg.CP), CleanSession: true, KeepAlive: cfg.KeepAlive,
		TLS: cfg.TLS, Username: cfg.Username, Password: cfg.Password, Open: cfg.Open, Rand: cfg.Rand, Log: cfg.Log,
		Will: u.offline, Farewell: u.offline,
		Subscriptions: []mqttlink.Subscription{
			{Filter: cfg.Topics.Of(cfg.CP, wire.KindAck), QoS: 1},
			{Filter: cfg.Topics.Of(cfg.CP, wire.KindCommand), QoS: 1},
		},
		Handler: u.receive,
		OnUp:    u.runSender,
		OnDown:  func(conn uint64, _ error) { deps.Post(point.Disconnected{Conn: conn}) },
	})
	if err != nil {
		return nil, fmt.Errorf("uplink of %s: %w", cfg.CP, err)
	}
	u.link = link
	return u, nil
}

// Run works until ctx ends, however long the broker is away. It then publishes
// that the charging point is offline, and returns when its goroutines have ended.
func (u *Uplink) Run(ctx context.Context) error { return u.link.Run(ctx) }

// Link is the state of the connection.
func (u *Uplink) Link() mqttlink.State { return u.link.State() }

// receive passes a message to the core. One that cannot be decoded is logged.
func (u *Uplink) receive(m mqttlink.Message) {
	_, kind, err := u.cfg.Topics.Parse(m.Topic)
	switch {
	case err == nil && kind == wire.KindCommand:
		u.deps.Post(point.CommandReceived{Raw: m.Payload, ReceivedAt: u.deps.Uptime()})
		return
	case err == nil && kind == wire.KindAck:
		var ack wire.Ack
		if ack, err = wire.DecodeAck(m.Payload); err == nil {
			crashpoint.At(crashpoint.Acknowledged)
			u.deps.Post(point.AckReceived{Ack: ack, Live: !m.Retained})
			return
		}
	}
	u.log.Warn("message refused", logs.Topic(m.Topic), logs.Err(err))
	u.deps.Post(point.BadMessage{})
}

// errCentralSilent ends a connection on which Central is silent.
var errCentralSilent = errors.New("nothing received from Central for too long; subscribing again")

// on calls do with the sender of a connection, if that is still the last one.
func (u *Uplink) on(conn uint64, do func(*sender)) {
	if s := u.sender.Load(); s != nil && s.conn.Number() == conn {
		do(s)
	}
}

// Send publishes records, as far as they are not acknowledged by then.
func (u *Uplink) Send(f point.Send) { u.on(f.Conn, func(s *sender) { s.send(f.First, f.Last) }) }

// Skip lets the sender leave out records up to i, which are acknowledged.
func (u *Uplink) Skip(i delivery.Index) {
	if s := u.sender.Load(); s != nil {
		s.skip(i)
	}
}

// Presence publishes the presence.
func (u *Uplink) Presence(f point.PublishPresence) {
	u.on(f.Conn, func(s *sender) { s.setPresence(f.Presence) })
}

// Telemetry publishes telemetry.
func (u *Uplink) Telemetry(f point.PublishTelemetry) {
	u.on(f.Conn, func(s *sender) { s.setTelemetry(f.Telemetry) })
}

// Reconnect replaces the connection by a new one.
func (u *Uplink) Reconnect(f point.Reconnect) {
	u.on(f.Conn, func(s *sender) { s.conn.Leave(errCentralSilent) })
}

// offline is the last will of a connection, and its last message before a clean
// stop. It may be called on any goroutine.
func (u *Uplink) offline(conn uint64) *mqttlink.Note {
	p := u.deps.Offline(conn)
	raw, err := p.Encode()
	if err != nil {
		u.log.Error("last will cannot be written", logs.Err(err))
		return nil
	}
	return &mqttlink.Note{Topic: u.topic(wire.KindPresence), Payload: raw, QoS: 1, Retained: true}
}

func (u *Uplink) topic(k wire.Kind) string { return u.cfg.Topics.Of(u.cfg.CP, k) }
