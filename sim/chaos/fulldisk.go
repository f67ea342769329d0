package chaos

import (
	"context"
	"errors"
	"time"
)

// Timing of a full disk.
const (
	// noticeTimeout limits the wait for the process to notice. An SQLite log
	// that was long before reuses its space, and the disk is noticed later.
	noticeTimeout  = 15 * time.Second
	healthInterval = 100 * time.Millisecond // between two requests for health
)

// fullDisk is the fault of a disk that is full while its process runs.
type fullDisk struct {
	target *target
	killed bool // kill the process and start it again on the full disk
	// noticed is set once /readyz reported the disk.
	noticed bool
}

// fill makes the disk full and waits until the process has noticed, or
// noticeTimeout. From now on segments are copied before the agent deletes them.
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

// keepFull leaves the disk full for d.
func (f *fullDisk) keepFull(ctx context.Context, d time.Duration) error {
	return f.poll(ctx, d, func() bool { return false })
}

// poll copies the journal and asks for health at intervals, until enough, limit
// or the end of ctx.
func (f *fullDisk) poll(ctx context.Context, limit time.Duration, enough func() bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end) && !enough() && ctx.Err() == nil; {
		if err := f.copyJournal(); err != nil {
			return err
		}
		h, err := readyCheck(ctx, f.target.health, f.target.check)
		// An unreachable program has noticed nothing: it may just start.
		f.noticed = f.noticed || err == nil && !h.Up
		sleep(ctx, min(healthInterval, time.Until(end)))
	}
	return nil
}

// copyJournal copies the segments that the agent may delete.
func (f *fullDisk) copyJournal() error {
	if f.target.point == nil {
		return nil
	}
	return f.target.point.copyJournal()
}

// diskHealthy reports whether the process reports its disk as healthy, or has
// no disk of its own.
func (t *target) diskHealthy(ctx context.Context) bool {
	if t.disk == nil {
		return true
	}
	h, err := readyCheck(ctx, t.health, t.check)
	return err == nil && h.Up
}
