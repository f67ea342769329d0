package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/systemd"
	"github.com/carga-ev/carga/internal/wire"
)

// ErrKilled is a cause of the end of Run's context: it ends the agent as a kill
// of the process would: nothing more is written. For tests.
var ErrKilled = errors.New("killed")

// Deps are what tests and the demo put in the place of the world. The zero
// value is the world.
type Deps struct {
	Log *slog.Logger // nil: none
	// Board is used instead of the configured hardware; its owner closes it.
	Board hal.Board
	// Open opens the journal; nil: that in the configured folder.
	Open func(JournalOptions) (Journal, Recovered, error)
	// Dial opens the connection to the broker instead of the network.
	Dial func(ctx context.Context, broker *url.URL) (net.Conn, error)
	// Clock is the wall clock and its quality; nil: the system's.
	Clock func() (time.Time, charge.ClockQuality)
	// Keys is where somebody types at simulated hardware; nil: nobody does.
	Keys io.Reader
	// OnRecords, if set, is called with the records that a step of a connector
	// asks to write, and the state after that step. It is called on the
	// connector's goroutine before they are durable, and must not wait.
	OnRecords func(connector.State, []connector.Record)
	// Listener serves health and metrics of one boot in place of observe.listen;
	// Run closes it.
	Listener net.Listener
	// Notify tells the service manager; the zero value tells nobody.
	Notify systemd.Notifier
}

// Agent is the agent of one charging point.
type Agent struct {
	cfg     Config
	deps    Deps
	current atomic.Pointer[running]
}

// New takes the configuration, which Validate has found good. It starts
// nothing.
func New(cfg Config, deps Deps) *Agent {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	deps.Log = deps.Log.With(logs.CP(cfg.CPID))
	return &Agent{cfg: cfg, deps: deps}
}

// Run is New and Agent.Run.
func Run(ctx context.Context, cfg Config, deps Deps) error { return New(cfg, deps).Run(ctx) }

// Run works until ctx ends and then stops in good order, or until the hardware
// cannot be opened or the journal takes no more, which is an error. It may be
// called again after it has returned: that is another boot.
func (a *Agent) Run(ctx context.Context) (err error) {
	if l := a.deps.Listener; l != nil {
		defer func() { _ = l.Close() }() // whoever served it has closed it already
	}
	board, err := a.openBoard(ctx)
	if err != nil {
		return fmt.Errorf("open the hardware: %w", err)
	}
	defer func() { // before all else, on error and on panic
		err = errors.Join(err, board.SafeState())
		if a.deps.Board == nil {
			err = errors.Join(err, board.Close())
		}
	}()
	if err := board.SafeState(); err != nil {
		return fmt.Errorf("open the contactors: %w", err)
	}
	deps := a.deps
	if deps.Open == nil {
		deps.Open = OnDisk(a.cfg.DataDir, deps.Log)
	}
	r, err := a.boot(ctx, deps, board)
	if err != nil || r == nil {
		return err
	}
	a.current.Store(r)
	return r.serve(ctx)
}

// Status is what is known of an agent from outside.
type Status struct {
	Journal    charge.JournalID
	Recorded   int64 // records of this boot that are durable
	Held       int64 // records of all boots on the disk
	Unacked    int64 // records of all boots that Central has not acknowledged
	Link       mqttlink.State
	Health     wire.Health
	Connectors []wire.ConnectorTelemetry
}

// Status returns what is known now; zero before the first boot. It may be
// called at any time, also after Run has returned.
func (a *Agent) Status() Status {
	r := a.current.Load()
	if r == nil {
		return Status{}
	}
	t := readings{r}.Telemetry()
	return Status{
		Journal: r.journal, Recorded: r.recorder.writtenRecords(), Unacked: t.Health.Unacked, Link: r.up.Stats().Link,
		Health: t.Health, Connectors: t.Connectors, Held: held(r.log.Held()),
	}
}

// held counts records.
func held(h delivery.Held) (n int64) {
	for _, r := range h.Ranges {
		n += int64(r.Last-r.First) + 1
	}
	return n
}
