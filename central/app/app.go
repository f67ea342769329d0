package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/outbox"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/internal/web"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/metrics/prom"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/process"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/systemd"
)

// Breaker disconnects and reconnects parts of the demo from the page.
type Breaker interface {
	// Cut stops "mqtt", "kafka" or "bridge"; Restore starts it again. An
	// unknown part is an error.
	Cut(part string) error
	Restore(part string) error
}

// Deps is what Central gets from its caller besides its configuration. The zero
// value of each field stands for the real thing.
type Deps struct {
	Log *slog.Logger
	// Dial connects to Kafka; nil means over the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Listener serves the page instead of http.listen. Run closes it.
	Listener net.Listener
	// Breaker lets the page cut parts; nil outside the demo.
	Breaker Breaker
	// SignInKey signs in as an admin, at /signin?key= or as a token; "" outside the
	// demo.
	SignInKey string
	// LogTail returns the end of the log, for the support bundle; nil: it is not there.
	LogTail func() []byte
	// Notify notifies the service manager; the zero value does nothing.
	Notify systemd.Notifier
	// Started is called once the page is served.
	Started func(*Central)
}

// Central is a running Central, for a caller in the same process. Its methods
// may be called concurrently while Run runs.
type Central struct {
	addr  net.Addr
	store *store.Store
	live  *ingest.Live
}

// Addr returns the address at which the page is served.
func (c *Central) Addr() net.Addr { return c.addr }

// Totals are sums over the whole database, for a caller that compares them with
// what happened.
type Totals struct {
	store.Totals
	Applied     int64 // journal records in the database
	Duplicates  int64 // deliveries of records known already
	DeadLetters int64
	Lost        int64 // records in gaps
}

// Totals sums up the database. It reads whole tables.
func (c *Central) Totals(ctx context.Context) (Totals, error) {
	sums, err := c.store.Totals(ctx, charge.At(time.Now()))
	b := c.live.Network().Books
	return Totals{Totals: sums, Applied: b.Applied, Duplicates: b.Duplicates, DeadLetters: b.DeadLetters, Lost: b.Lost}, err
}

// LedgerHash returns ledger.Hash of the whole database: two Centrals with the
// same hash know the same. It reads whole tables, and is exact only while
// nothing is written.
func (c *Central) LedgerHash(ctx context.Context) (string, error) { return c.store.Hash(ctx) }

