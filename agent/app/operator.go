package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/carga-ev/carga/agent/internal/control"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/wire"
)

// operator operates simulated hardware. That may take time, since the board may be
// in another process, so it has its own goroutine.
type operator struct {
	simulator hal.Simulator   // nil: real hardware
	reader    hal.TokenReader // nil: none is fitted
	outlets   []*control.Outlet
	post      func(point.Event)
	log       *slog.Logger

	wake chan struct{} // capacity 1: operations has grown
	mu   sync.Mutex
	// mu guards everything that follows.
	operations []point.Operation // in the order of their commands
}

// add queues an operation for run. It never waits.
func (o *operator) add(op point.Operation) {
	o.mu.Lock()
	o.operations = append(o.operations, op)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run performs operations in their order until ctx ends.
func (o *operator) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		}
		o.mu.Lock()
		operations := o.operations
		o.operations = nil
		o.mu.Unlock()
		for _, op := range operations {
			result := point.Operated{Operation: op}
			if err := o.operate(op.Connector, op.Simulate); err != nil {
				o.log.Info("not simulated", logs.Connector(op.Connector), slog.String("action", string(op.Simulate.Action)), logs.Err(err))
				result.Failure = err.Error()
			}
			o.post(result)
		}
	}
}

// operate performs an action at simulated hardware. A repair also resets faults that
// the safety rules have latched. A tap passes by the reader, since it has no UID.
func (o *operator) operate(n charge.ConnectorID, s wire.Simulate) error {
	if o.simulator == nil {
		return errors.New("this hardware is not simulated")
	}
	switch s.Action {
	case wire.SimulatePlug:
		return o.simulator.Plug(n)
	case wire.SimulateUnplug:
		return o.simulator.Unplug(n)
	case wire.SimulateFault:
		return o.simulator.Inject(n, s.Fault)
	case wire.SimulateRepair:
		err := o.simulator.Repair(n)
		o.outlets[n-1].ResetLatch()
		return err
	case wire.SimulateTap: // the reader would have to know the UID
		if o.reader == nil {
			return errors.New("no card reader is fitted")
		}
		if err := o.reader.Healthy(); err != nil {
			return err
		}
		o.post(point.CardPresented{Card: s.Card})
		return nil
	}
	return errors.New("unknown action")
}
