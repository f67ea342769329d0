// Package control is the control loop of a charging point: the goroutine that
// reads all safety inputs each 10 ms, applies the rules of agent/safety, and is
// the only one that closes a contactor.
//
// The loop touches neither network nor disk and logs nothing; until all contactors
// have their commands it allocates nothing. It waits for nothing but its ticker and
// the inputs, which answer within a tick. What it observes goes to a Reports, which
// must not block; what it may do comes from Outlet.Permit. What takes time is done
// by Assist, on a goroutine beside it. So are the trips: the last ticks before the rules
// opened a contactor or found a fault, which the loop keeps for the flight recorder.
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
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/metrics"
)

// Config is what a loop works with.
type Config struct {
	Board   hal.Board
	Outlets []*Outlet
	Period  time.Duration // between two ticks
	// MaxGap replaces the limits of package safety for the time between two ticks and the
	// age of an input, where it is longer. 0 for hardware that is not simulated.
	MaxGap time.Duration
	Uptime func() time.Duration // the monotonic time since the boot
	// MeterEvery is how often the meters are read: three readings that are missing
	// are a lost meter.
	MeterEvery time.Duration
	Reports    Reports
	// Tripped gets the last ticks before each trip, and owns them. Assist calls it. nil:
	// none are kept.
	Tripped func(safety.Trip)
	Beat    func() // called in each tick that is in time
	Log     *slog.Logger
}

// Loop is the control loop of one board. Each tick it reads all safety inputs,
// applies the rules of package safety, commands the contactors, and kicks the
// dead-man device, unless the tick was late.
type Loop struct {
	Config
	info     hal.Info
	estop    hal.EStop    // nil: not fitted
	keeper   hal.Keeper   // nil: not fitted
	watchdog hal.Watchdog // nil: not fitted
	outlets  []*outletState
	limits   safety.Limits
	startAt  time.Duration // set before Run
	jobs     chan job
	jitter   *metrics.Durations

	keeperFailed bool         // the last kick
	late         atomic.Int64 // ticks that were late
	lastTick     atomic.Int64 // nanoseconds since the boot
	unreadable   atomic.Int64 // connectors with an unreadable input
}

// outletState is what the loop remembers of one outlet. The loop alone uses it, but
// for tested.
type outletState struct {
	*Outlet
	fit        safety.Fitted
	maxCurrent charge.MilliAmps

	in       safety.Inputs // of this tick
	verdict  safety.Verdict
	safety   safety.State
	before   safety.State // before this tick
	reported reported
	trace    *trace // nil: nothing is kept

	writeFailed bool             // the last command of the contactor could not be written
	locked      bool             // the last command of the lock
	lockFailed  bool             // it could not be written
	offered     charge.MilliAmps // the current last offered
	offerFailed bool             // it could not be written
	testing     bool             // a self-test was left to Assist
	tested      atomic.Int32     // a testResult, read once
}

// jitterBounds are the buckets of the deviation of a tick from its period.
func jitterBounds() []time.Duration {
	return []time.Duration{
		50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
		time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
		50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second,
	}
}

// New makes the loop of a board. It starts nothing. A dead-man device is
// optional, but one that is too slow is refused: it would look like protection.
func New(cfg Config) (*Loop, error) {
	l := &Loop{
		Config: cfg, info: cfg.Board.Info(), limits: safety.DefaultLimits(), jitter: metrics.NewDurations(jitterBounds()...),
		jobs: make(chan job, 8*len(cfg.Outlets)+8),
	}
	l.limits.MaxThermalAge = hal.MaxThermalAge
	l.limits.MaxGap, l.limits.MaxAge = max(l.limits.MaxGap, cfg.MaxGap), max(l.limits.MaxAge, cfg.MaxGap)
	if cfg.MeterEvery > 0 {
		l.limits.MaxMeterAge = 3*cfg.MeterEvery + meterSlack
	}
	for _, o := range cfg.Outlets {
		s := &outletState{Outlet: o, fit: o.fitted(l.info), maxCurrent: l.info.MaxCurrent}
		if cfg.Tripped != nil {
			s.trace = &trace{every: tripEvery * time.Duration(len(cfg.Outlets))}
		}
		l.outlets = append(l.outlets, s)
	}
	err := errors.Join(
		fit(&l.estop, "emergency stop", cfg.Board.EStop), fit(&l.keeper, "dead-man device", cfg.Board.Keeper),
		fit(&l.watchdog, "watchdog", cfg.Board.Watchdog),
	)
	switch {
	case err != nil:
		return nil, err
	case l.keeper == nil:
		cfg.Log.Warn("no dead-man device is fitted: a hang of this process may leave power on")
	case l.keeper.Timeout() > hal.MaxAgentGone:
		return nil, fmt.Errorf("dead-man device: its timeout is %v; at most %v are allowed", l.keeper.Timeout(), hal.MaxAgentGone)
	}
	return l, nil
}

