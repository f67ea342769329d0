package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/internal/control"
	"github.com/carga-ev/carga/agent/internal/panel"
	"github.com/carga-ev/carga/agent/internal/recorder"
	"github.com/carga-ev/carga/agent/internal/uplink"
	"github.com/carga-ev/carga/agent/limits"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/buildinfo"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/wire"
)

// running is one boot of the agent: everything that each call of Agent.Run makes
// again. boot makes it, serve runs it.
//
// The fields are set by boot and not changed afterwards, unless they guard
// themselves.
type running struct {
	cfg     Config
	deps    Deps
	logger  *slog.Logger
	clock   *clock
	board   hal.Board
	outlets []*control.Outlet // by number, from 1 on; so are meters
	control *control.Loop
	meters  []*meterReader
	reader  cardReader
	// outputTrouble is why a relay may outlive this process; empty: it does not, or
	// there is none.
	outputTrouble string
	panel         frontPanel
	// operator operates simulated hardware.
	operator *operator
	log      Journal // the records of this boot and of those before
	writer   *writer
	up       *uplink.Uplink
	watch    *observe.Server
	recorder *recorder.Recorder // nil: there is none

	inbox  *inbox // of the core
	config point.Config
	view   atomic.Pointer[point.View] // of the core, after its last step
	// progress is what the core's views have shown so far, for the page.
	progress panel.Progress

	// What follows is owned by boot, and then by runCore.
	core  *point.State
	timer *time.Timer
	alarm string // of delivery, as last logged

	ended, drained chan struct{} // closed by point.Ended and point.Drained

	oldestMu sync.Mutex
	// oldestMu guards everything that follows: the time of the first record that
	// is not acknowledged. It is read once per record, since health asks often.
	oldestIndex delivery.Index
	oldestAt    charge.Time
}

// boot opens the journal, restores the connectors, and writes cp_registered.
// No goroutine runs yet. After an error only the board is open.
func boot(ctx context.Context, cfg Config, deps Deps, board hal.Board) (*running, error) {
	r := &running{
		cfg: cfg, deps: deps, logger: deps.Log, clock: newClock(deps.Clock), board: board,
		inbox: &inbox{wake: make(chan struct{}, 1)}, timer: time.NewTimer(time.Hour), ended: make(chan struct{}), drained: make(chan struct{}),
	}
	r.view.Store(&point.View{})
	r.watch = observe.NewServer(metricPrefix, r.checkHealth, r.families, r.logger)
	// Hardware first: without it there is no boot, and the journal stays as it is.
	if err := r.openDevices(); err != nil {
		return nil, err
	}
	r.checkOutputs()
	wall, _ := r.clock.wall()
	r.config = r.configure(charge.JournalID(ids.New(wall.Std(), rand.Reader)))
	r.writer = &writer{
		post: r.inbox.put, uptime: r.clock.at, log: r.logger, jobs: make(chan point.Effect, 1), failed: make(chan error, 1),
	}
	var found Recovered
	var err error
	r.log, found, err = deps.Open(JournalOptions{CP: cfg.CPID, Journal: r.config.Journal, Checkpoint: r.writer.checkpoint})
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	r.writer.journal = r.log
	if err := r.restore(ctx, found); err != nil {
		return nil, errors.Join(err, r.log.Close())
	}
	return r, nil
}