// Run runs a Central until ctx ends, which is no error. cfg must have been
// validated. Run returns an error if the database or the page's address cannot
// be used, or if a component failed for good. All its goroutines have ended
// when it returns.
func Run(ctx context.Context, cfg Config, deps Deps) (err error) {
	log := deps.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if deps.Listener == nil { // only without Config.Validate
		if err := cfg.checkAccess(); err != nil {
			return err
		}
	}
	s, err := openStore(ctx, cfg, deps.Listener != nil, log)
	if err != nil || s == nil {
		return errors.Join(err, closeListener(deps.Listener))
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l, err := listen(ctx, cfg, deps.Listener, log)
	if err != nil {
		return err
	}
	c, err := newComponents(ctx, cfg, deps, s, log)
	if err != nil {
		return errors.Join(err, closeListener(l))
	}
	served := func(l net.Listener) {
		log.Info("page is served", slog.String("addr", l.Addr().String()))
		if deps.Started != nil {
			deps.Started(&Central{addr: l.Addr(), store: s, live: c.live})
		}
	}
	if l != nil {
		served(l)
	}
	return c.run(ctx, deps.Notify, func(ctx context.Context) error {
		if l == nil {
			if l = process.ListenLater(ctx, cfg.HTTP.Listen, func(error) {}); l == nil {
				return nil
			}
			served(l)
		}
		return c.web.Run(ctx, l)
	})
}

func closeListener(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// listen opens the address of the page. It returns nil if this machine does not
// have that address yet; then Central works without a page and tries again. Any
// other error ends the start, because only a changed configuration can fix it.
func listen(ctx context.Context, cfg Config, given net.Listener, log *slog.Logger) (net.Listener, error) {
	if given != nil {
		return given, nil
	}
	l, err := process.Listen(ctx, cfg.HTTP.Listen)
	switch {
	case err == nil:
		return l, nil
	case process.NotThereYet(err):
		log.Error("the page is not served; trying again", slog.String("addr", cfg.HTTP.Listen), logs.Err(err))
		return nil, nil //nolint:nilnil // no listener yet
	}
	return nil, fmt.Errorf("http.listen %s: %w", cfg.HTTP.Listen, err)
}

// components are the parts of a Central, connected to each other.
type components struct {
	live     *ingest.Live
	writer   *ingest.Writer
	outbox   *outbox.Outbox
	kafka    *kafkaIO
	web      *web.Server
	watch    *observe.Server
	counters *counters
}

// newComponents connects the components and starts none of them. The writer and
// the Kafka side need each other, so the latter gets the writer at the end.
func newComponents(ctx context.Context, cfg Config, deps Deps, s *store.Store, log *slog.Logger) (*components, error) {
	c := &components{live: ingest.NewLive(cfg.Tariff.ledger())}
	c.newWatch(log)
	var err error
	if c.kafka, err = newKafkaIO(cfg, deps.Dial, s, c.live, c.watch, log); err != nil {
		return nil, err
	}
	wake := func() { c.outbox.Wake() }
	writing := writerConfig(cfg)
	writing.Hooks = c.writerHooks()
	c.writer = ingest.New(writing, ingestStore{s}, c.kafka, c.live, wake, log)
	c.outbox = outbox.New(outboxTable{s, c.writer}, c.kafka, c.writer.OutboxSent, c.live.Active, c.watch.Loop("outbox").Beat, log)
	c.kafka.writer = c.writer
	var breaker web.Breaker
	if deps.Breaker != nil {
		c.live.SetDemo()
		breaker = deps.Breaker
	}
	public, err1 := cfg.HTTP.publicURL()
	proxies, _, err2 := cfg.HTTP.proxies()
	certificate, err3 := cfg.Web.TLS.certificate(log)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	keeper, err := newAccounts(ctx, &cfg, &deps, accessStore{s, c.live}, log)
	if err != nil {
		return nil, err
	}
	c.web, err = web.New(web.Config{ //nolint:contextcheck // each operation has the context of its request
		Accounts: keeper, TLS: certificate, ProxyAlone: certificate == nil && !cfg.onLoopback(),
		PublicURL: public, TrustedProxies: proxies, Observe: c.watch.Handler(prom.Handler(c.watch.Families)), Support: supportFiles(&cfg, deps.LogTail),
	}, c.live, operatorAPI{c.writer}, archive{s.Archive(), c.live}, breaker, log)
	return c, err
}

// writerConfig returns the writer's part of the configuration. Answers to
// drivers are kept as long as their topic, so that no request is read again
// after its answer is gone.
func writerConfig(cfg Config) ingest.Config {
	t := &cfg.Kafka.Topics
	return ingest.Config{
		Topics: ingest.Topics{
			Events: t.Events.Name, Telemetry: t.Telemetry.Name, Monitor: t.Monitor.Name, Commands: t.Commands.Name,
			Drivers: t.DriverEvents.Name, Central: t.CentralEvents.Name, DeadLetters: t.DeadLetters.Name,
		},
		Orders: cfg.orders(), Default: cfg.Tariff.ledger(), Admit: cfg.Network.AdmitAutomatically, Takeover: cfg.Takeover,
		SilentAfter: cfg.Network.SilentSessionAfter,
		KeepAnswers: t.DriverEvents.Retention, Keep: cfg.Database.Retention,
		IDs: func() string { return ids.New(time.Now(), rand.Reader) },
		Run: newRun(),
	}
}

// newRun returns the run part of this start's epoch: 16 random hex digits. Two
// starts on copies of one database have the same number but, by this, not the
// same epoch.
func newRun() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// run runs all components until ctx ends or one of them fails for good. It
// returns after all of them have ended. ctx's own end is no error; a component
// that failed cancels the others with its error as the cause.
func (c *components) run(ctx context.Context, manager observe.Manager, page func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	start := func(fn func(context.Context) error) {
		running.Go(func() {
			if err := fn(ctx); err != nil {
				cancel(err)
			}
		})
	}
	quiet := func(fn func(context.Context)) func(context.Context) error {
		return func(ctx context.Context) error {
			fn(ctx)
			return nil
		}
	}
	start(c.writer.Run)
	start(quiet(c.writer.Pulse))
	start(quiet(c.outbox.Run))
	start(c.kafka.run)
	start(quiet(c.watch.Run))
	start(page)
	start(quiet(func(ctx context.Context) { c.watch.Report(ctx, manager) }))
	running.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// ingestStore is the database as package ingest needs it.
type ingestStore struct{ *store.Store }

var _ ingest.Store = ingestStore{}

// Write implements ingest.Store.
func (s ingestStore) Write(ctx context.Context, fn func(ingest.Tx) error) error {
	return s.Store.Write(ctx, func(tx *store.Tx) error { return fn(tx) })
}

// Trouble implements ingest.Store.
func (ingestStore) Trouble(err error) (why reason.Reason, r ingest.Remedy) {
	why, remedy := store.Diagnose(err)
	return why, ingest.Remedy(remedy)
}
