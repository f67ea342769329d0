package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/carga-ev/carga/agent/class"
)

// Class is the priority of records when space is scarce; see package class.
type Class = class.Class

// The classes of records.
const (
	Sample = class.Sample
	Normal = class.Normal
	Final  = class.Final
)

const (
	reserveFile         = "reserve"
	firstSize           = 32 << 10 // of a boot's first segment; each one is twice as large as the one before
	samplesFullPermille = 900      // permille of the space used from which on samples are refused
)

// errQuota is the reason of ErrFull where it is not a full file system.
var errQuota = errors.New("the quota for records that are not acknowledged is used up")

// isSet reports whether the wall clock was set.
func isSet(t time.Time) bool { return t.Year() >= 2026 }

// QuotaPermille is how much of the space for unacknowledged records is used, in
// thousandths: of the quota, or of what the file system has left, whichever is
// greater. From 1000 on only final records are accepted.
func (l *Log) QuotaPermille() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.unacked()*1000/l.opts.Quota, l.diskPermille())
}

// unacked is the size of the files with unacknowledged records.
func (l *Log) unacked() (bytes int64) {
	for _, s := range l.segments {
		if s.lastIndex() > l.acked {
			bytes += s.size
		}
	}
	return bytes
}

// diskPermille is how full the disk is: 0 when twenty segments still fit, 900
// when two do. Segments that may be deleted count as free space; a missing
// reserve is subtracted.
func (l *Log) diskPermille() int64 {
	free, err := l.fs.Free()
	if err != nil {
		return 0 // if the disk is full, the next segment fails
	}
	free = min(free, 1<<50)
	for i := range l.deletable() {
		free += l.segments[i].size
	}
	if !l.reserve {
		free -= l.opts.Reserve
	}
	free = max(free, 0)
	need := 2 * l.opts.SegmentSize
	return 1000 - min(1000, free/need*100+free%need*100/need)
}

// deletable is how many of the oldest segments may be deleted: Central has
// acknowledged all their records, and the next boot does not need them, since
// they are before the last checkpoint.
func (l *Log) deletable() int {
	// The active segment is never deleted.
	needed := len(l.segments) - 1
	if l.opts.Checkpoint != nil {
		for needed >= 0 && !l.segments[needed].hasCheckpoint {
			needed--
		}
	}
	for i, s := range l.segments[:max(needed, 0)] {
		if s.lastIndex() > l.acked {
			return i
		}
	}
	return max(needed, 0)
}

// retain deletes deletable segments that are too old or beyond RetainBytes. The
// caller holds mu.
func (l *Log) retain() {
	acked := -l.unacked()
	for _, s := range l.segments {
		acked += s.size
	}
	for range l.deletable() {
		if acked <= l.opts.RetainBytes && !l.isOld(l.segments[1]) {
			return
		}
		acked -= l.segments[0].size
		if !l.deleteOldest() {
			return
		}
	}
}

// isOld reports whether a segment was begun longer than RetainFor ago. If the
// clock was not set then or is not set now, it is not old.
func (l *Log) isOld(s *segment) bool {
	now := l.opts.Now()
	return s.created > 0 && isSet(now) && now.UnixMilli()-s.created > l.opts.RetainFor.Milliseconds()
}

// deleteOldest deletes one segment, and before it the bad files before it. The
// position is synced first, and each deletion before the next one: otherwise,
// after a power cut, acknowledged records would look lost, and a bad file whose
// records were written again would look like the first segment.
func (l *Log) deleteOldest() bool {
	s := l.segments[0]
	err := l.slots.sync()
	for err == nil && len(l.bad) > 0 && l.bad[0].number < s.number {
		if err = l.remove(l.bad[0].name); err == nil {
			l.bad = l.bad[1:]
		}
	}
	if err == nil && l.reader.name == s.name {
		err = l.reader.close()
	}
	if err == nil {
		err = l.remove(s.name)
	}
	if err != nil {
		l.opts.Log.Warn("an old journal segment could not be deleted", slog.String("segment", s.name), slog.Any("err", err))
		return false
	}
	l.segments = l.segments[1:]
	return true
}

