package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
)

// errUnknownKey is the error of a key without a meaning.
var errUnknownKey = errors.New("unknown key")

// localStop and shutdown make events for machine.post.
func localStop(n connector.Now) connector.Event { return connector.LocalStop{Now: n} }

func shutdown(n connector.Now) connector.Event { return connector.Shutdown{Now: n} }

// layer is a group of goroutines that end together. serve stops its layers one
// after another, those that produce work first. A panic in a goroutine opens the
// contactors before it ends the process.
type layer struct {
	ctx    context.Context //nolint:containedctx // it ends with the layer, not with a caller
	cancel context.CancelFunc
	wg     sync.WaitGroup
	safe   func() error
}

// newLayer makes a layer that outlives ctx: serve stops it.
func (r *running) newLayer(ctx context.Context) *layer {
	l := &layer{safe: r.board.SafeState}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return l
}

// start runs f on a goroutine of the layer.
func (l *layer) start(f func(context.Context)) {
	l.wg.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				panic(errors.Join(l.safe(), panicked{p}))
			}
		}()
		f(l.ctx)
	})
}

// stop ends the layer's context and waits for its goroutines.
func (l *layer) stop() {
	l.cancel()
	l.wg.Wait()
}

// serve runs everything until ctx ends or the journal fails, and stops it in the
// order of the data: input, machines, recorder, uplink. After a failure or with
// ErrKilled as the cause it writes nothing more.
func (r *running) serve(ctx context.Context) error {
	input, machines, writing, uplink := r.newLayer(ctx), r.newLayer(ctx), r.newLayer(ctx), r.newLayer(ctx)
	// Each layer ends before the next one that its output goes to.
	failed := make(chan error, 1) // the recorder's
	writing.start(func(ctx context.Context) {
		if err := r.recorder.run(ctx); err != nil {
			failed <- err
		}
	})
	for i := range r.machines {
		machines.start(r.machines[i].run)
		machines.start(r.meterReaders[i].run)
	}
	machines.start(r.control.Run)
	uplink.start(func(ctx context.Context) {
		if err := r.up.Run(ctx); err != nil {
			r.logger.Error("uplink ended", logs.Err(err))
		}
	})
	input.start(r.commands.run)
	input.start(r.housekeep)
	input.start(r.watch.Run)
	input.start(func(ctx context.Context) { r.watch.Serve(ctx, r.cfg.Observe, r.deps.Listener, nil) })
	if r.deps.Keys != nil && r.simulator != nil {
		go r.commands.readKeys(input, r.deps.Keys) // ends with its input
	}
	r.notify(ctx, "ready", r.deps.Notify.Ready)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	r.notify(context.WithoutCancel(ctx), "stopping", r.deps.Notify.Stopping)
	good := err == nil && !errors.Is(context.Cause(ctx), ErrKilled)
	if !good {
		r.recorder.abandon()
	}
	// No command and no action begins after this.
	input.stop()
	if good {
		r.endSessions(ctx)
	}
	machines.stop() // the control loop opens what is still closed
	writing.stop()
	if err == nil {
		select {
		case err = <-failed:
		default:
		}
	}
	if good && err == nil {
		r.drain(ctx)
	}
	uplink.stop()
	return errors.Join(err, r.log.Close())
}

// endSessions asks the machines to end or suspend their sessions, by policy, and
// waits until nothing is pending and every contactor is open. A meter that does
// not answer cannot hold it up for longer than its time limit.
func (r *running) endSessions(ctx context.Context) {
	for _, m := range r.machines {
		m.post(shutdown)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connector.ReadWithin+time.Second)
	defer cancel()
	tick := time.NewTicker(r.cfg.Intervals.Control)
	defer tick.Stop()
	for _, m := range r.machines {
		for s := m.view.Load(); s.Phase != connector.PhaseStopping || !s.NothingPending() || s.Closed; s = m.view.Load() {
			select {
			case <-tick.C:
			case <-ctx.Done():
				r.logger.Warn("a session did not end in time", logs.Connector(m.outlet.ID))
				return
			}
		}
	}
}

// drain gives Central StopWithin to acknowledge the last records. What it does
// not acknowledge is sent after the next start.
func (r *running) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.StopWithin)
	defer cancel()
	if err := r.up.Drain(ctx); err != nil {
		r.logger.Info("not all is acknowledged; the rest is sent after the next start", logs.Err(err))
	}
}

// housekeep checks the journal's space each second and reports a change to the
// machines. It kicks the service manager's watchdog only while the control loop
// makes its ticks, so that a hung agent is started again.
func (r *running) housekeep(ctx context.Context) {
	space := time.NewTicker(time.Second)
	defer space.Stop()
	var pet <-chan time.Time // nil: the service manager has no watchdog
	if every := r.deps.Notify.WatchdogInterval(); every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		pet = t.C
	}
	full := false
	turned := r.watch.Loop("housekeeping")
	for {
		select {
		case <-ctx.Done():
			return
		case <-pet:
			if r.clock.at()-r.control.LastTick() < time.Second {
				r.notify(ctx, "watchdog", r.deps.Notify.Watchdog)
			}
		case <-space.C:
			if r.diskFull.Load() || r.recorder.queueAge(r.clock.at()) < hangsAfter {
				r.recorderLoop.Beat()
			}
			turned.Beat()
			if now := r.recorder.lacksSpace.Load() || r.log.Space().QuotaPermille >= fullPermille; now != full {
				full = now
				r.logger.Warn("space for unacknowledged records", slog.Bool("full", full))
				for _, m := range r.machines {
					m.post(func(n connector.Now) connector.Event { return connector.StorageChanged{Now: n, Full: now} })
				}
			}
		}
	}
}

// notify sends a state to the service manager. An error is only logged: the
// charging point works without one.
func (r *running) notify(ctx context.Context, state string, send func(context.Context) error) {
	if err := send(ctx); err != nil {
		r.logger.Warn("service manager not notified", slog.String("word", state), logs.Err(err))
	}
}

// panicked is the value of a panic as an error.
type panicked struct{ value any }

// Error implements error.
func (p panicked) Error() string {
	if err, ok := p.value.(error); ok {
		return "panic: " + err.Error()
	}
	if s, ok := p.value.(string); ok {
		return "panic: " + s
	}
	return "panic"
}

// reportDiskFull raises or clears the journal fault of every connector: no power
// flows while not even the end of a session could be recorded.
func (r *running) reportDiskFull(full bool) {
	r.diskFull.Store(full)
	for _, m := range r.machines {
		m.post(func(n connector.Now) connector.Event {
			if full {
				return connector.FaultSeen{Now: n, Fault: charge.FaultJournal, Detail: "no space on the disk"}
			}
			return connector.FaultGone{Now: n, Fault: charge.FaultJournal}
		})
	}
}
