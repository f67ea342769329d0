// Package control is the control loop of a charging point: the goroutine that
// reads all safety inputs each 10 ms, applies the rules of agent/safety, and is
// the only one that closes a contactor.
//
// The loop touches neither network nor disk. It waits for nothing but its ticker
// and the inputs, which answer within a tick. What it observes goes to a Reports,
// which must not block; what it may do comes from Outlet.Permit.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/logs"
)

// Config is what a loop works with.
type Config struct {
	Board   hal.Board
	Outlets []*Outlet
	Period  time.Duration        // between two ticks
	Uptime  func() time.Duration // the monotonic time since the boot
	Reports Reports
	Beat    func() // called in each tick
	Log     *slog.Logger
}

// Loop is the control loop of one board. Each tick it reads all safety inputs,
// applies the rules of package safety, commands the contactors, and kicks the
// dead-man device, unless the tick was late.
type Loop struct {
	Config
	estop   hal.EStop  // nil: not fitted
	keeper  hal.Keeper // nil: not fitted
	outlets []*outletState
	limits  safety.Limits

	late       atomic.Int64 // ticks that were late
	lastTick   atomic.Int64 // nanoseconds since the boot
	unreadable atomic.Int64 // connectors with an unreadable input
}

// outletState is what the loop remembers of one outlet. The loop alone uses it.
type outletState struct {
	*Outlet
	safety      safety.State
	writeFailed bool // the last command could not be written
	reported    reported
}

// New makes the loop of a board. It starts nothing. A dead-man device is
// optional, but one that is too slow is refused: it would look like protection.
func New(cfg Config) (*Loop, error) {
	l := &Loop{Config: cfg, limits: safety.DefaultLimits()}
	for _, o := range cfg.Outlets {
		l.outlets = append(l.outlets, &outletState{Outlet: o})
	}
	var err error
	if l.estop, err = cfg.Board.EStop(); err != nil && !errors.Is(err, hal.ErrNotFitted) {
		return nil, fmt.Errorf("emergency stop: %w", err)
	}
	l.keeper, err = cfg.Board.Keeper()
	switch {
	case errors.Is(err, hal.ErrNotFitted):
		cfg.Log.Warn("no dead-man device is fitted: a hang of this process may leave power on")
	case err != nil:
		return nil, fmt.Errorf("dead-man device: %w", err)
	case l.keeper.Timeout() > hal.MaxAgentGone:
		return nil, fmt.Errorf("dead-man device: its timeout is %v; at most %v are allowed", l.keeper.Timeout(), hal.MaxAgentGone)
	}
	return l, nil
}

// HasKeeper reports whether a dead-man device is fitted.
func (l *Loop) HasKeeper() bool { return l.keeper != nil }

// Late is the number of ticks that came too late.
func (l *Loop) Late() int64 { return l.late.Load() }

// LastTick is the time of the last tick that was not late, since the boot.
func (l *Loop) LastTick() time.Duration { return time.Duration(l.lastTick.Load()) }

// Unreadable is the number of connectors with an input that cannot be read.
func (l *Loop) Unreadable() int { return int(l.unreadable.Load()) }

// Run ticks until ctx ends and then opens every contactor.
func (l *Loop) Run(ctx context.Context) {
	defer func() {
		for _, o := range l.outlets {
			if err := o.Open(); err != nil {
				l.Log.Error("contactor not opened", logs.Connector(o.ID), logs.Err(err))
			}
		}
	}()
	ticker := time.NewTicker(l.Period)
	defer ticker.Stop()
	var last time.Duration
	for {
		now := l.Uptime()
		gap := now - last
		if last == 0 {
			gap = 0
		}
		last = now
		l.tick(now, gap)
		l.Beat()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tick makes one tick. gap is the time since the one before, 0 in the first.
func (l *Loop) tick(now, gap time.Duration) {
	var common safety.Inputs
	common.Now, common.Gap, common.Vent = now, gap, l.Board.Info().Vent
	mono := l.Board.Mono()
	common.EStopIn = safety.Input{NotFitted: l.estop == nil}
	if l.estop != nil {
		pressed, stamp, err := l.estop.Pressed()
		common.Pressed, common.EStopIn = pressed, safetyInput(mono, stamp, err)
	}
	// All connectors are decided in the same tick, by the same emergency stop.
	late, unreadable := false, int64(0)
	for _, o := range l.outlets {
		in := common
		o.measure(mono, &in)
		if !in.PilotIn.OK || !in.ContactIn.OK && !in.ContactIn.NotFitted {
			unreadable++
		}
		var v safety.Verdict
		o.safety, v = safety.Step(l.limits, o.safety, in)
		late = late || v.Late
		if v.Close != in.Commanded || o.writeFailed {
			l.command(o, v.Close)
		}
		o.reported.report(l.Reports, o.ID, in, v)
	}
	l.unreadable.Store(unreadable)
	// A late tick does not kick: if the loop hangs, the dead-man device opens.
	if late {
		l.late.Add(1)
		return
	}
	if l.keeper != nil {
		if err := l.keeper.Kick(); err != nil {
			l.Log.Warn("keeper not kicked", logs.Err(err))
		}
	}
	l.lastTick.Store(int64(now))
}

// command writes what the rules decided. An error is logged once until a write
// succeeds; the rules withhold power meanwhile.
func (l *Loop) command(o *outletState, on bool) {
	err := o.switchTo(on)
	if on {
		crashpoint.At(crashpoint.Closed)
	}
	if err != nil && !o.writeFailed {
		l.Log.Error("contactor not switched", logs.Connector(o.ID), slog.Bool("close", on), logs.Err(err))
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
func (o *outletState) measure(mono time.Duration, in *safety.Inputs) {
	in.Permit, in.WriteFailed = o.permit.Load(), o.writeFailed
	in.ResetLatch = o.resetLatch.Swap(false)
	in.Commanded = o.contactor.Commanded()
	state, stamp, err := o.pilot.State()
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
