package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
)

const (
	// identifyFor is how long IDENTIFY lets the lights blink.
	identifyFor = 30 * time.Second
	// lightEvery is how often the lights are compared with the statuses.
	lightEvery = 250 * time.Millisecond
)

// frontPanel shows the status of each connector on its lights, and receives the
// buttons. It is optional.
type frontPanel struct {
	device   hal.FrontPanel // nil: none is fitted
	lights   []bool         // by connector: whether it has any
	identify []atomic.Int64 // by connector: until then, in nanoseconds since the boot
	shown    []hal.Light    // owned by run; so is failed
	failed   bool           // the last light could not be set
}

// openPanel gets the buttons and lights. The lights are off then.
func (r *running) openPanel() error {
	device, err := r.board.Panel()
	switch {
	case errors.Is(err, hal.ErrNotFitted):
		return nil
	case err != nil:
		return fmt.Errorf("front panel: %w", err)
	}
	n := len(r.outlets)
	r.panel = frontPanel{device: device, lights: make([]bool, n), identify: make([]atomic.Int64, n), shown: make([]hal.Light, n)}
	for i := range n {
		r.panel.lights[i] = !errors.Is(device.Show(charge.ConnectorID(i+1), hal.LightOff), hal.ErrNotFitted)
	}
	return nil
}

// identify lets the lights of a connector blink; 0 means all.
func (r *running) identify(n charge.ConnectorID) {
	for i := range r.panel.identify {
		if n == 0 || i == int(n)-1 {
			r.panel.identify[i].Store(int64(r.clock.at() + identifyFor))
		}
	}
}

// runPanel serves the front panel until ctx ends; then the lights are off.
func (r *running) runPanel(ctx context.Context) {
	tick := time.NewTicker(lightEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.show(func(int) hal.Light { return hal.LightOff })
			return
		case p, open := <-r.panel.device.Presses():
			if !open { // the board is closed
				return
			}
			r.pressed(p)
		case <-tick.C:
			v := r.view.Load()
			r.show(func(i int) hal.Light {
				switch {
				case time.Duration(r.panel.identify[i].Load()) > r.clock.at():
					return hal.LightIdentify
				case i >= len(v.Connectors): // before the first step of the core
					return hal.LightOff
				}
				return lightOf(v.Connectors[i])
			})
		}
	}
}

// pressed resets what has latched at a connector whose button is held. A short press
// has no effect.
func (r *running) pressed(p hal.Press) {
	if !p.Held || p.Connector < 1 || int(p.Connector) > len(r.outlets) {
		return
	}
	r.logger.Info("latched faults are reset by the button", logs.Connector(p.Connector))
	r.outlets[p.Connector-1].ResetLatch()
}

// show sets the lights that have changed. A failure is logged once until all can be
// set again.
func (r *running) show(want func(i int) hal.Light) {
	p := &r.panel
	var errs error
	for i := range p.shown {
		l := want(i)
		if !p.lights[i] || l == p.shown[i] {
			continue
		}
		if err := p.device.Show(charge.ConnectorID(i+1), l); err != nil {
			errs = errors.Join(errs, fmt.Errorf("connector %d: %w", i+1, err))
			continue
		}
		p.shown[i] = l
	}
	if errs != nil && !p.failed {
		r.logger.Warn("output not written", slog.String("output", "light"), logs.Err(errs))
	}
	p.failed = errs != nil
}

// lightOf is what the lights of a connector show.
func lightOf(s connector.State) hal.Light {
	switch connector.Status(s) {
	case charge.StatusAvailable:
		return hal.LightReady
	case charge.StatusPreparing, charge.StatusReserved, charge.StatusSuspendedEV, charge.StatusSuspendedEVSE, charge.StatusFinishing:
		return hal.LightWaiting
	case charge.StatusCharging:
		return hal.LightCharging
	case charge.StatusFaulted, charge.StatusUnavailable, charge.StatusOffline:
		return hal.LightFault
	}
	return hal.LightFault
}
