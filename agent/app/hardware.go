package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/carga-ev/carga/agent/internal/control"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/hal/sim/board"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
)

// openBoard opens the configured hardware. It waits for a board in another
// process until ctx ends.
func (a *Agent) openBoard(ctx context.Context) (hal.Board, error) {
	if a.deps.Board != nil {
		return a.deps.Board, nil
	}
	switch h := &a.cfg.Hardware; h.Kind {
	case HardwareSim:
		return sim.New(h.Sim.config(a.cfg.CPID))
	case HardwareBoard:
		a.deps.Log.Info("waiting for the board", slog.String("socket", h.Board.Socket))
		return board.Dial(ctx, board.Unix(h.Board.Socket))
	case HardwareRPi:
		wiring, err := h.RPi.wiring()
		if err != nil {
			return nil, err
		}
		return rpi.Open(wiring)
	default:
		return nil, fmt.Errorf("hardware %q is unknown", h.Kind)
	}
}

// openDevices gets the devices of every connector and makes what works with them.
func (r *running) openDevices() error {
	info := r.board.Info()
	if most := r.cfg.Limits.Max; most > 0 && most < info.MaxCurrent && !info.Steered {
		return fmt.Errorf("limits.max_ma is %d mA, but the pilot of this board does not steer the vehicle, which may draw %d mA: "+
			"set it to 0, and the current of the board to what the installation carries", most, info.MaxCurrent)
	}
	for n := range info.Connectors {
		o, err := control.NewOutlet(r.board, charge.ConnectorID(n+1))
		if err != nil {
			return fmt.Errorf("connector %d: %w", n+1, err)
		}
		r.outlets = append(r.outlets, o)
	}
	r.operator = &operator{outlets: r.outlets, post: r.inbox.put, log: r.logger, wake: make(chan struct{}, 1)}
	if info.Simulated {
		r.operator.simulator, _ = r.board.(hal.Simulator)
	}
	for _, o := range r.outlets {
		r.meters = append(r.meters, &meterReader{
			outlet: o, post: r.inbox.put, clock: r.clock, every: r.cfg.Intervals.Meter, log: r.logger, wanted: make(chan struct{}, 1),
			loop: r.watch.LoopWithin(fmt.Sprintf("meter_%d", o.ID), hangsAfter+r.cfg.Intervals.Meter),
		})
	}
	if err := errors.Join(r.openReader(), r.openPanel()); err != nil {
		return err
	}
	c := control.Config{
		Board: r.board, Outlets: r.outlets, Period: r.cfg.Intervals.Control, Uptime: r.clock.at,
		MeterEvery: r.cfg.Intervals.Meter, Reports: observed{r.inbox},
		Beat: r.watch.LoopWithin("control", control.HealthyWithin).Beat, Log: r.logger,
	}
	if r.board.Info().Simulated {
		c.MaxGap = r.deps.MaxGap
	}
	if r.deps.Recorder != nil {
		c.Tripped = r.tripped
	}
	var err error
	r.control, err = control.New(c)
	return err
}

// tripped records a trip of the control loop.
func (r *running) tripped(t safety.Trip) {
	now := r.clock.now()
	r.recorder.Trip(now.Wall.Add(t.Ticks[len(t.Ticks)-1].In.Now-now.At), t)
}

// awaitOpen waits until every contactor is measured open, so that the registers
// read at boot do not move any more. It waits for hal.MaxAgentGone at most; the
// control loop raises the fault of a contactor that does not open.
func (r *running) awaitOpen(ctx context.Context) {
	deadline := time.NewTimer(hal.MaxAgentGone)
	defer deadline.Stop()
	tick := time.NewTicker(r.cfg.Intervals.Control)
	defer tick.Stop()
	for _, o := range r.outlets {
		for {
			state, err := o.Feedback()
			if errors.Is(err, hal.ErrNotFitted) || err == nil && state == hal.ContactOpen {
				break
			}
			select {
			case <-tick.C:
				continue
			case <-deadline.C:
				r.logger.Error("contactor is not measured open", logs.Connector(o.ID), slog.String("state", state.String()), logs.Err(err))
				return
			case <-ctx.Done():
				return
			}
		}
	}
}
