package chaos

import (
	"context"
	"errors"
	"time"
)

// Bounds of a full disk.
const (
	// noticeLimit is how long a part has to notice: a log that was long once takes
	// more without more room.
	noticeLimit = 15 * time.Second
	starveEvery = 100 * time.Millisecond // the look at a part that has no room
)

// fullness is a disk that is full while a part goes on.
type fullness struct {
	target *target
	killed bool // and started again while it is full
	// noticed says that /readyz told of it.
	noticed bool
}

// begin fills the disk and lets time pass until the part has noticed. What the
// agent deletes from now on is kept.
func (f *fullness) begin(ctx context.Context) error {
	t := f.target
	if err := errors.Join(f.keep(), t.disk.fill()); err != nil {
		return err
	}
	if f.killed {
		if err := errors.Join(t.kill(), f.keep(), t.process.Start(ctx)); err != nil {
			return err
		}
	}
	return f.wait(ctx, noticeLimit, func() bool { return f.noticed })
}

// hold lets time pass.
func (f *fullness) hold(ctx context.Context, d time.Duration) error {
	return f.wait(ctx, d, func() bool { return false })
}

func (f *fullness) wait(ctx context.Context, limit time.Duration, enough func() bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end) && !enough() && ctx.Err() == nil; {
		if err := f.keep(); err != nil {
			return err
		}
		h, err := health(ctx, f.target.health, f.target.check)
		f.noticed = f.noticed || err == nil && !h.Up
		rest(ctx, min(starveEvery, time.Until(end)))
	}
	return nil
}

// keep keeps what the agent may delete.
func (f *fullness) keep() error {
	if f.target.point == nil {
		return nil
	}
	return f.target.point.keep()
}

// roomy reports whether a part that has a disk says that there is room.
func (t *target) roomy(ctx context.Context) bool {
	if t.disk == nil {
		return true
	}
	h, err := health(ctx, t.health, t.check)
	return err == nil && h.Up
}
