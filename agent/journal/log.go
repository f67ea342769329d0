package journal

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Errors that a caller distinguishes with errors.Is.
var (
	// ErrFull means that there is no space for records of this class. They are not
	// held; the call may be retried at any time.
	ErrFull = errors.New("no space in the journal")
	// ErrFailed means that the storage failed twice in a row: the log accepts no
	// record in this boot any more, and the next boot recovers what is there.
	ErrFailed = errors.New("the journal's storage failed")
	// ErrClosed means that the log was closed.
	ErrClosed = errors.New("the journal is closed")
	// ErrLocked means that another process uses the directory.
	ErrLocked = errors.New("in use by another process")
	// ErrNotHeld means that a record was deleted or is not yet written.
	ErrNotHeld = errors.New("record not held")
)

// Encode makes the bytes of the record with the number seq. prev is the hash of
// the record before it, in lower-case hex; empty if there is none.
type Encode = func(seq charge.Seq, prev string) ([]byte, error)

// Entry is one record held.
type Entry struct {
	Index   uint64 // place among all records held: without gaps, in the order of writing
	Journal charge.JournalID
	Seq     charge.Seq
	Bytes   []byte
}

// Range is records of one journal that follow each other without a gap.
type Range struct {
	Journal     charge.JournalID
	First, Last charge.Seq
	Index       uint64 // of First
}

// Options are the owner of a log and how much is kept. Zero values mean defaults.
type Options struct {
	CP          charge.CPID
	Journal     charge.JournalID // of this boot; never used before
	SegmentSize int64            // default 1 MiB; the first ones of a boot are smaller
	Quota       int64            // bytes of files with unacknowledged records; default 256 MiB
	RetainBytes int64            // bytes of files with acknowledged records; default 64 MiB
	RetainFor   time.Duration    // age of acknowledged records; default 35 days
	Reserve     int64            // bytes for final records on a full disk; default 256 KiB
	// Now is the wall clock; default time.Now. A time before 2026 means that the
	// clock is not set, and no age is computed with it.
	Now func() time.Time
	// Checkpoint returns the state that the next boot needs, after the records
	// encoded so far. It is called within Append, after the encoders of the records
	// that begin a segment. nil: no checkpoints.
	Checkpoint func() ([]byte, error)
	Log        *slog.Logger
}

// fill sets the defaults.
func (o *Options) fill() {
	o.SegmentSize = cmp.Or(o.SegmentSize, 1<<20)
	o.Quota = cmp.Or(o.Quota, 256<<20)
	o.RetainBytes = cmp.Or(o.RetainBytes, 64<<20)
	o.Reserve = cmp.Or(o.Reserve, 256<<10)
	o.RetainFor = cmp.Or(o.RetainFor, 35*24*time.Hour)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Recovery is what Open recovered from earlier boots.
type Recovery struct {
	Last       *Entry   // the last record held; nil on empty storage
	Checkpoint []byte   // the last good checkpoint; nil when there is none
	Since      [][]byte // the records after it
	Damaged    []Damage
	TornBytes  int64    // bytes that were never announced and are dropped
	Notes      []string // irregularities in words; no record is lost by them
	Position   Position
}

// Log is the durable log of one charging point. See the package comment.
//
// Two locks exist: mu for what readers see, and leadership, a flag under mu, for
// what only the committing caller uses. Disk writes happen without mu.
type Log struct {
	fs   FS
	opts Options

	mu sync.Mutex
	// mu guards everything that follows.
	lock     io.Closer
	slots    slots
	segments []*segment // oldest first; the active one is the last
	bad      []badFile
	index    uint64 // of the last record held
	position Position
	acked    uint64    // index of the position
	queue    []*job    // appends that wait for a commit
	leading  bool      // a caller commits
	idle     sync.Cond // signalled when leading ends
	failed   error     // ErrFailed or ErrClosed: no append is accepted
	reader   reader
	reserve  bool // the reserve exists

	// What follows is used by the leader only, and by Close without one.
	active        File      // nil: the next record begins a segment
	activeSegment *segment  // that of active
	activeUsed    int64     // bytes of it that are on disk
	nextNumber    uint64    // of the next segment
	segmentsMade  int       // segments of this boot
	last          recordRef // the last record encoded
}

// job is one Append that waits for its commit.
type job struct {
	class  Class
	encode []Encode
	err    error
	done   chan struct{}
}

// Open recovers the directory. This boot's journal begins in a new segment with
// the first Append. The directory is locked until Close.
func Open(fs FS, opts Options) (*Log, Recovery, error) {
	opts.fill()
	if !opts.CP.Valid() || !charge.ValidID(string(opts.Journal)) {
		return nil, Recovery{}, fmt.Errorf("open journal: cp %q and journal %q must be ids", opts.CP, opts.Journal)
	}
	lock, err := fs.Lock()
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("open journal: %w", err)
	}
	l := &Log{fs: fs, opts: opts, lock: lock}
	l.idle.L = &l.mu
	found, err := l.recover()
	if err != nil {
		return nil, Recovery{}, errors.Join(fmt.Errorf("open journal: %w", err), l.Close())
	}
	return l, found, nil
}

