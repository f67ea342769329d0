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
	"syscall"
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

// batch is frames that are encoded and not yet on disk.
type batch struct {
	bytes   []byte
	offsets []int // of each record's frame in bytes
	jobs    []*job
	seq     charge.Seq // of the first
	ordinal uint64
	prev    [hashSize]byte // before the first
	hasPrev bool
}

// commit writes a group with as few syncs as it can: one, unless a segment is
// full.
func (l *Log) commit(group []*job) {
	b := l.newBatch()
	for i, j := range group {
		saved, err := l.checkpointFor(b, j)
		if err != nil {
			j.err = err
			continue
		}
		mark := *b
		if j.err = l.encode(b, j); j.err != nil {
			l.unwind(b, mark)
			continue
		}
		if l.fits(b) {
			b.jobs = append(b.jobs, j)
			continue
		}
		// The segment is full: what is before this job goes into it, the job and
		// what follows into the next.
		tail := *l.split(b, mark)
		l.flush(b)
		if err := l.failure(); err != nil {
			for _, later := range group[i:] {
				later.err = err
			}
			return
		}
		b = &tail
		if err := l.rotate(saved, b); err != nil {
			j.err = err
			l.unwind(b, batch{seq: b.seq, ordinal: b.ordinal, prev: b.prev, hasPrev: b.hasPrev})
			continue
		}
		b.jobs = append(b.jobs, j)
	}
	l.flush(b)
}

func (l *Log) newBatch() *batch {
	return &batch{seq: l.seq + 1, ordinal: l.ordinal + 1, prev: l.prev, hasPrev: l.hasPrev}
}

// checkpointFor asks for a checkpoint if the job might not fit: it must say what
// is before the job's records.
func (l *Log) checkpointFor(b *batch, j *job) ([]byte, error) {
	room := l.room() - int64(len(b.bytes))
	if l.opts.Checkpoint == nil || l.active != nil && room >= int64(len(j.encode))*(frameHead+maxPayload/2) {
		return nil, nil
	}
	saved, err := l.opts.Checkpoint()
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return saved, nil
}

func (l *Log) room() int64 {
	if l.active == nil {
		return 0
	}
	return l.segments[len(l.segments)-1].size - l.used
}

func (l *Log) fits(b *batch) bool { return l.active != nil && int64(len(b.bytes)) <= l.room() }

// encode appends the job's frames to the batch.
func (l *Log) encode(b *batch, j *job) error {
	durable := b.ordinal - 1
	for _, enc := range j.encode {
		raw, err := enc(l.seq+1, hexHash(l.prev, l.hasPrev))
		if err != nil {
			return fmt.Errorf("encode record %d: %w", l.seq+1, err)
		}
		if len(raw) == 0 || len(raw) > maxPayload {
			return fmt.Errorf("record %d has %d bytes; 1 to %d are allowed", l.seq+1, len(raw), maxPayload)
		}
		l.seq++
		l.ordinal++
		l.prev, l.hasPrev = hashOf(raw), true
		b.offsets = append(b.offsets, len(b.bytes))
		b.bytes = appendFrame(b.bytes, l.seq, durable, raw)
	}
	return nil
}

// unwind takes back what was encoded since mark.
func (l *Log) unwind(b *batch, mark batch) {
	b.bytes, b.offsets, b.jobs = b.bytes[:len(mark.bytes)], b.offsets[:len(mark.offsets)], mark.jobs
	l.seq = b.seq + charge.Seq(len(b.offsets)) - 1
	l.ordinal = b.ordinal + uint64(len(b.offsets)) - 1
	l.prev, l.hasPrev = b.prev, b.hasPrev
	if n := len(b.offsets); n > 0 {
		if f, ok := decodeFrame(b.bytes[b.offsets[n-1]:]); ok {
			l.prev, l.hasPrev = hashOf(f.payload), true
		}
	}
}

