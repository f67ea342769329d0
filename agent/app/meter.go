package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/internal/control"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/logs"
)

// readTimeout limits one reading: a later one would not be of this moment.
const readTimeout = time.Second

// meterReader reads the meter of one connector, periodically and when the
// machine asks for it. A meter that does not answer is logged once; the machine
// decides when that is a fault.
type meterReader struct {
	machine *machine
	clock   *clock
	every   time.Duration
	log     *slog.Logger
	loop    *health.Loop
}

// run reads until ctx ends. A reading that the machine asks for begins after the
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
		case <-r.machine.readNow:
			crashpoint.At(crashpoint.Opened)
		}
		reading, err := readMeter(ctx, r.machine.outlet, r.clock)
		if ctx.Err() != nil {
			return
		}
		if bad := err != nil; bad != wasBad {
			wasBad = bad
			if bad {
				r.log.Warn("meter does not answer", logs.Connector(r.machine.outlet.ID), logs.Err(err))
			} else {
				r.log.Info("meter answers again", logs.Connector(r.machine.outlet.ID))
			}
		}
		crashpoint.At(crashpoint.Metered)
		r.machine.postReading(reading, err != nil)
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
