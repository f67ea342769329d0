package journal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Errors a caller tells apart with errors.Is.
var (
	// ErrFull says that there is no room. Nothing was written; it may be tried
	// again at any time.
	ErrFull = errors.New("no room in the journal")
	// ErrFailed says that the storage failed twice in a row: the log takes no
	// more in this boot, and the next one recovers what is there.
	ErrFailed = errors.New("the journal's storage failed")
	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("the journal is closed")
	// ErrLocked says that another process uses the directory.
	ErrLocked = errors.New("in use by another process")
	// ErrNotHeld says that a record is not kept any more, or not yet written.
	ErrNotHeld = errors.New("record not held")
)

// Encode makes the bytes of the record that gets seq and follows the record with
// the hash prev, in lower-case hex; prev is empty when nothing is before it.
type Encode = func(seq charge.Seq, prev string) ([]byte, error)

// Entry is one record held.
type Entry struct {
	Index   uint64 // place among all that is held, without gaps, in the order of writing
	Journal charge.JournalID
	Seq     charge.Seq
	Bytes   []byte
}

// Range is records of one journal that follow each other without gap.
type Range struct {
	Journal     charge.JournalID
	First, Last charge.Seq
	Index       uint64 // of First
}

// Options say whose log it is and how much is kept. Zero values mean defaults.
type Options struct {
	CP          charge.CPID
	Journal     charge.JournalID // of this boot, new
	SegmentSize int64            // 1 MiB
	Quota       int64            // for records not acknowledged: 256 MiB
	RetainBytes int64            // of acknowledged records: 64 MiB
	RetainFor   time.Duration    // the same by age: 35 days
	Now         func() time.Time // time.Now
	// Checkpoint returns what must be known at the next boot, as the records up to
	// now say. It is called within Append, before the records that follow it are
	// encoded. nil: no checkpoints.
	Checkpoint func() ([]byte, error)
	Log        *slog.Logger
}

func (o *Options) fill() {
	o.SegmentSize = or(o.SegmentSize, 1<<20)
	o.Quota = or(o.Quota, 256<<20)
	o.RetainBytes = or(o.RetainBytes, 64<<20)
	o.RetainFor = or(o.RetainFor, 35*24*time.Hour)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Recovery is what Open found of earlier boots.
type Recovery struct {
	Last       *Entry // the last record held; nil on empty storage
	Checkpoint []byte // the last checkpoint; nil when there is none
	Since      [][]byte
	Damaged    []Damage
	TornBytes  int64 // of a tail that was never announced, and is dropped
	Position   Position
}

// Log is the durable log of one charging point. See the package comment.
type Log struct {
	fs    FS
	opts  Options
	lock  io.Closer
	slots *slots

	mu sync.Mutex
	// mu guards everything that follows. Who leads a commit owns active, used,
	// seq, ordinal and prev until it has committed, without holding mu.
	segments []*segment // oldest first; the last one is written
	next     uint64     // number of the next segment
	index    uint64     // of the last record held
	position Position
	acked    uint64 // index of the position
	queue    []*job
	leading  bool
	failed   error
	readers  map[string]File

	active  File
	used    int64 // bytes of the active segment that are on disk
	seq     charge.Seq
	ordinal uint64
	prev    [hashSize]byte
	hasPrev bool
}

// job is one Append that waits for its commit.
type job struct {
	encode []Encode
	err    error
	done   chan struct{}
}

// Open recovers the directory and begins this boot's journal in a fresh segment
// as soon as something is appended. The directory is locked until Close.
func Open(fs FS, opts Options) (*Log, Recovery, error) {
	opts.fill()
	if !opts.CP.Valid() || !charge.ValidID(string(opts.Journal)) {
		return nil, Recovery{}, fmt.Errorf("open journal: cp %q and journal %q must be ids", opts.CP, opts.Journal)
	}
	lock, err := fs.Lock()
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("open journal: %w", err)
	}
	l := &Log{fs: fs, opts: opts, lock: lock, readers: map[string]File{}}
	found, err := l.recover()
	if err != nil {
		return nil, Recovery{}, errors.Join(fmt.Errorf("open journal: %w", err), l.Close())
	}
	return l, found, nil
}

func (l *Log) recover() (Recovery, error) {
	names, err := l.fs.List()
	if err != nil {
		return Recovery{}, err
	}
	for _, name := range names { // left by a crash between write and rename
		if strings.HasSuffix(name, tmpExt) {
			if err := l.fs.Remove(name); err != nil {
				return Recovery{}, fmt.Errorf("remove %s: %w", name, err)
			}
		}
	}
	ld := loader{fs: l.fs, cp: l.opts.CP, next: 1}
	if l.slots, ld.position, err = openSlots(l.fs, slices.Contains(names, positionFile)); err != nil {
		return Recovery{}, fmt.Errorf("position: %w", err)
	}
	if err := ld.readSegments(names); err != nil {
		return Recovery{}, err
	}
	ld.judge()
	l.segments, l.next, l.position = ld.segments, ld.next, ld.position
	found := Recovery{Damaged: ld.damaged, TornBytes: ld.torn, Position: ld.position}
	return found, l.learn(&found)
}