// remove deletes a file durably. Reading it fails from then on.
func (l *Log) remove(name string) error {
	if err := l.fs.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return l.fs.SyncDir()
}

// admit decides whether records of a class are accepted now. Whether they fit
// is known only when they are written.
func (l *Log) admit(c Class) error {
	if c == Final {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.restoreReserve(); isFull(err) {
		return fmt.Errorf("%w: the reserve for final records is in use", ErrFull)
	} else if err != nil { // if the storage has failed, the next segment fails
		l.opts.Log.Warn("no reserve for the journal's final records", slog.Any("err", err))
	}
	if c == Sample && max(l.unacked()*1000/l.opts.Quota, l.diskPermille()) >= samplesFullPermille {
		return fmt.Errorf("%w: no samples until there is more", ErrFull)
	}
	return nil
}

// createWithinSpace makes the file of a new segment within the quota. On a full
// disk it deletes acknowledged segments first; for final records it then tries a
// small segment, and last the space of the reserve.
func (l *Log) createWithinSpace(c Class, s *segment, bytes, head []byte) (File, error) {
	// Segments of a boot double in size, so that many short boots need little
	// space and a long one few files.
	least := int64(len(bytes) + len(head))
	s.size = max(min(l.opts.SegmentSize, firstSize<<min(l.segmentsMade, 20)), least)
	if c < Final && l.overQuota(s.size) {
		return nil, fmt.Errorf("%w: %w", ErrFull, errQuota)
	}
	// Acknowledged segments are history that Central has: they go first.
	f, err := l.create(s, bytes, head)
	for isFull(err) && l.deleteForSpace() {
		f, err = l.create(s, bytes, head)
	}
	if isFull(err) && c == Final {
		s.size = max(min(l.opts.SegmentSize, firstSize), least)
		if f, err = l.create(s, bytes, head); isFull(err) && l.useReserve() {
			f, err = l.create(s, bytes, head)
		}
	}
	switch {
	case err == nil || errors.Is(err, errStorage):
		return f, err
	case isFull(err):
		return nil, fmt.Errorf("%w: %w", ErrFull, err)
	}
	return nil, fmt.Errorf("%w: new segment: %w", errStorage, err)
}

// overQuota reports whether a file of that size would exceed the quota.
func (l *Log) overQuota(size int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unacked()+size > l.opts.Quota
}

// deleteForSpace deletes the oldest deletable segment; false if there is none.
func (l *Log) deleteForSpace() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deletable() > 0 && l.deleteOldest()
}

// useReserve deletes the reserve, which frees its space; false if it is in use
// already.
func (l *Log) useReserve() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.reserve {
		return false
	}
	if err := l.fs.Remove(reserveFile); err != nil {
		l.opts.Log.Error("the journal's reserve cannot be used", slog.Any("err", err))
		return false
	}
	l.reserve = false
	l.opts.Log.Warn("the disk is full: final records use the journal's reserve")
	return true
}

// restoreReserve makes the reserve if there is space for it and for another
// segment. The caller holds mu, or no other goroutine knows of l.
func (l *Log) restoreReserve() error {
	if l.reserve {
		return nil
	}
	if free, err := l.fs.Free(); err == nil && free < l.opts.Reserve+l.opts.SegmentSize {
		return syscall.ENOSPC
	}
	err := l.makeReserve()
	l.reserve = err == nil
	return err
}

// makeReserve writes the reserve's file, whose bytes are zeros that occupy space.
func (l *Log) makeReserve() error {
	tmp := reserveFile + tmpExt
	f, err := l.fs.Create(tmp)
	if err != nil {
		return err
	}
	if err = fillFile(f, nil, nil, l.opts.Reserve); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = l.fs.Rename(tmp, reserveFile)
	}
	if err != nil {
		return errors.Join(err, l.fs.Remove(tmp))
	}
	return l.fs.SyncDir()
}
