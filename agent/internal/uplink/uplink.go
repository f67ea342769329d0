package uplink

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/wire"
)

// Records is the journal as the uplink needs it. Its methods may be called
// concurrently.
type Records interface {
	// Held is which records the disk holds durably. It is fast.
	Held() delivery.Held
	// Read returns the bytes of one record held, as they were journalled. The
	// caller does not change them. An error leaves the record unsent until the
	// next probe.
	Read(i delivery.Index) ([]byte, error)
	// Changed receives a value after Held has changed; its capacity is 1.
	Changed() <-chan struct{}
}

// Positions remembers what Central acknowledged.
type Positions interface {
	// Position is the position on disk at boot; zero when there was none.
	Position() delivery.Position
	// SavePosition saves a position, without a sync, and allows all records up to
	// acked to be deleted by the rules of retention. After an error more records
	// are sent again after the next boot, nothing else.
	SavePosition(p delivery.Position, acked delivery.Index) error
}

// Handler receives what Central sent. Its methods are called on the uplink's
// loop, in order, and must not wait.
type Handler interface {
	// Command receives every decided command, also those without an effect.
	Command(v delivery.Verdict)
	// RolledBack: Central holds more of an older journal than the disk, which is to
	// be recorded as an anomaly.
	RolledBack(r delivery.RolledBack)
	// CentralTime receives Central's clock at this moment, from an acknowledgement
	// that came live.
	CentralTime(central charge.Time)
}

// TelemetrySource is where telemetry comes from.
type TelemetrySource interface {
	// Telemetry returns the present values with all fields filled in; IntervalMS is
	// when the next are due. It is called on the uplink's loop and is fast.
	Telemetry() wire.Telemetry
	// Wall is the wall clock and its quality.
	Wall() (charge.Time, charge.ClockQuality)
}

// Config is the identity of the agent and the way to the broker.
type Config struct {
	CP      charge.CPID
	Journal charge.JournalID // of this boot
	Started time.Time        // of this boot, with its monotonic reading
	Topics  wire.Topics
	// Brokers, Username, Password, TLS, KeepAlive and Open are those of
	// mqttlink.Config. The client id is the CP.
	Brokers            []string
	Username, Password string
	TLS                *tls.Config
	KeepAlive          time.Duration
	Open               func(ctx context.Context, broker *url.URL) (net.Conn, error)
	// Rand is the source of jitter for probes and connection attempts; nil for one
	// with a random seed.
	Rand *rand.Rand
	// Alive, if set, is called in each iteration of the loop, at least each second
	// while it does not hang. It must not wait.
	Alive func()
	Log   *slog.Logger // nil for none
}

// Deps are the parts of the agent that the uplink uses.
type Deps struct {
	Records   Records
	Positions Positions
	Handler   Handler
	Source    TelemetrySource
}

// Uplink exchanges messages with Central for one boot of one charging point. Its
// methods may be called concurrently.
type Uplink struct {
	cfg   Config
	deps  Deps
	link  *mqttlink.Link
	rand  *rand.Rand
	log   *slog.Logger
	inbox inbox

	// What follows is owned by the loop.
	state            delivery.State
	sender           *sender // of the connection that is up; nil without one
	presenceSchedule delivery.PresenceSchedule
	telemetryAt      time.Duration
	alarm            string

	mu sync.Mutex
	// mu guards everything that follows.
	commands *delivery.Commands
	stats    Stats
	// changed is closed and replaced whenever stats change.
	changed chan struct{}
}

// New checks the configuration and makes an uplink. It starts nothing.
func New(cfg Config, deps Deps) (*Uplink, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Alive == nil {
		cfg.Alive = func() {}
	}
	u := &Uplink{
		cfg: cfg, deps: deps, log: cfg.Log, rand: cfg.Rand,
		inbox:    inbox{wake: make(chan struct{}, 1)},
		commands: delivery.NewCommands(cfg.CP, cfg.Journal),
		changed:  make(chan struct{}),
	}
	if u.rand == nil {
		u.rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	link, err := mqttlink.New(mqttlink.Config{
		Brokers: cfg.Brokers, ClientID: string(cfg.CP), CleanSession: true, KeepAlive: cfg.KeepAlive,
		TLS: cfg.TLS, Username: cfg.Username, Password: cfg.Password, Open: cfg.Open,
		Rand: rand.New(rand.NewPCG(u.rand.Uint64(), u.rand.Uint64())), Log: cfg.Log,
		Will: u.offlinePresence, Farewell: u.offlinePresence,
		Subscriptions: []mqttlink.Subscription{
			{Filter: cfg.Topics.Of(cfg.CP, wire.KindAck), QoS: 1},
			{Filter: cfg.Topics.Of(cfg.CP, wire.KindCommand), QoS: 1},
		},
		Handler: func(m mqttlink.Message) { u.inbox.put(message{Message: m, at: u.now()}) },
		OnUp:    u.runSender,
		OnDown:  func(conn uint64, _ error) { u.inbox.put(disconnected{conn}) },
	})
	if err != nil {
		return nil, fmt.Errorf("uplink of %s: %w", cfg.CP, err)
	}
	u.link = link
	return u, nil
}

// Run works until ctx ends, however long broker or Central are away. It then
// publishes that the charging point is offline, and returns when its goroutines
// have ended.
func (u *Uplink) Run(ctx context.Context) error {
	u.step(delivery.Booted{Held: u.deps.Records.Held(), Position: u.deps.Positions.Position()})
	linked := make(chan error, 1) // one result
	go func() { linked <- u.link.Run(ctx) }()
	u.loop(ctx)
	return <-linked
}

// Drain waits until Central has acknowledged all records that are held,
// including those not yet sent, or until ctx ends.
func (u *Uplink) Drain(ctx context.Context) error {
	for {
		s, changed := u.snapshot()
		last := u.deps.Records.Held().Last()
		if s.Acked >= last {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d records wait for Central: %w", last-s.Acked, ctx.Err())
		}
	}
}

// EndSession reports that a session has ended in this boot: no command begins it
// again.
func (u *Uplink) EndSession(id charge.SessionID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.commands.EndSession(id)
}

// EndReservation reports that a reservation has ended in this boot: no command
// begins it again. One that a session used ends with that session.
func (u *Uplink) EndReservation(id charge.ReservationID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.commands.EndReservation(id)
}

func (u *Uplink) now() time.Duration { return time.Since(u.cfg.Started) }

// deliveryNow is the time of an event of delivery, with a random number.
func (u *Uplink) deliveryNow() delivery.Now {
	return delivery.Now{At: u.now(), Rand: u.rand.Uint64()}
}
