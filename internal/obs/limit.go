package obs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Of warnings and errors with the same message this many are written in a
// window; the next line after it says how many were left out. What repeats with
// each message of a flood must not fill the disk.
const (
	limitLines  = 20
	limitWindow = time.Minute
	// limitKinds bounds the memory: messages are fixed texts, so there are fewer.
	limitKinds = 1000
)

// limiter is a handler that leaves out what repeats. Time is that of the
// records, so nothing has to run.
type limiter struct {
	next   slog.Handler
	shared *limits
}

// limits are shared by a handler and all made from it.
type limits struct {
	root    slog.Handler // tells what was left out
	out     io.Writer    // under root
	pending atomic.Bool  // something was left out and not told
	failed  atomic.Int64 // lines that out refused

	mu sync.Mutex
	// mu guards everything that follows.
	lines map[repeated]*window
}

type repeated struct {
	level   slog.Level
	message string
}

type window struct {
	began         time.Time
	said, omitted int
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
		err = l.shared.tell(ctx, r.Time)
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
	if w.omitted == 0 && r.Time.Sub(w.began) >= limitWindow { // one with omitted lines is told first
		w.began, w.said = r.Time, 0
	}
	if w.said >= limitLines {
		w.omitted++
		l.pending.Store(true)
		return false
	}
	w.said++
	return true
}

// tell writes how much was left out in windows that are over.
func (l *limits) tell(ctx context.Context, now time.Time) error {
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
			w.began, w.said, w.omitted = now, 0, 0
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

func (l *limits) count(err error) error {
	if err != nil {
		l.failed.Add(1)
	}
	return err
}