// split takes the frames since mark out of the batch.
func (l *Log) split(b *batch, mark batch) *batch {
	tail := &batch{
		bytes: slices.Clone(b.bytes[len(mark.bytes):]), seq: b.seq + charge.Seq(len(mark.offsets)),
		ordinal: b.ordinal + uint64(len(mark.offsets)), prev: b.prev, hasPrev: b.hasPrev,
	}
	for _, o := range b.offsets[len(mark.offsets):] {
		tail.offsets = append(tail.offsets, o-len(mark.bytes))
	}
	b.bytes, b.offsets = b.bytes[:len(mark.bytes)], b.offsets[:len(mark.offsets)]
	if n := len(b.offsets); n > 0 {
		if f, ok := decodeFrame(b.bytes[b.offsets[n-1]:]); ok {
			tail.prev, tail.hasPrev = hashOf(f.payload), true
		}
	}
	return tail
}

// flush puts a batch on disk. If that fails nothing is known of the file any
// more: it is never touched again, and the batch goes into a new segment once.
// If that fails too the log has failed.
func (l *Log) flush(b *batch) {
	if len(b.offsets) == 0 {
		return
	}
	err := l.write(b)
	if err != nil {
		l.opts.Log.Error("a journal segment failed, trying a new one", slog.Any("err", err))
		_ = l.active.Close()
		l.active = nil
		if err = l.rotate(nil, b); err == nil {
			err = l.write(b)
		}
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrFailed, err)
		l.mu.Lock()
		l.failed = err
		l.mu.Unlock()
		for _, j := range b.jobs {
			j.err = err
		}
		return
	}
	l.publish(b)
	*b = *l.newBatch()
}

func (l *Log) write(b *batch) error {
	if _, err := l.active.WriteAt(b.bytes, l.used); err != nil {
		return err
	}
	return l.active.Sync()
}

// publish makes a batch that is on disk visible.
func (l *Log) publish(b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.segments[len(l.segments)-1]
	if len(s.runs) == 0 {
		s.runs = []run{{first: b.seq, index: l.index + 1}}
	}
	r := &s.runs[len(s.runs)-1]
	for _, o := range b.offsets {
		r.offsets = append(r.offsets, uint32(l.used)+uint32(o))
	}
	l.index += uint64(len(b.offsets))
	l.used += int64(len(b.bytes))
	s.end = l.used
}

func (l *Log) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// rotate makes a new segment for what follows, its checkpoint in front: zeroed
// and synced under another name, then renamed.
func (l *Log) rotate(saved []byte, b *batch) error {
	h := header{
		number: l.next, cp: l.opts.CP, journal: l.opts.Journal, first: b.seq, index: b.ordinal,
		prev: b.prev, hasPrev: b.hasPrev, created: l.opts.Now().UnixMilli(),
	}
	head := h.encode()
	if len(saved) > 0 {
		if len(saved) > maxPayload {
			return fmt.Errorf("a checkpoint of %d bytes is too large; at most %d", len(saved), maxPayload)
		}
		head = appendFrame(head, 0, b.ordinal-1, saved)
	}
	size := max(l.opts.SegmentSize, int64(len(head)+len(b.bytes)))
	name := fmt.Sprintf(segmentName, h.number)
	f, err := l.create(name, head, size)
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
		return fmt.Errorf("new segment: %w", err)
	}
	if l.active != nil {
		if err := l.active.Close(); err != nil {
			l.opts.Log.Warn("a full journal segment did not close", slog.Any("err", err))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active, l.used = f, int64(len(head))
	l.segments = append(l.segments, &segment{header: h, name: name, size: size, end: int64(len(head)), saved: saved})
	l.next++
	l.retain()
	return nil
}

func (l *Log) create(name string, head []byte, size int64) (File, error) {
	tmp := name + tmpExt
	f, err := l.fs.Create(tmp)
	if err != nil {
		_ = l.fs.Remove(tmp) // left by an attempt that failed
		if f, err = l.fs.Create(tmp); err != nil {
			return nil, err
		}
	}
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < size && err == nil; at += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
	}
	if err == nil {
		_, err = f.WriteAt(head, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.fs.Rename(tmp, name)
	}
	if err == nil {
		err = l.fs.SyncDir()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), l.fs.Remove(tmp))
	}
	return f, nil
}