// configure is what the core must know of this boot.
func (r *running) configure(id charge.JournalID) point.Config {
	info, p, i := r.board.Info(), r.cfg.Policies, r.cfg.Intervals
	c := point.Config{
		CP: r.cfg.CPID, Journal: id, Agent: buildinfo.Version(), Name: r.cfg.Name, Place: r.cfg.Place,
		Capabilities: []string{"reserve", "remote_start", "limit", wire.CapabilityCardLimits}, Simulated: r.operator.simulator != nil, Lights: r.panel.lights,
		Policy: connector.Policy{
			Resume: p.Resume, ReservedPlugStarts: p.ReservedPlugStarts, FreeVend: p.FreeVend, Vent: info.Vent, Steered: info.Steered,
			Lock:  slices.ContainsFunc(r.outlets, (*control.Outlet).HasLock),
			Rated: info.RatedPower, SampleEnergy: i.MeterReadWh, SampleInterval: i.MeterRead,
		},
		Cards:  r.cfg.Cards.policy(),
		Limits: limits.Policy{Most: r.cfg.Limits.Max, Safe: r.cfg.Limits.Safe}, MaxCurrent: info.MaxCurrent,
		Telemetry: i.Telemetry, IdleTelemetry: i.IdleTelemetry,
	}
	if c.Simulated {
		c.Capabilities = append(c.Capabilities, "simulate")
	}
	if r.control.HasKeeper() {
		c.Capabilities = append(c.Capabilities, "keeper")
	}
	slices.Sort(c.Capabilities)
	return c
}

// restore boots the core from the journal and from what the hardware shows, and
// writes record 1.
//
// The order matters. The contactors are open before the meters are read, so that
// the registers at boot are final; record 1 is durable before anything else
// happens.
func (r *running) restore(ctx context.Context, found Recovered) error {
	saved, err := connector.Restore(found.Checkpoint, found.Records, len(r.outlets))
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	if err := r.makeUplink(); err != nil {
		return err
	}
	r.awaitOpen(ctx)
	f := point.Recovered{Saved: saved, After: found.After, Damaged: found.Damaged, Position: r.log.Position()}
	for i, o := range r.outlets {
		if saved[i].Register > 0 {
			o.ResumeMeter(saved[i].Register)
		}
		r.control.Restore(o.ID, saved[i].LatchedFaults())
		f.Outlets = append(f.Outlets, r.look(ctx, o))
	}
	r.control.Delay(r.startDelay(f))
	var effects []point.Effect
	if open := r.deps.Recorder; open != nil {
		r.recorder = recorder.New(open, &r.config, r.logger)
	}
	now := r.now()
	r.core, effects = point.Boot(r.config, now, f)
	r.recorder.Boot(r.config, now, f, effects)
	for _, f := range effects {
		if first, ok := f.(point.Append); !ok {
			r.perform(f)
		} else if err := r.writer.append(first.Batch); err != nil {
			return fmt.Errorf("register: %w", err)
		}
	}
	info := r.board.Info()
	r.logger.Info("registered", logs.Journal(r.config.Journal), slog.String("board", info.Model), slog.Int("connectors", info.Connectors))
	for _, e := range r.inbox.drain() {
		r.step(e)
	}
	return nil
}

// look reads the hardware of a connector at boot. A meter that does not answer now
// is read again later.
func (r *running) look(ctx context.Context, o *control.Outlet) point.Outlet {
	pilot, err := o.PilotState()
	if err != nil {
		pilot = charge.PilotUnknown // the control loop reports it once it can be read
	}
	reading, err := readMeter(ctx, o, r.clock)
	if err != nil {
		r.logger.Warn("meter does not answer", logs.Connector(o.ID), logs.Err(err))
	}
	return point.Outlet{Pilot: pilot, Reading: reading, HasReading: err == nil}
}

// makeUplink makes the uplink of this boot. The password is read here, at each
// boot, so that a new one needs no other configuration.
func (r *running) makeUplink() error {
	m := &r.cfg.MQTT
	password, err := config.ReadSecret(m.PasswordFile)
	if err != nil {
		return fmt.Errorf("mqtt.password_file: %w", err)
	}
	r.up, err = uplink.New(uplink.Config{
		CP: r.cfg.CPID, Topics: wire.Topics{Prefix: m.TopicPrefix},
		Brokers: []string{m.URL}, Username: m.Username, Password: password, KeepAlive: m.KeepAlive, Open: r.deps.Dial, Log: r.logger,
	}, uplink.Deps{
		Post: r.inbox.put, Uptime: r.clock.at, Read: r.log.Read, Complete: r.complete,
		Offline: func(conn uint64) wire.Presence {
			wall, _ := r.clock.wall()
			return r.config.Presence(conn, false, wall)
		},
	})
	return err
}