// meterSlack is what a reading may take beyond its period.
const meterSlack = 2 * time.Second

// Delay lets no contactor close before d after the boot. Call it before Run.
func (l *Loop) Delay(d time.Duration) { l.startAt = d }

// Restore continues faults of connector n that an earlier boot had latched and that
// the core has already: a change of them alone is reported. Call it before Run.
func (l *Loop) Restore(n charge.ConnectorID, faults charge.FaultSet) {
	o := l.outlets[n-1]
	o.safety, o.reported.faults = safety.Restored(o.fit, faults), faults
}

// HasKeeper reports whether a dead-man device is fitted.
func (l *Loop) HasKeeper() bool { return l.keeper != nil }

// Late is the number of ticks that came too late.
func (l *Loop) Late() int64 { return l.late.Load() }

// Jitter is how far the ticks deviate from their period.
func (l *Loop) Jitter() *metrics.Durations { return l.jitter }

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
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tick makes one tick. gap is the time since the one before, 0 in the first. The
// contactors come first; nothing of what follows them can delay an opening.
func (l *Loop) tick(now, gap time.Duration) {
	l.decide(now, gap)
	late := false
	for _, o := range l.outlets {
		late = late || o.verdict.Late
		l.operate(o)
		l.keep(o)
		o.reported.report(l.Reports, o.ID, o.in, o.verdict)
	}
	if gap > 0 {
		l.jitter.Observe((gap - l.Period).Abs())
	}
	// A late tick does not kick: if the loop hangs, the dead-man device opens.
	if late {
		l.late.Add(1)
		return
	}
	if l.keeper != nil {
		l.note(noteKeeper, nil, l.keeper.Kick(), &l.keeperFailed)
	}
	l.lastTick.Store(int64(now))
	l.Beat()
}

// decide reads all inputs, applies the rules and commands the contactors. All
// connectors are decided in the same tick, by the same emergency stop.
func (l *Loop) decide(now, gap time.Duration) {
	common := safety.Inputs{Now: now, Gap: gap, Vent: l.info.Vent, StartAt: l.startAt, EStopIn: safety.Input{NotFitted: l.estop == nil}}
	mono := l.Board.Mono()
	if l.estop != nil {
		pressed, stamp, err := l.estop.Pressed()
		common.Pressed, common.EStopIn = pressed, safetyInput(mono, stamp, err)
	}
	for _, o := range l.outlets {
		o.in.ResetLatch = o.resetLatch.Swap(false)
		common.ResetStop = common.ResetStop || o.in.ResetLatch // the stop is one for all
	}
	unreadable := int64(0)
	for _, o := range l.outlets {
		common.ResetLatch = o.in.ResetLatch
		o.in = common
		o.measure(mono, &o.in)
		if !o.in.PilotIn.OK || !o.in.ContactIn.OK && !o.in.ContactIn.NotFitted {
			unreadable++
		}
		o.before = o.safety
		o.safety, o.verdict = safety.Step(l.limits, o.before, o.in)
		if o.verdict.Close != o.in.Commanded || o.writeFailed {
			l.command(o, o.verdict.Close)
		}
	}
	l.unreadable.Store(unreadable)
}

// command writes what the rules decided. While it cannot be written, the rules
// withhold power.
func (l *Loop) command(o *outletState, on bool) {
	err := o.switchTo(on)
	if on {
		crashpoint.At(crashpoint.Closed)
	}
	l.note(noteContactor, o, err, &o.writeFailed)
}

// operate commands what a connector has beside its contactor.
func (l *Loop) operate(o *outletState) {
	v := &o.verdict
	again := !v.Lock && o.release.Swap(false)
	if o.lock != nil && (v.Lock != o.locked || again || o.lockFailed || !o.reported.before) {
		o.locked = v.Lock
		l.note(noteLock, o, o.lock.Set(v.Lock), &o.lockFailed)
	}
	if o.fit.Steered && (v.Offer != o.offered || o.offerFailed) {
		o.offered = v.Offer
		l.note(noteOffer, o, o.pilot.SetCurrent(v.Offer), &o.offerFailed)
	}
	if v.ResetTrip {
		l.leave(job{kind: jobReset, outlet: o})
	}
	if v.SelfTest && !o.testing {
		o.testing = l.leave(job{kind: jobTest, outlet: o})
	}
}