// retain deletes the oldest segments that Central has whole and that are old or
// too many. The caller holds mu.
func (l *Log) retain() {
	total := int64(0)
	for _, s := range l.segments {
		total += s.size
	}
	now := l.opts.Now().UnixMilli()
	for len(l.segments) > 1 {
		s := l.segments[0]
		if n := s.records(); n > 0 && s.runs[0].index+uint64(n)-1 > l.acked {
			return
		}
		old := now-l.segments[1].created > l.opts.RetainFor.Milliseconds()
		if !old && total <= l.opts.RetainBytes {
			return
		}
		if err := errors.Join(l.slots.sync(), l.closeReader(s.name), l.fs.Remove(s.name)); err != nil {
			l.opts.Log.Warn("an old journal segment could not be deleted", slog.String("segment", s.name), slog.Any("err", err))
			return
		}
		total -= s.size
		l.segments = l.segments[1:]
	}
}

func (l *Log) closeReader(name string) error {
	f := l.readers[name]
	if f == nil {
		return nil
	}
	delete(l.readers, name)
	return f.Close()
}

// Held returns what is held, in the order of writing.
func (l *Log) Held() []Range {
	l.mu.Lock()
	defer l.mu.Unlock()
	var held []Range
	for _, s := range l.segments {
		for i := range s.runs {
			r := &s.runs[i]
			if len(r.offsets) == 0 {
				continue
			}
			if n := len(held); n > 0 && held[n-1].Journal == s.journal && held[n-1].Last+1 == r.first {
				held[n-1].Last = r.last()
				continue
			}
			held = append(held, Range{s.journal, r.first, r.last(), r.index})
		}
	}
	return held
}

// Read returns one record held. ErrNotHeld: it is not there, or not any more.
func (l *Log) Read(index uint64) (Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range slices.Backward(l.segments) {
		for _, r := range s.runs {
			if at := index - r.index; index >= r.index && at < uint64(len(r.offsets)) {
				entries, err := l.readRun(s, r, int(at), int(at)+1, false)
				if err != nil {
					return Entry{}, err
				}
				return entries[0], nil
			}
		}
	}
	return Entry{}, fmt.Errorf("index %d: %w", index, ErrNotHeld)
}

// readRun reads the records from … to−1 of a run; many says that they may be
// larger together than one record.
func (l *Log) readRun(s *segment, r run, from, to int, many bool) ([]Entry, error) {
	f := l.readers[s.name]
	if f == nil {
		var err error
		if f, err = l.fs.Open(s.name); err != nil {
			return nil, fmt.Errorf("read %s: %w", s.name, err)
		}
		for name := range l.readers { // one at a time: reading goes forward
			if err := l.closeReader(name); err != nil {
				return nil, err
			}
		}
		l.readers[s.name] = f
	}
	start := int64(r.offsets[from])
	end := s.end
	if to < len(r.offsets) {
		end = int64(r.offsets[to])
	}
	if !many {
		end = min(end, start+frameHead+maxPayload)
	}
	b := make([]byte, end-start)
	if n, err := f.ReadAt(b, start); n < len(b) {
		return nil, fmt.Errorf("read %s: %w", s.name, err)
	}
	entries := make([]Entry, 0, to-from)
	for i := from; i < to; i++ {
		fr, ok := decodeFrame(b[int64(r.offsets[i])-start:])
		if want := r.first + charge.Seq(i); !ok || fr.seq != want {
			return nil, fmt.Errorf("record %s/%d in %s is damaged since it was opened", s.journal, want, s.name)
		}
		entries = append(entries, Entry{Index: r.index + uint64(i), Journal: s.journal, Seq: fr.seq, Bytes: fr.payload})
	}
	return entries, nil
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
