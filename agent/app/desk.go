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

// desk receives Central's orders from the uplink, answers those that have no
// effect, and hands the others to the machines. It is the uplink's Owner.
type desk struct {
	clock    *clock
	recorder *recorder
	machines []*machine
	hands    hal.Simulator // nil: real hardware
	log      *slog.Logger

	wake chan struct{} // capacity 1: there is a deed
	mu   sync.Mutex
	// mu guards everything that follows.
	deeds   []func() // what may take its time
	stopped bool
}

// Command implements uplink.Owner.
func (d *desk) Command(v delivery.Verdict) {
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
		d.run(v)
	case delivery.Known, delivery.OtherBoot: // counted, without a record
	}
}

// RolledBack implements uplink.Owner.
func (d *desk) RolledBack(r delivery.RolledBack) {
	d.recorder.say(0, rolledBack(r))
}

// Heard implements uplink.Owner.
func (d *desk) Heard(central charge.Time) { d.clock.heard(central) }

func (d *desk) run(v delivery.Verdict) {
	n := v.Command.Connector
	switch o := v.Order.(type) {
	case *wire.SetAvailability:
		if n == 0 {
			d.setAll(v)
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
	d.pass(v, d.machines[n-1], false)
}

// pass hands a command to the machine of its connector.
func (d *desk) pass(v delivery.Verdict, m *machine, part bool) {
	raw := d.raw(v)
	m.post(func(now connector.Now) connector.Event {
		return connector.CommandReceived{
			Now: now, ID: v.Command.ID, SentAt: v.Command.SentAt, Raw: raw, Order: v.Order, Expires: v.Deadline, Part: part,
		}
	})
}

// raw is the command as it is written down: what this build understands of it,
// so that its size is bounded.
func (d *desk) raw(v delivery.Verdict) string {
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

// setAll sets the availability of all connectors: accepted once, done once.
func (d *desk) setAll(v delivery.Verdict) {
	d.accept(v)
	for _, m := range d.machines {
		d.pass(v, m, true)
	}
	d.later(func() { d.finish(v, wire.ResultDone, "") })
}

func (d *desk) accept(v delivery.Verdict) {
	d.recorder.say(v.Command.Connector, &wire.CommandAccepted{Command: json.RawMessage(d.raw(v))})
}

func (d *desk) finish(v delivery.Verdict, r wire.CommandResult, reason string) {
	d.recorder.say(v.Command.Connector, &wire.CommandFinished{
		CommandID: v.Command.ID, Command: v.Command.Type, Result: r, Reason: reason,
	})
}

// simulate moves the hands at simulated hardware. That may take its time, so
// the desk's own goroutine does it.
func (d *desk) simulate(v delivery.Verdict, o wire.Simulate) {
	n := v.Command.Connector
	switch {
	case d.hands == nil:
		d.finish(v, wire.ResultRejected, "not_simulated")
		return
	case n < 1 || int(n) > len(d.machines):
		d.finish(v, wire.ResultRejected, "unknown_connector")
		return
	}
	d.accept(v)
	d.later(func() {
		if err := d.act(n, o); err != nil {
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

// act moves the hands.
func (d *desk) act(n charge.ConnectorID, o wire.Simulate) error {
	if d.hands == nil {
		return errors.New("this hardware is not simulated")
	}
	switch o.Action {
	case wire.SimulatePlug:
		return d.hands.Plug(n)
	case wire.SimulateUnplug:
		return d.hands.Unplug(n)
	case wire.SimulateFault:
		f := o.Fault
		if f == "" {
			f = charge.FaultOther
		}
		return d.hands.Inject(n, f)
	case wire.SimulateRepair:
		err := d.hands.Repair(n)
		d.machines[n-1].outlet.reset.Store(true)
		return err
	}
	return errors.New("unknown action")
}

// later lets the desk's goroutine do something, in order.
func (d *desk) later(deed func()) {
	d.mu.Lock()
	if !d.stopped {
		d.deeds = append(d.deeds, deed)
	}
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// perform does what comes later until ctx ends.
func (d *desk) perform(ctx context.Context) {
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
		deeds := slices.Clone(d.deeds)
		d.deeds = nil
		d.mu.Unlock()
		for _, deed := range deeds {
			deed()
		}
	}
}
