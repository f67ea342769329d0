package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/internal/control"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/logs"
)

// readTimeout limits one reading: a later one would not be of this moment.
const readTimeout = time.Second

// meterReader reads the meter of one connector, periodically and when the core
// asks for it. A meter that does not answer is logged once; the core decides when
// that is a fault.
type meterReader struct {
	outlet *control.Outlet
	post   func(point.Event)
	clock  *clock
	every  time.Duration
	log    *slog.Logger
	loop   *health.Loop
	wanted chan struct{} // capacity 1: the core asks for a reading
}

// request asks for a reading that begins after this. It never waits.
func (r *meterReader) request() {
	select {
	case r.wanted <- struct{}{}:
	default:
	}
}

// run reads until ctx ends. A reading that the core asks for begins after the
// request, also when another one is under way.
func (r *meterReader) run(ctx context.Context) {
	ticker := time.NewTicker(r.every)
	defer ticker.Stop()
	wasBad := false
	for {
		r.loop.Beat()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-r.wanted:
			crashpoint.At(crashpoint.Opened)
		}
		reading, err := readMeter(ctx, r.outlet, r.clock)
		if ctx.Err() != nil {
			return
		}
		if bad := err != nil; bad != wasBad {
			wasBad = bad
			if bad {
				r.log.Warn("meter does not answer", logs.Connector(r.outlet.ID), logs.Err(err))
			} else {
				r.log.Info("meter answers again", logs.Connector(r.outlet.ID))
			}
		}
		crashpoint.At(crashpoint.Metered)
		r.post(point.MeterRead{Connector: r.outlet.ID, Reading: reading, Failed: err != nil})
	}
}

// readMeter reads once. A register out of the range of the messages is an error,
// like no answer. The reading carries the time at which it began: a register
// read before the contactor opened must not end a session.
func readMeter(ctx context.Context, o *control.Outlet, c *clock) (connector.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	taken := c.at()
	v, err := o.ReadMeter(ctx)
	if err != nil {
		return connector.Reading{}, err
	}
	if v.Import < 0 || v.Import > charge.MaxRegister {
		return connector.Reading{}, hal.ErrUnreadable
	}
	return connector.Reading{
		BegunAt: taken, Import: v.Import, Power: v.Power, Current: v.Current, Voltage: v.Voltage, Temperature: v.Temperature,
	}, nil
}
