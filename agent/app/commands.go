package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/wire"
)

// commandHandler receives Central's orders from the uplink, answers those that have no
// effect, and hands the others to the machines. It is the uplink's Owner.
type commandHandler struct {
	clock     *clock
	recorder  *recorder
	machines  []*machine
	simulator hal.Simulator // nil: real hardware
	log       *slog.Logger

	wake chan struct{} // capacity 1: there is a deed
	mu   sync.Mutex
	// mu guards everything that follows.
	actions []func() // what may take its time
	stopped bool
}

// Command implements uplink.Owner.
func (d *commandHandler) Command(v delivery.Verdict) {
	switch v.Kind {
	case delivery.Malformed:
		if v.Command.ID != "" {
			d.finish(v, wire.ResultRejected, v.Reason)
		}
	case delivery.Superseded:
		d.finish(v, wire.ResultRejected, v.Reason)
	case delivery.Expired:
		d.finish(v, wire.ResultExpired, v.Reason)
	case delivery.Run:
		crashpoint.At(crashpoint.Commanded)
		d.execute(v)
	case delivery.Known, delivery.OtherBoot: // counted, without a record
	}
}

// RolledBack implements uplink.Owner.
func (d *commandHandler) RolledBack(r delivery.RolledBack) {
	d.recorder.addRecord(0, rolledBack(r))
}

// CentralTime implements uplink.Owner.
func (d *commandHandler) CentralTime(central charge.Time) { d.clock.setFromCentral(central) }

func (d *commandHandler) execute(v delivery.Verdict) {
	n := v.Command.Connector
	switch o := v.Order.(type) {
	case *wire.SetAvailability:
		if n == 0 {
			d.setAllAvailability(v)
			return
		}
	case *wire.Simulate:
		d.simulate(v, *o)
		return
	case *wire.Reserve, *wire.CancelReservation, *wire.Start, *wire.Stop:
	default: // whatever connector it names
		d.finish(v, wire.ResultRejected, "unsupported")
		return
	}
	if n < 1 || int(n) > len(d.machines) {
		d.finish(v, wire.ResultRejected, "unknown_connector")
		return
	}
	d.forward(v, d.machines[n-1], false)
}

// forward hands a command to the machine of its connector.
func (d *commandHandler) forward(v delivery.Verdict, m *machine, part bool) {
	raw := d.raw(v)
	m.post(func(now connector.Now) connector.Event {
		return connector.CommandReceived{
			Now: now, ID: v.Command.ID, SentAt: v.Command.SentAt, Raw: raw, Order: v.Order, Expires: v.Deadline, AllConnectors: part,
		}
	})
}

// raw is the command as it is written down: what this build understands of it,
// so that its size is bounded.
func (d *commandHandler) raw(v delivery.Verdict) string {
	c := v.Command
	if v.Order != nil {
		data, err := wire.EncodeOrder(v.Order)
		if err != nil {
			d.log.Error("order cannot be written", logs.Command(c.ID), logs.Err(err))
			return ""
		}
		c.Data = data
	}
	raw, err := c.Encode()
	if err != nil {
		d.log.Error("command cannot be written", logs.Command(c.ID), logs.Err(err))
		return ""
	}
	return string(raw)
}

// setAllAvailability sets the availability of all connectors: accepted once, done once.
func (d *commandHandler) setAllAvailability(v delivery.Verdict) {
	d.accept(v)
	for _, m := range d.machines {
		d.forward(v, m, true)
	}
	d.deferAction(func() { d.finish(v, wire.ResultDone, "") })
}

func (d *commandHandler) accept(v delivery.Verdict) {
	d.recorder.addRecord(v.Command.Connector, &wire.CommandAccepted{Command: json.RawMessage(d.raw(v))})
}

func (d *commandHandler) finish(v delivery.Verdict, r wire.CommandResult, reason string) {
	d.recorder.addRecord(v.Command.Connector, &wire.CommandFinished{
		CommandID: v.Command.ID, Command: v.Command.Type, Result: r, Reason: reason,
	})
}

// simulate moves the hands at simulated hardware. That may take its time, so
// the desk's own goroutine does it.
func (d *commandHandler) simulate(v delivery.Verdict, o wire.Simulate) {
	n := v.Command.Connector
	switch {
	case d.simulator == nil:
		d.finish(v, wire.ResultRejected, "not_simulated")
		return
	case n < 1 || int(n) > len(d.machines):
		d.finish(v, wire.ResultRejected, "unknown_connector")
		return
	}
	d.accept(v)
	d.deferAction(func() {
		if err := d.operate(n, o); err != nil {
			d.log.Info("not simulated", logs.Connector(n), slog.String("action", string(o.Action)), logs.Err(err))
			d.finish(v, wire.ResultFailed, reasonOf(err))
			return
		}
		d.finish(v, wire.ResultDone, "")
	})
}

// reasonOf is an error as a reason: its text, short.
func reasonOf(err error) string {
	text := err.Error()
	return text[:min(len(text), 128)]
}

// operate moves the hands.
func (d *commandHandler) operate(n charge.ConnectorID, o wire.Simulate) error {
	if d.simulator == nil {
		return errors.New("this hardware is not simulated")
	}
	switch o.Action {
	case wire.SimulatePlug:
		return d.simulator.Plug(n)
	case wire.SimulateUnplug:
		return d.simulator.Unplug(n)
	case wire.SimulateFault:
		f := o.Fault
		if f == "" {
			f = charge.FaultOther
		}
		return d.simulator.Inject(n, f)
	case wire.SimulateRepair:
		err := d.simulator.Repair(n)
		d.machines[n-1].outlet.resetLatch.Store(true)
		return err
	}
	return errors.New("unknown action")
}

// deferAction lets the desk's goroutine do something, in order.
func (d *commandHandler) deferAction(action func()) {
	d.mu.Lock()
	if !d.stopped {
		d.actions = append(d.actions, action)
	}
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// run does what comes later until ctx ends.
func (d *commandHandler) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			d.mu.Lock()
			d.stopped = true
			d.mu.Unlock()
			return
		case <-d.wake:
		}
		d.mu.Lock()
		actions := slices.Clone(d.actions)
		d.actions = nil
		d.mu.Unlock()
		for _, action := range actions {
			action()
		}
	}
}
