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
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/wire"
)

// ErrKilled is the cause of the end of Run's context that ends the agent as a kill
// of the process would: it writes nothing more. For tests.
var ErrKilled = errors.New("killed")

// Deps replace the agent's surroundings in tests and simulations. The zero value
// is the real ones: the configured hardware, the disk, the network and the
// system's clock.
type Deps struct {
	Log *slog.Logger // nil: no log
	// Board is used instead of the configured hardware; its owner closes it.
	Board hal.Board
	// MaxGap, if it is longer than that of package safety, is how late a tick of the
	// control loop may come. It counts for simulated hardware alone, of which many in one
	// process may wait for each other.
	MaxGap time.Duration
	// Open opens the journal; nil: OnDisk in the configured folder.
	Open func(JournalOptions) (Journal, Recovered, error)
	// Recorder opens the folder of the flight recorder; nil: there is none. It is
	// called again while it fails.
	Recorder func() (journal.FS, error)
	// Dial opens the connection to the broker instead of the network.
	Dial func(ctx context.Context, broker *url.URL) (net.Conn, error)
	// Clock is the wall clock and its quality; nil: the system's.
	Clock func() (time.Time, charge.ClockQuality)
	// StrictGPIOD reports whether the kernel makes an output that is released an input
	// again; nil: by its settings.
	StrictGPIOD func() (bool, error)
	// MachineUptime is how long the computer has been running; nil: by its kernel.
	MachineUptime func() time.Duration
	// Keys is the terminal whose keys operate simulated hardware; nil: none.
	Keys io.Reader
	// OnRecords, if set, is called with the records that a step of a connector
	// asks to write, and the state after that step. It is called on the
	// core's goroutine before they are durable, and must not wait.
	OnRecords func(connector.State, []connector.Record)
	// Listener serves health and metrics of one boot in place of observe.listen;
	// Run closes it.
	Listener net.Listener
	// Notify notifies the service manager; nil: there is none.
	Notify observe.Manager
}

// Agent is the agent of one charging point. New makes it, Run runs it; Status
// may be called from any goroutine.
type Agent struct {
	cfg  Config
	deps Deps
	// current is the present boot, or the last one; nil before the first.
	current atomic.Pointer[running]
}

// New makes an agent. The configuration must have passed Validate. It starts
// nothing.
func New(cfg Config, deps Deps) *Agent {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.StrictGPIOD == nil {
		deps.StrictGPIOD = rpi.StrictGPIOD
	}
	if deps.MachineUptime == nil {
		deps.MachineUptime = machineUptime
	}
	deps.Log = deps.Log.With(logs.CP(cfg.CPID))
	return &Agent{cfg: cfg, deps: deps}
}

// Run is New and Agent.Run.
func Run(ctx context.Context, cfg Config, deps Deps) error { return New(cfg, deps).Run(ctx) }

// Run boots the agent and works until ctx ends, and then stops in good order.
// It returns an error when the hardware cannot be opened or when the journal
// fails. Run may be called again after it has returned: that is another boot,
// with a new journal.
func (a *Agent) Run(ctx context.Context) (err error) {
	if l := a.deps.Listener; l != nil {
		defer func() { _ = l.Close() }() // a second close, once it was served
	}
	board, err := a.openBoard(ctx)
	if err != nil {
		return fmt.Errorf("open the hardware: %w", err)
	}
	defer func() { // registered first, so that it also runs after an error and a panic
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

// Status is the state of an agent as its owner sees it.
type Status struct {
	Journal    charge.JournalID
	Recorded   int64 // records of this boot that are durable
	Held       int64 // records of all boots on the disk
	Unacked    int64 // records of all boots that Central has not acknowledged
	Link       mqttlink.State
	Health     wire.Health
	Connectors []wire.ConnectorTelemetry
	Drivers    []charge.Username // of the sessions, one for each connector; empty without
}

// Status returns the present state; zero before the first boot. It may be called
// at any time, also after Run has returned.
func (a *Agent) Status() Status {
	r := a.current.Load()
	if r == nil {
		return Status{}
	}
	t, v := r.telemetry(), r.view.Load()
	drivers := make([]charge.Username, len(v.Connectors))
	for i := range v.Connectors {
		drivers[i] = v.Connectors[i].Session.Username
	}
	return Status{
		Journal: r.config.Journal, Recorded: v.Written, Unacked: t.Health.Unacked, Link: r.up.Link(),
		Health: t.Health, Connectors: t.Connectors, Drivers: drivers, Held: held(r.log.Held()),
	}
}

// ResetLatch ends the faults of connector n that the safety rules have latched, after
// a person has repaired their cause. It does nothing before the first boot.
func (a *Agent) ResetLatch(n charge.ConnectorID) {
	if r := a.current.Load(); r != nil && n >= 1 && int(n) <= len(r.outlets) {
		r.outlets[n-1].ResetLatch()
	}
}

// held counts the records held.
func held(h delivery.Held) (n int64) {
	for _, r := range h.Ranges {
		n += int64(r.Last-r.First) + 1
	}
	return n
}