// learn takes over what recovery found, and reads the records behind the last
// checkpoint.
func (l *Log) learn(found *Recovery) error {
	from := 0
	for i, s := range l.segments {
		l.ordinal = max(l.ordinal, s.ordinal(s.lastSeq()))
		if s.journal == l.opts.Journal {
			return fmt.Errorf("journal %s is on disk already; each boot needs a new id", s.journal)
		}
		if s.saved != nil {
			found.Checkpoint, from = s.saved, i
		}
		if n := s.records(); n > 0 {
			l.index = s.runs[0].index + uint64(n) - 1
		} else if i == 0 {
			l.index = s.index - 1
		}
	}
	for i := len(l.segments) - 1; i >= 0 && (i >= from || found.Last == nil); i-- {
		s := l.segments[i]
		for _, r := range slices.Backward(s.runs) {
			entries, err := l.readRun(s, r, 0, len(r.offsets), true)
			if err != nil {
				return err
			}
			if n := len(entries); found.Last == nil && n > 0 {
				found.Last = &entries[n-1]
			}
			if i >= from {
				found.Since = append(bytesOf(entries), found.Since...)
			}
		}
	}
	if found.Last != nil {
		l.prev, l.hasPrev = hashOf(found.Last.Bytes), true
	}
	l.acked = l.indexOf(l.position)
	return nil
}

func bytesOf(entries []Entry) [][]byte {
	list := make([][]byte, 0, len(entries))
	for _, e := range entries {
		list = append(list, e.Bytes)
	}
	return list
}

// indexOf is the index of a position, or that before the first record held.
func (l *Log) indexOf(p Position) uint64 {
	first := l.index + 1
	if len(l.segments) > 0 && len(l.segments[0].runs) > 0 {
		first = l.segments[0].runs[0].index
	}
	at := first - 1
	for _, s := range l.segments {
		for _, r := range s.runs {
			if s.journal == p.Journal && p.Seq >= r.first {
				at = max(at, r.index+uint64(min(p.Seq, r.last())-r.first))
			}
		}
	}
	return at
}

// Append makes the records durable, together and in order, and returns then. On
// an error none of them is held. ErrFull may be tried again; any other error is
// for ever.
func (l *Log) Append(encode ...Encode) error {
	if len(encode) == 0 {
		return nil
	}
	j := &job{encode: encode, done: make(chan struct{})}
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

// lead commits all that waits, group after group.
func (l *Log) lead() {
	for {
		l.mu.Lock()
		group := l.queue
		l.queue = nil
		if len(group) == 0 {
			l.leading = false
			l.mu.Unlock()
			return
		}
		failed := l.failed
		l.mu.Unlock()
		if failed != nil {
			for _, j := range group {
				j.err = failed
			}
		} else {
			l.commit(group)
		}
		for _, j := range group {
			close(j.done)
		}
	}
}

// Position is the position last set, or found on disk.
func (l *Log) Position() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position
}

// SetPosition remembers what Central has acknowledged, lazily, and deletes what
// need not be kept any more. An error costs repeats after the next boot and
// nothing else.
func (l *Log) SetPosition(p Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.position, l.acked = p, l.indexOf(p)
	l.retain()
	return l.slots.write(p)
}

// QuotaPermille is how much of the space for records that are not acknowledged
// is used.
func (l *Log) QuotaPermille() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	unacked := int64(0)
	for _, s := range l.segments {
		n := s.records()
		if n == 0 {
			continue
		}
		first := s.runs[0].index
		last := first + uint64(n) - 1
		switch {
		case last <= l.acked:
		case first > l.acked:
			unacked += s.end
		default:
			unacked += s.end * int64(last-l.acked) / int64(n)
		}
	}
	return unacked * 1000 / l.opts.Quota
}

// Close syncs the position and frees the directory. What was appended is on disk
// already.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	if l.failed == nil {
		l.failed = ErrClosed
	}
	if l.slots != nil {
		errs = append(errs, l.slots.sync(), l.slots.f.Close())
		l.slots = nil
	}
	for name := range l.readers {
		errs = append(errs, l.closeReader(name))
	}
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

// Hash is the lower-case hex SHA-256 of a record's bytes.
func Hash(b []byte) string {
	h := hashOf(b)
	return hex.EncodeToString(h[:])
}
