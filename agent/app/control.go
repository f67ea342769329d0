package app

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/logs"
)

// outlet is the hardware of one connector, shared by the control loop and the
// machine. Any goroutine may open the contactor, at once; only the control loop
// closes it.
//
// Invariant: a contactor is closed only while permit is true. A machine opens by
// withdrawing permit first; the control loop checks permit once more after it
// has closed (see switchTo), so neither order of the two leaves it closed.
type outlet struct {
	id         charge.ConnectorID
	contactor  hal.Contactor
	pilot      hal.Pilot
	meter      hal.Meter
	protection hal.Protection // nil: none

	operations atomic.Int64 // switchings of the contactor in this boot
	permit     atomic.Bool  // the machine permits power
	resetLatch atomic.Bool  // a person has repaired what latched; read once
}

// newOutlet gets the devices of a connector. Protection is optional.
func newOutlet(b hal.Board, n charge.ConnectorID) (*outlet, error) {
	c, err := b.Connector(n)
	if err != nil {
		return nil, err
	}
	o := &outlet{id: n, contactor: c.Contactor(), pilot: c.Pilot(), meter: c.Meter()}
	o.protection, _ = c.(hal.Protection)
	return o, nil
}

// open withdraws the permission and opens the contactor. It waits for nothing.
func (o *outlet) open() error {
	o.permit.Store(false)
	return o.set(false)
}

// set commands the contactor and counts the commands that move it.
func (o *outlet) set(on bool) error {
	if o.contactor.Commanded() != on {
		o.operations.Add(1)
	}
	return o.contactor.Set(on)
}

// switchTo commands the contactor. If the permission is withdrawn while it
// closes, it opens again: the last command is then always Set(false). So it is
// after a failed attempt to close, as the output is not known.
func (o *outlet) switchTo(on bool) error {
	if err := o.set(on); err != nil || !on {
		if on {
			err = errors.Join(err, o.set(false))
		}
		return err
	}
	if !o.permit.Load() {
		return o.set(false)
	}
	return nil
}

// controlledOutlet is what the control loop remembers of one outlet. The loop
// alone uses it.
type controlledOutlet struct {
	*outlet
	machine     *machine
	safety      safety.State
	writeFailed bool // the last command could not be written

	// What follows was last reported to the machine.
	reported bool // false before the first tick: everything is reported then
	pilot    charge.PilotState
	closed   bool
	withheld string
	faults   charge.FaultSet
}

// control is the safety loop of one board. Each tick it reads all safety
// inputs, applies the rules of package safety, commands the contactors, and
// kicks the dead-man device, unless the tick was late.
type control struct {
	board   hal.Board
	estop   hal.EStop  // nil: not fitted
	keeper  hal.Keeper // nil: not fitted
	outlets []*controlledOutlet
	limits  safety.Limits
	period  time.Duration
	clock   *clock
	log     *slog.Logger

	loop       *health.Loop
	late       atomic.Int64 // ticks that were late
	lastTick   atomic.Int64 // nanoseconds since the boot
	unreadable atomic.Int64 // connectors with an unreadable input
}