// recover reads the whole directory before it changes anything in it, so that a
// refused one is left as it was.
func (l *Log) recover() (Recovery, error) {
	d, err := load(l.fs, l.opts.CP)
	if err != nil {
		return Recovery{}, err
	}
	if slices.ContainsFunc(d.segments, func(s *segment) bool { return s.journal == l.opts.Journal }) {
		return Recovery{}, fmt.Errorf("journal %s is on disk already; each boot needs a new id", l.opts.Journal)
	}
	d.decideEnds()
	// From here on the directory changes.
	if err := l.makeDurable(d); err != nil {
		return Recovery{}, err
	}
	for _, name := range d.leftovers { // of a crash between write and rename
		if err := l.fs.Remove(name); err != nil {
			d.notes = append(d.notes, fmt.Sprintf("%s cannot be removed: %v", name, err))
		}
	}
	l.segments, l.bad, l.nextNumber, l.position, l.reserve = d.segments, d.bad, d.nextNumber, d.position, d.reserve
	l.slots = slots{fs: l.fs, exists: d.positioned, generation: d.generation}
	for _, s := range l.segments {
		l.index = max(l.index, s.lastIndex())
	}
	l.acked = l.positionIndex(l.position)
	found := Recovery{Damaged: d.damaged, TornBytes: d.torn, Position: d.position}
	if err := l.recoverRecords(&found); err != nil {
		return Recovery{}, err
	}
	if err := l.slots.open(); err != nil { // retried with the first position
		d.notes = append(d.notes, fmt.Sprintf("no file for the position: %v", err))
	}
	if err := l.restoreReserve(); err != nil {
		d.notes = append(d.notes, fmt.Sprintf("no reserve for final records: %v", err))
	}
	found.Notes = d.notes
	return found, nil
}

// makeDurable makes the records behind the last proven one durable: after a kill
// they may be in the page cache only. They are written again before the sync,
// since a sync that failed earlier leaves pages that look clean. If this fails
// they are dropped, as they were never announced. Names are made durable too.
func (l *Log) makeDurable(d *directory) error {
	if err := l.fs.SyncDir(); err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	if len(d.segments) == 0 {
		return nil
	}
	s := d.segments[len(d.segments)-1]
	proven := d.proven(s)
	if s.end <= proven {
		return nil
	}
	if err := l.rewrite(s, proven+1); err != nil {
		d.notes = append(d.notes, fmt.Sprintf("%s: records from %d on cannot be made durable and are dropped: %v", s.name, proven+1, err))
		s.cutAfter(proven)
	}
	return nil
}

