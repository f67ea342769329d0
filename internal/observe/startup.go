package observe

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/metrics"
)

// StartupWait shows, in the log and in /readyz, what a program waits for before
// it can start. One goroutine calls its methods.
type StartupWait struct {
	Prefix  string // of the program's metrics
	Check   string // the name of what the program waits for
	Observe Config // where the wait is served; the zero value only logs it
	Log     *slog.Logger

	reason atomic.Pointer[string]
	stop   context.CancelFunc // nil before the first Report
	shown  sync.WaitGroup     // the goroutines of the server
}

// Report shows why the program waits. The first call starts a server, which
// runs until End or the end of ctx: the program is alive, since it has no loops
// yet, but not ready. The same reason is logged once.
func (w *StartupWait) Report(ctx context.Context, reason string) {
	if before := w.reason.Swap(&reason); before == nil || *before != reason {
		w.Log.Error("cannot start yet; trying again", slog.String("part", w.Check), slog.String("reason", reason))
	}
	if w.stop != nil {
		return
	}
	ctx, w.stop = context.WithCancel(ctx)
	server := NewServer(w.Prefix, func(r *health.Registry) { r.Down(w.Check, *w.reason.Load()) }, func() []metrics.Family { return nil }, w.Log)
	w.shown.Go(func() { server.Run(ctx) })
	w.shown.Go(func() { server.Serve(ctx, w.Observe, nil, nil) })
}

// End stops the server and releases its address, so that the program can serve
// there. It must be called, even without a Report.
func (w *StartupWait) End() {
	if w.stop != nil {
		w.stop()
	}
	w.shown.Wait()
}
