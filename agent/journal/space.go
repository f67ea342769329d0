package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/carga-ev/carga/internal/wire"
)

// Class says what makes way when there is no room.
type Class int

// The classes of records.
const (
	// Sample is refused first, from nine tenths of the space on.
	Sample Class = iota
	// Normal is refused when the quota or the disk is used up.
	Normal
	// Final ends something: it may go over the quota, and into the reserve.
	Final
)

// ClassOf is the class of a type of record. Final is what somebody pays for or
// waits for; whether a session may begin is decided before it is written.
func ClassOf(t wire.RecordType) Class {
	switch t {
	case wire.TypeMeterRead:
		return Sample
	case wire.TypeRegistered, wire.TypeAuthorized, wire.TypeChargingStarted, wire.TypeChargingStopped,
		wire.TypeReservationEnded, wire.TypeFaultRaised, wire.TypeCommandFinished:
		return Final
	case wire.TypeStatusChanged, wire.TypePluggedIn, wire.TypeUnplugged, wire.TypeAuthRequested, wire.TypeCommandAccepted,
		wire.TypeSuspended, wire.TypeResumed, wire.TypeFaultCleared, wire.TypeAnomalySeen:
	}
	return Normal
}

const (
	reserveFile         = "reserve"
	firstSize           = 32 << 10 // of a boot's first segment; each one is twice as large as the one before
	samplesFullPermille = 900      // permille of the space used that keep samples out
)

// errQuota is the reason where it is not that of the file system.
var errQuota = errors.New("the quota for records that are not acknowledged is used up")

// isSet tells a clock that somebody has set.
func isSet(t time.Time) bool { return t.Year() >= 2026 }

// QuotaPermille is how much of the space for records that are not acknowledged
// is used, by the quota or by what the file system has left, whichever is
// worse. From 1000 on only final records are taken.
func (l *Log) QuotaPermille() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.unacked()*1000/l.opts.Quota, l.diskPermille())
}

// unacked is the size of the files with records that are not acknowledged.
func (l *Log) unacked() (bytes int64) {
	for _, s := range l.segments {
		if s.lastIndex() > l.acked {
			bytes += s.size
		}
	}
	return bytes
}

// diskPermille is 900 when two segments fit on the disk still, and 0 when
// twenty do. What may be deleted counts as room, a reserve that is missing does
// not.
func (l *Log) diskPermille() int64 {
	free, err := l.fs.Free()
	if err != nil {
		return 0 // the next segment will tell
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

// deletable is how many of the oldest segments Central has whole and the next
// boot does not need: those before the last checkpoint.
func (l *Log) deletable() int {
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

// retain deletes the oldest segments that Central has whole and that are old or
// too many. The caller holds mu.
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

// isOld tells whether a segment was begun too long ago. With a clock that is
// not set, then or now, nothing is old.
func (l *Log) isOld(s *segment) bool {
	now := l.opts.Now()
	return s.created > 0 && isSet(now) && now.UnixMilli()-s.created > l.opts.RetainFor.Milliseconds()
}

// deleteOldest forgets one segment, and before it the files that do not count.
// The position must be on disk before, and each deletion before the next one:
// what Central has must not look lost, and what was written again not held.
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

// remove makes sure that a file is gone. Reads of it fail from then on.
func (l *Log) remove(name string) error {
	if err := l.fs.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return l.fs.SyncDir()
}

// admit says whether records of a class are taken now. Whether they find a
// place is seen then.
func (l *Log) admit(c Class) error {
	if c == Final {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.restoreReserve(); isFull(err) {
		return fmt.Errorf("%w: the reserve for final records is in use", ErrFull)
	} else if err != nil { // the next segment will tell
		l.opts.Log.Warn("no reserve for the journal's final records", slog.Any("err", err))
	}
	if c == Sample && max(l.unacked()*1000/l.opts.Quota, l.diskPermille()) >= samplesFullPermille {
		return fmt.Errorf("%w: no samples until there is more", ErrFull)
	}
	return nil
}

// createWithinSpace makes the file of a new segment where there is room: within the quota;
// else in the place of what Central has; final records in that of the reserve.
func (l *Log) createWithinSpace(c Class, s *segment, bytes, head []byte) (File, error) {
	least := int64(len(bytes) + len(head))
	s.size = max(min(l.opts.SegmentSize, firstSize<<min(l.segmentsMade, 20)), least)
	if c < Final && l.overQuota(s.size) {
		return nil, fmt.Errorf("%w: %w", ErrFull, errQuota)
	}
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

func (l *Log) overQuota(size int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unacked()+size > l.opts.Quota
}

// deleteForSpace deletes the oldest segment that may be deleted, if there is one.
func (l *Log) deleteForSpace() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deletable() > 0 && l.deleteOldest()
}

// useReserve gives up the reserve.
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

// restoreReserve makes the reserve where there is room for it and for a segment of the
// records that ask. The caller holds mu, or nobody else knows of l.
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