// rewrite writes the records from seq on again, unchanged, and syncs.
func (l *Log) rewrite(s *segment, seq charge.Seq) (err error) {
	f, err := l.fs.Open(s.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for i := range s.extents {
		r := &s.extents[i]
		if r.last() < seq {
			continue
		}
		from := int64(r.offsets[max(seq, r.first)-r.first])
		b := make([]byte, int64(r.end)-from)
		if n, err := f.ReadAt(b, from); n < len(b) {
			return err
		}
		if _, err := f.WriteAt(b, from); err != nil {
			return err
		}
	}
	return f.Sync()
}

// recoverRecords finds the last checkpoint, the records after it, and the last
// record of all, which this boot follows.
func (l *Log) recoverRecords(found *Recovery) error {
	// The last good checkpoint counts; without one all records are replayed.
	from := 0
	for i, s := range l.segments {
		if s.hasCheckpoint {
			found.Checkpoint, from = s.checkpoint, i
		}
		s.checkpoint = nil
	}
	for i := len(l.segments) - 1; i >= 0 && (i >= from || found.Last == nil); i-- {
		s := l.segments[i]
		for k := range slices.Backward(s.extents) {
			entries, err := l.reader.readExtent(l.fs, s, &s.extents[k])
			if err != nil {
				return err
			}
			if n := len(entries); found.Last == nil {
				e := entries[n-1]
				found.Last = &e
				l.last = recordRef{journal: e.Journal, seq: e.Seq, hash: hashOf(e.Bytes)}
			}
			if i >= from {
				found.Since = append(afterCheckpoint(s, entries), found.Since...)
			}
		}
	}
	return nil
}

// afterCheckpoint are the records of a segment that its checkpoint does not
// include.
func afterCheckpoint(s *segment, entries []Entry) [][]byte {
	list := make([][]byte, 0, len(entries))
	for _, e := range entries {
		if !s.hasCheckpoint || e.Seq > s.last {
			list = append(list, e.Bytes)
		}
	}
	return list
}

// positionIndex is the index of the last record held that a position covers; the
// index before the first one if it covers none.
func (l *Log) positionIndex(p Position) uint64 {
	at := l.index
	if h := l.held(); len(h) > 0 {
		at = h[0].Index - 1
		for _, r := range h {
			if r.Journal == p.Journal && p.Seq >= r.First {
				at = max(at, r.Index+uint64(min(p.Seq, r.Last)-r.First))
			}
		}
	}
	return at
}

// Append makes the records durable, together and in order, and then returns.
// After an error none of them is held. ErrFull may be retried; ErrFailed and
// ErrClosed are final. Any other error is that of an encoder or of the
// checkpoint.
//
// Records that failed after their bytes were written (ErrFailed; ErrFull where
// the file system needs space to overwrite) may be found by the next Open if
// nothing was written behind them, like records whose announcement a power cut
// prevented.
func (l *Log) Append(class Class, encode ...Encode) error {
	if len(encode) == 0 {
		return nil
	}
	// The first caller becomes the leader and commits for the others, which wait.
	j := &job{class: class, encode: encode, done: make(chan struct{})}
	l.mu.Lock()
	if l.failed != nil {
		defer l.mu.Unlock()
		return l.failed
	}
	l.queue = append(l.queue, j)
	lead := !l.leading
	l.leading = true
	l.mu.Unlock()
	if lead {
		l.lead()
	}
	<-j.done
	return j.err
}

// lead commits all waiting jobs, group after group, until the queue is empty.
func (l *Log) lead() {
	for {
		l.mu.Lock()
		group, failed := l.queue, l.failed
		l.queue = nil
		if len(group) == 0 {
			l.leading = false
			l.idle.Broadcast()
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		// After a failure the remaining jobs are refused with its error.
		rest := group
		for len(rest) > 0 && failed == nil {
			rest = l.commit(rest)
			failed = l.failure()
		}
		for _, j := range rest {
			j.err = failed
		}
		for _, j := range group {
			close(j.done)
		}
	}
}

// failure is why no append is accepted; nil if they are.
func (l *Log) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// Position is the position last set, or the one found on disk.
func (l *Log) Position() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position
}

// SetPosition saves what Central has acknowledged, without a sync, and deletes
// segments that need not be kept any more. After an error more records are sent
// again after the next boot, nothing else.
func (l *Log) SetPosition(p Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(l.failed, ErrClosed) {
		return l.failed
	}
	l.position, l.acked = p, l.positionIndex(p)
	err := l.slots.write(p)
	l.retain()
	return err
}

// Close waits for the present commit, syncs the position and unlocks the
// directory. Appended records are on disk already. An encoder must not call it.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// New appends are refused from now on, and so are those that still wait.
	if l.failed == nil || !errors.Is(l.failed, ErrClosed) {
		l.failed = ErrClosed
	}
	for l.leading {
		l.idle.Wait()
	}
	errs := []error{l.slots.close(), l.reader.close()}
	l.slots = slots{}
	if l.active != nil {
		errs = append(errs, l.active.Close())
		l.active = nil
	}
	if l.lock != nil {
		errs = append(errs, l.lock.Close())
		l.lock = nil
	}
	return errors.Join(errs...)
}

// hashOf is the hash that chains records.
func hashOf(b []byte) [hashSize]byte { return sha256.Sum256(b) }

// Hash is the lower-case hex SHA-256 of a record's bytes.
func Hash(b []byte) string {
	h := hashOf(b)
	return hex.EncodeToString(h[:])
}