// run ticks until ctx ends and then opens every contactor.
func (c *control) run(ctx context.Context) {
	defer func() {
		for _, o := range c.outlets {
			if err := o.open(); err != nil {
				c.log.Error("contactor not opened", logs.Connector(o.id), logs.Err(err))
			}
		}
	}()
	ticker := time.NewTicker(c.period)
	defer ticker.Stop()
	var last time.Duration
	for {
		now := c.clock.at()
		gap := now - last
		if last == 0 {
			gap = 0
		}
		last = now
		c.tick(now, gap)
		c.loop.Beat()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tick makes one tick. gap is the time since the one before, 0 in the first.
func (c *control) tick(now, gap time.Duration) {
	var common safety.Inputs
	common.Now, common.Gap, common.Vent = now, gap, c.board.Info().Vent
	mono := c.board.Mono()
	common.EStopIn = safety.Input{NotFitted: c.estop == nil}
	if c.estop != nil {
		pressed, stamp, err := c.estop.Pressed()
		common.Pressed, common.EStopIn = pressed, safetyInput(mono, stamp, err)
	}
	// All connectors are decided in the same tick, by the same emergency stop.
	late, unreadable := false, int64(0)
	for _, o := range c.outlets {
		in := common
		o.measure(mono, &in)
		if !in.PilotIn.OK || !in.ContactIn.OK && !in.ContactIn.NotFitted {
			unreadable++
		}
		var v safety.Verdict
		o.safety, v = safety.Step(c.limits, o.safety, in)
		late = late || v.Late
		if v.Close != in.Commanded || o.writeFailed {
			c.command(o, v.Close)
		}
		o.report(in, v)
	}
	c.unreadable.Store(unreadable)
	// A late tick does not kick: if the loop hangs, the dead-man device opens.
	if late {
		c.late.Add(1)
		return
	}
	if c.keeper != nil {
		if err := c.keeper.Kick(); err != nil {
			c.log.Warn("keeper not kicked", logs.Err(err))
		}
	}
	c.lastTick.Store(int64(now))
}

// command writes what the rules decided. An error is logged once until a write
// succeeds; the rules withhold power meanwhile.
func (c *control) command(o *controlledOutlet, on bool) {
	err := o.switchTo(on)
	if on {
		crashpoint.At(crashpoint.Closed)
	}
	if err != nil && !o.writeFailed {
		c.log.Error("contactor not switched", logs.Connector(o.id), slog.Bool("close", on), logs.Err(err))
	}
	o.writeFailed = err != nil
}

// safetyInput describes the measurement of an input: its age is taken on the
// board's clock.
func safetyInput(mono time.Duration, s hal.Stamp, err error) safety.Input {
	return safety.Input{NotFitted: errors.Is(err, hal.ErrNotFitted), OK: err == nil, Age: mono - s.Mono}
}

// measure reads the inputs of one connector. A board without a feedback contact
// is assumed to follow its commands.
func (o *controlledOutlet) measure(mono time.Duration, in *safety.Inputs) {
	in.Permit, in.WriteFailed = o.permit.Load(), o.writeFailed
	in.ResetLatch = o.resetLatch.Swap(false)
	in.Commanded = o.contactor.Commanded()
	state, stamp, err := o.outlet.pilot.State()
	in.PilotIn = safetyInput(mono, stamp, err)
	// Every board has a pilot, so an error of it is never "not fitted".
	if in.PilotIn.NotFitted = false; err == nil {
		in.Pilot = state
	}
	contact, stamp, err := o.contactor.Feedback()
	in.ContactIn = safetyInput(mono, stamp, err)
	in.Closed = contact == hal.ContactClosed
	if in.ContactIn.NotFitted {
		in.Closed = in.Commanded
	} else if err == nil && contact == hal.ContactUnknown {
		in.ContactIn.OK = false
	}
	in.TrippedIn = safety.Input{NotFitted: true}
	if o.protection != nil {
		fault, stamp, err := o.protection.Tripped()
		in.Tripped, in.TrippedIn = fault, safetyInput(mono, stamp, err)
	}
}

// report posts to the machine what has changed since the last tick. The pilot
// comes first, since it explains a contact that moves.
func (o *controlledOutlet) report(in safety.Inputs, v safety.Verdict) {
	first := !o.reported
	o.reported = true
	if in.PilotIn.OK && (first || in.Pilot != o.pilot) {
		o.pilot = in.Pilot
		o.machine.postPilot(in.Pilot)
	}
	if v.Withheld != o.withheld {
		o.withheld = v.Withheld
		o.machine.post(func(n connector.Now) connector.Event { return connector.PowerWithheld{Now: n, Reason: v.Withheld} })
	}
	known := in.ContactIn.OK || in.ContactIn.NotFitted
	if known && (first || in.Closed != o.closed) {
		o.closed = in.Closed
		o.machine.post(func(n connector.Now) connector.Event { return connector.ContactChanged{Now: n, Closed: in.Closed} })
	}
	if v.Faults == o.faults {
		return
	}
	was := o.faults
	o.faults = v.Faults
	for _, f := range charge.Faults() {
		switch {
		case v.Faults.Has(f) && !was.Has(f):
			o.machine.post(func(n connector.Now) connector.Event { return connector.FaultSeen{Now: n, Fault: f} })
		case !v.Faults.Has(f) && was.Has(f):
			o.machine.post(func(n connector.Now) connector.Event { return connector.FaultGone{Now: n, Fault: f} })
		}
	}
}
