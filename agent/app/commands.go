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

// commandHandler receives Central's commands from the uplink. It records the
// result of those that have no effect, and forwards the others to the machine of
// their connector, which decides by their content. Commands that operate
// simulated hardware it executes itself. It is the uplink's Handler.
type commandHandler struct {
	clock     *clock
	recorder  *recorder
	machines  []*machine
	simulator hal.Simulator // nil: real hardware
	log       *slog.Logger

	wake chan struct{} // capacity 1: actions has grown
	mu   sync.Mutex
	// mu guards everything that follows.
	actions []func() // deferred, since they may take time; in the order of their commands
	stopped bool     // run has ended: no action is accepted
}

// Command implements uplink.Handler: it executes a command or records why it has
// no effect. A malformed command without an id cannot be answered.
func (h *commandHandler) Command(v delivery.Verdict) {
	switch v.Kind {
	case delivery.Malformed:
		if v.Command.ID != "" {
			h.finish(v, wire.ResultRejected, v.Reason)
		}
	case delivery.Superseded:
		h.finish(v, wire.ResultRejected, v.Reason)
	case delivery.Expired:
		h.finish(v, wire.ResultExpired, v.Reason)
	case delivery.Run:
		crashpoint.At(crashpoint.Commanded)
		h.execute(v)
	case delivery.Known, delivery.OtherBoot: // counted, without a record
	}
}

// RolledBack implements uplink.Handler.
func (h *commandHandler) RolledBack(r delivery.RolledBack) {
	h.recorder.addRecord(0, rolledBack(r))
}

// CentralTime implements uplink.Handler.
func (h *commandHandler) CentralTime(central charge.Time) { h.clock.setFromCentral(central) }

// execute starts a valid command. Where the connector does not exist, or this
// build does not know the command, it is rejected here.
func (h *commandHandler) execute(v delivery.Verdict) {
	n := v.Command.Connector
	switch o := v.Order.(type) {
	case *wire.SetAvailability:
		if n == 0 {
			h.setAllAvailability(v)
			return
		}
	case *wire.Simulate:
		h.simulate(v, *o)
		return
	case *wire.Reserve, *wire.CancelReservation, *wire.Start, *wire.Stop:
	default: // rejected first, whichever connector it names
		h.finish(v, wire.ResultRejected, "unsupported")
		return
	}
	if n < 1 || int(n) > len(h.machines) {
		h.finish(v, wire.ResultRejected, "unknown_connector")
		return
	}
	h.forward(v, h.machines[n-1], false)
}

// forward posts a command to the machine of a connector. part is true for a
// command to all connectors, whose acceptance and result are recorded here.
func (h *commandHandler) forward(v delivery.Verdict, m *machine, part bool) {
	raw := h.raw(v)
	m.post(func(now connector.Now) connector.Event {
		return connector.CommandReceived{
			Now: now, ID: v.Command.ID, SentAt: v.Command.SentAt, Raw: raw, Order: v.Order, Expires: v.Deadline, AllConnectors: part,
		}
	})
}

// raw is the command as command_accepted records it: only the fields that this
// build knows, so that its size is bounded. It is empty if it cannot be encoded.
func (h *commandHandler) raw(v delivery.Verdict) string {
	// The order is encoded again, which drops fields that this build does not know.
	c := v.Command
	if v.Order != nil {
		data, err := wire.EncodeOrder(v.Order)
		if err != nil {
			h.log.Error("order cannot be written", logs.Command(c.ID), logs.Err(err))
			return ""
		}
		c.Data = data
	}
	raw, err := c.Encode()
	if err != nil {
		h.log.Error("command cannot be written", logs.Command(c.ID), logs.Err(err))
		return ""
	}
	return string(raw)
}

// setAllAvailability sets the availability of all connectors. It records one
// acceptance and one result for all of them, the result after every machine has
// received its part.
func (h *commandHandler) setAllAvailability(v delivery.Verdict) {
	h.accept(v)
	for _, m := range h.machines {
		h.forward(v, m, true)
	}
	h.deferAction(func() { h.finish(v, wire.ResultDone, "") })
}

// accept records that the command is accepted.
func (h *commandHandler) accept(v delivery.Verdict) {
	h.recorder.addRecord(v.Command.Connector, &wire.CommandAccepted{Command: json.RawMessage(h.raw(v))})
}

// finish records the result of the command.
func (h *commandHandler) finish(v delivery.Verdict, r wire.CommandResult, reason string) {
	h.recorder.addRecord(v.Command.Connector, &wire.CommandFinished{
		CommandID: v.Command.ID, Command: v.Command.Type, Result: r, Reason: reason,
	})
}

// simulate operates simulated hardware. That may take time (the board may be in
// another process), so it is deferred: the uplink's loop must not wait.
func (h *commandHandler) simulate(v delivery.Verdict, o wire.Simulate) {
	n := v.Command.Connector
	switch {
	case h.simulator == nil:
		h.finish(v, wire.ResultRejected, "not_simulated")
		return
	case n < 1 || int(n) > len(h.machines):
		h.finish(v, wire.ResultRejected, "unknown_connector")
		return
	}
	h.accept(v)
	h.deferAction(func() {
		if err := h.operate(n, o); err != nil {
			h.log.Info("not simulated", logs.Connector(n), slog.String("action", string(o.Action)), logs.Err(err))
			h.finish(v, wire.ResultFailed, reasonOf(err))
			return
		}
		h.finish(v, wire.ResultDone, "")
	})
}

// reasonOf is an error as the reason of a result: its text, at most 128 bytes.
func reasonOf(err error) string {
	text := err.Error()
	return text[:min(len(text), 128)]
}

// operate performs an action at simulated hardware. A repair also resets faults
// that the safety rules have latched.
func (h *commandHandler) operate(n charge.ConnectorID, o wire.Simulate) error {
	if h.simulator == nil {
		return errors.New("this hardware is not simulated")
	}
	switch o.Action {
	case wire.SimulatePlug:
		return h.simulator.Plug(n)
	case wire.SimulateUnplug:
		return h.simulator.Unplug(n)
	case wire.SimulateFault:
		f := o.Fault
		if f == "" {
			f = charge.FaultOther
		}
		return h.simulator.Inject(n, f)
	case wire.SimulateRepair:
		err := h.simulator.Repair(n)
		h.machines[n-1].outlet.ResetLatch()
		return err
	}
	return errors.New("unknown action")
}

// deferAction queues an action for run. It never waits.
func (h *commandHandler) deferAction(action func()) {
	h.mu.Lock()
	if !h.stopped {
		h.actions = append(h.actions, action)
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run performs deferred actions in their order until ctx ends.
func (h *commandHandler) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			h.mu.Lock()
			h.stopped = true
			h.mu.Unlock()
			return
		case <-h.wake:
		}
		h.mu.Lock()
		actions := slices.Clone(h.actions)
		h.actions = nil
		h.mu.Unlock()
		for _, action := range actions {
			action()
		}
	}
}
