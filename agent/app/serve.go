package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/logs"
)

// errUnknownKey is the error of a key without a meaning.
var errUnknownKey = errors.New("unknown key")

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
// order of the data: input, hardware, core, writer, uplink. After a failure or
// with ErrKilled as the cause it writes nothing more.
func (r *running) serve(ctx context.Context) error {
	input, hardware, core, writing, uplink := r.newLayer(ctx), r.newLayer(ctx), r.newLayer(ctx), r.newLayer(ctx), r.newLayer(ctx)
	manager := r.newLayer(ctx)
	writing.start(r.writer.run)
	writing.start(r.recorder.Run)
	core.start(r.runCore)
	for _, m := range r.meters {
		hardware.start(m.run)
	}
	hardware.start(r.control.Run)
	hardware.start(r.control.Assist)
	hardware.start(r.control.KickWatchdog)
	uplink.start(func(ctx context.Context) {
		if err := r.up.Run(ctx); err != nil {
			r.logger.Error("uplink ended", logs.Err(err))
		}
	})
	input.start(r.operator.run)
	if r.reader.device != nil {
		input.start(r.readCards)
	}
	if r.panel.device != nil {
		input.start(r.runPanel)
	}
	input.start(r.housekeep)
	input.start(r.watch.Run)
	input.start(func(ctx context.Context) { r.watch.Serve(ctx, r.cfg.Observe, r.deps.Listener, r.pages()) })
	if r.deps.Keys != nil && r.operator.simulator != nil {
		go r.readKeys(input, r.deps.Keys) // ends with its input
	}
	if r.deps.Notify != nil {
		manager.start(func(ctx context.Context) { r.watch.Report(ctx, r.deps.Notify) })
	}

	var err error
	select {
	case <-ctx.Done():
	case err = <-r.writer.failed:
	}
	manager.stop()
	if err != nil || errors.Is(context.Cause(ctx), ErrKilled) {
		writing.stop() // nothing is written after this
	} else {
		err = r.finish(context.WithoutCancel(ctx), input, hardware)
	}
	for _, l := range []*layer{input, hardware, core, writing, uplink} {
		l.stop()
	}
	return errors.Join(err, r.log.Close())
}

// finish ends or suspends the sessions, by policy, and gives Central StopWithin to
// acknowledge the last records. What does not end in time is as after a kill: the
// next start recovers it. It returns an error if the journal fails meanwhile.
func (r *running) finish(ctx context.Context, input, hardware *layer) error {
	input.stop() // no action at simulated hardware begins after this
	r.inbox.put(point.Shutdown{})
	// A meter that does not answer cannot hold it up for longer than its time limit.
	ended, err := r.await(ctx, r.ended, connector.ReadWithin+time.Second)
	if err == nil && !ended {
		r.logger.Warn("a session did not end in time")
	}
	hardware.stop() // the control loop opens what is still closed
	if err != nil {
		return err
	}
	drained, err := r.await(ctx, r.drained, r.cfg.StopWithin)
	if err == nil && !drained {
		r.logger.Info("not all is acknowledged; the rest is sent after the next start",
			slog.Uint64("records", r.view.Load().Delivery.Unacked()))
	}
	return err
}

// await waits for a stage of the end, at most for d. It reports whether it came.
func (r *running) await(ctx context.Context, stage <-chan struct{}, d time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-stage:
		return true, nil
	case err := <-r.writer.failed:
		return false, err
	case <-ctx.Done():
		return false, nil
	}
}

// housekeep lets the core know the disk's space each second, and watches the writer,
// which may wait for the disk.
func (r *running) housekeep(ctx context.Context) {
	space := time.NewTicker(time.Second)
	defer space.Stop()
	turned := r.watch.Loop("housekeeping")
	writes := r.watch.LoopWithin("writer", hangsAfter/3) // reported here, as long as the writer does not hang
	for {
		select {
		case <-ctx.Done():
			return
		case <-space.C:
			if !r.writer.hangs() {
				writes.Beat()
			}
			turned.Beat()
			r.inbox.put(point.DiskChecked{Held: r.log.Held(), Permille: r.log.QuotaPermille()})
		}
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
