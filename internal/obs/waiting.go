package obs

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// Waiting shows, in the log and in health, what a program waits for that cannot
// start yet. Its methods are called by one goroutine.
type Waiting struct {
	Prefix  string  // of the program's metrics
	Check   string  // what it waits for
	Observe Observe // where it is shown; the zero value shows it in the log only
	Log     *slog.Logger

	reason atomic.Pointer[string]
	stop   context.CancelFunc // nil before the first Tell
	shown  sync.WaitGroup
}

// Tell says why it waits. Until End or the end of ctx, health is served; it is
// not ready, and no loop can hang.
func (w *Waiting) Tell(ctx context.Context, reason string) {
	if before := w.reason.Swap(&reason); before == nil || *before != reason {
		w.Log.Error("cannot start yet; trying again", slog.String("part", w.Check), slog.String("reason", reason))
	}
	if w.stop != nil {
		return
	}
	ctx, w.stop = context.WithCancel(ctx)
	watch := NewWatch(w.Prefix, func(r *Registry) { r.Down(w.Check, *w.reason.Load()) }, func() []Family { return nil }, w.Log)
	w.shown.Go(func() { watch.Run(ctx) })
	w.shown.Go(func() { watch.Serve(ctx, w.Observe, nil, nil) })
}

// End gives the address free again. It must be called.
func (w *Waiting) End() {
	if w.stop != nil {
		w.stop()
	}
	w.shown.Wait()
}
