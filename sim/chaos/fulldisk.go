package chaos

import (
	"context"
	"errors"
	"time"
)

// Bounds of a full disk.
const (
	// noticeTimeout is how long a part has to notice: a log that was long once takes
	// more without more room.
	noticeTimeout  = 15 * time.Second
	healthInterval = 100 * time.Millisecond // the look at a part that has no room
)

// fullDisk is a disk that is full while a part goes on.
type fullDisk struct {
	target *target
	killed bool // and started again while it is full
	// noticed says that /readyz told of it.
	noticed bool
}

// fill fills the disk and lets time pass until the part has noticed. What the
// agent deletes from now on is kept.
func (f *fullDisk) fill(ctx context.Context) error {
	t := f.target
	if err := errors.Join(f.copyJournal(), t.disk.fill()); err != nil {
		return err
	}
	if f.killed {
		if err := errors.Join(t.kill(), f.copyJournal(), t.process.Start(ctx)); err != nil {
			return err
		}
	}
	return f.poll(ctx, noticeTimeout, func() bool { return f.noticed })
}

// keepFull lets time pass.
func (f *fullDisk) keepFull(ctx context.Context, d time.Duration) error {
	return f.poll(ctx, d, func() bool { return false })
}

func (f *fullDisk) poll(ctx context.Context, limit time.Duration, enough func() bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end) && !enough() && ctx.Err() == nil; {
		if err := f.copyJournal(); err != nil {
			return err
		}
		h, err := readyCheck(ctx, f.target.health, f.target.check)
		f.noticed = f.noticed || err == nil && !h.Up
		sleep(ctx, min(healthInterval, time.Until(end)))
	}
	return nil
}

// copyJournal keeps what the agent may delete.
func (f *fullDisk) copyJournal() error {
	if f.target.point == nil {
		return nil
	}
	return f.target.point.copyJournal()
}

// diskHealthy reports whether a part that has a disk says that there is room.
func (t *target) diskHealthy(ctx context.Context) bool {
	if t.disk == nil {
		return true
	}
	h, err := readyCheck(ctx, t.health, t.check)
	return err == nil && h.Up
}
