package logs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// A warning or an error with the same message is written at most limitLines
// times per limitWindow. The first line after the window, of whatever message,
// is preceded by one with the number of omitted lines. Without the limit, a
// flood of bad messages would fill the disk with log lines.
const (
	limitLines  = 20
	limitWindow = time.Minute
	// limitKinds bounds the memory. There are fewer different messages in a
	// program, since they are fixed texts; what exceeds it is not limited.
	limitKinds = 1000
)

// limiter is a slog.Handler that omits repeated lines. It uses the time of the
// records, so that it needs no goroutine and no timer.
type limiter struct {
	next   slog.Handler
	shared *limits
}

// limits are shared by a handler and all that WithAttrs and WithGroup derive
// from it.
type limits struct {
	root    slog.Handler // writes how many lines were omitted
	out     io.Writer    // under root
	pending atomic.Bool  // lines were omitted and not yet reported
	failed  atomic.Int64 // lines that out could not write

	mu sync.Mutex
	// mu guards everything that follows.
	lines map[repeated]*window
}

type repeated struct {
	level   slog.Level
	message string
}

type window struct {
	began            time.Time
	written, omitted int
}

func limited(h slog.Handler, out io.Writer) slog.Handler {
	return &limiter{next: h, shared: &limits{root: h, out: out, lines: map[repeated]*window{}}}
}

// Enabled implements slog.Handler.
func (l *limiter) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (l *limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limiter{next: l.next.WithAttrs(attrs), shared: l.shared}
}

// WithGroup implements slog.Handler.
func (l *limiter) WithGroup(name string) slog.Handler {
	return &limiter{next: l.next.WithGroup(name), shared: l.shared}
}

// Handle implements slog.Handler.
func (l *limiter) Handle(ctx context.Context, r slog.Record) error {
	var err error
	if l.shared.pending.Load() {
		err = l.shared.reportOmitted(ctx, r.Time)
	}
	if r.Level >= slog.LevelWarn && !l.shared.admit(&r) {
		return err
	}
	return errors.Join(err, l.shared.count(l.next.Handle(ctx, r)))
}

// admit reports whether a record is written, and counts it if not.
func (l *limits) admit(r *slog.Record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := repeated{r.Level, r.Message}
	w := l.lines[k]
	if w == nil {
		if len(l.lines) >= limitKinds {
			return true
		}
		w = &window{began: r.Time}
		l.lines[k] = w
	}
	if w.omitted == 0 && r.Time.Sub(w.began) >= limitWindow { // with omitted lines, reportOmitted starts the next window
		w.began, w.written = r.Time, 0
	}
	if w.written >= limitLines {
		w.omitted++
		l.pending.Store(true)
		return false
	}
	w.written++
	return true
}

// reportOmitted writes how many lines were omitted in windows that are over.
func (l *limits) reportOmitted(ctx context.Context, now time.Time) error {
	l.mu.Lock()
	var due []slog.Record
	open := false
	for k, w := range l.lines {
		switch {
		case w.omitted == 0:
		case now.Sub(w.began) < limitWindow:
			open = true
		default:
			r := slog.NewRecord(now, k.level, k.message, 0)
			r.AddAttrs(slog.Int("omitted", w.omitted))
			due = append(due, r)
			w.began, w.written, w.omitted = now, 0, 0
		}
	}
	l.pending.Store(open)
	l.mu.Unlock()
	var errs []error
	for _, r := range due {
		errs = append(errs, l.count(l.root.Handle(ctx, r)))
	}
	return errors.Join(errs...)
}

// count counts a line that could not be written, and returns err.
func (l *limits) count(err error) error {
	if err != nil {
		l.failed.Add(1)
	}
	return err
}
