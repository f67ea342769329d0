package journal

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
)

// batch is the records of a group that are written and synced together.
type batch struct {
	class    Class // the highest of its jobs
	jobs     []*job
	payloads [][]byte
	bytes    int64     // of their frames
	before   recordRef // the record before the first
	first    charge.Seq
}

// frames appends the batch's frames for a segment with that header sum. offsets
// are their places in the result.
func (b *batch) frames(to []byte, head uint32) (bytes []byte, offsets []int) {
	for i, p := range b.payloads {
		offsets = append(offsets, len(to))
		to = appendFrame(to, head, b.first+charge.Seq(i), b.first-1, p)
	}
	return to, offsets
}

// commit makes jobs of a group durable with one sync, up to maxJob bytes, and
// returns the remaining ones. A job is refused alone, or succeeds or fails with
// the whole batch.
func (l *Log) commit(group []*job) []*job {
	b := &batch{before: l.last, first: l.seq() + 1}
	for len(group) > 0 && b.bytes < maxJob {
		j := group[0]
		group = group[1:]
		if j.err = l.admit(j.class); j.err != nil {
			continue
		}
		if j.err = l.encode(b, j); j.err == nil {
			b.jobs = append(b.jobs, j)
			b.class = max(b.class, j.class)
		}
	}
	if len(b.jobs) > 0 {
		l.finishBatch(b, l.flush(b))
	}
	return group
}

// finishBatch reports the result of a batch to its jobs. After an error the log
// is as before the batch.
func (l *Log) finishBatch(b *batch, err error) {
	if err == nil {
		return
	}
	l.last = b.before
	if errors.Is(err, ErrFailed) {
		l.mu.Lock()
		if l.failed == nil {
			l.failed = err
		}
		l.mu.Unlock()
	}
	for _, j := range b.jobs {
		j.err = err
	}
}

// seq is the number of the last record of this boot; 0 before the first.
func (l *Log) seq() charge.Seq {
	if l.last.journal != l.opts.Journal {
		return 0
	}
	return l.last.seq
}

// encode adds the job's records to the batch, all or none of them. After an
// error the batch and the chain of hashes are as before the job.
func (l *Log) encode(b *batch, j *job) error {
	mark, bytes, tip := len(b.payloads), b.bytes, l.last
	err := l.encodeAll(b, j)
	if err == nil && b.bytes-bytes > maxJob {
		err = fmt.Errorf("%d bytes at once are too much; at most %d", b.bytes-bytes, maxJob)
	}
	if err != nil {
		b.payloads, b.bytes, l.last = b.payloads[:mark], bytes, tip
	}
	return err
}

// encodeAll encodes the job's records. Each gets the next number and the hash of
// the one before it.
func (l *Log) encodeAll(b *batch, j *job) error {
	for _, enc := range j.encode {
		seq := l.seq() + 1
		raw, err := enc(seq, l.last.hex())
		if err != nil {
			return fmt.Errorf("encode record %d: %w", seq, err)
		}
		if len(raw) == 0 || len(raw) > maxPayload {
			return fmt.Errorf("record %d has %d bytes; 1 to %d are allowed", seq, len(raw), maxPayload)
		}
		b.bytes += int64(frameHead + len(raw))
		b.payloads = append(b.payloads, raw)
		l.last = recordRef{journal: l.opts.Journal, seq: seq, hash: hashOf(raw)}
	}
	return nil
}

// flush writes a batch to disk. After a file has failed, its contents are not
// known (a failed fsync may have dropped the pages): it is never written again,
// and the batch is retried once in a new segment. If that fails too, the log has
// failed.
func (l *Log) flush(b *batch) error {
	// The usual case: the batch fits into the active segment. Otherwise it begins a
	// new one, whose failure for want of space is no failure of the storage.
	var err error
	if l.active != nil && b.bytes <= l.activeFree() {
		if err = l.write(b); err == nil {
			return nil
		}
	} else if err = l.beginSegment(b); err == nil || !errors.Is(err, errStorage) {
		return err
	}
	l.opts.Log.Error("a journal segment failed, trying a new one", slog.Any("err", err))
	if l.active != nil {
		_ = l.active.Close() // it is not written again; a read will show any damage
		l.active = nil
	}
	if err = l.beginSegment(b); errors.Is(err, errStorage) {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return err
}

// errStorage means that a file could not be made for another reason than a full
// disk.
var errStorage = errors.New("the storage failed")

// activeFree is how many bytes still fit into the active segment.
func (l *Log) activeFree() int64 { return l.activeSegment.size - headerSize - l.activeUsed }

// write appends a batch to the active segment and syncs it.
func (l *Log) write(b *batch) error {
	// The bytes are in the file before the sync, but no reader finds them before
	// publish.
	bytes, offsets := b.frames(make([]byte, 0, b.bytes), l.activeSegment.sum)
	if _, err := l.active.WriteAt(bytes, l.activeUsed); err != nil {
		return err
	}
	crashpoint.At(crashpoint.Written)
	if b.class == Final {
		crashpoint.At(crashpoint.Ending)
	}
	if err := l.active.Sync(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.publish(b, l.activeSegment, l.activeUsed, offsets)
	return nil
}

// publish makes a batch that is on disk visible to readers. The caller holds mu.
func (l *Log) publish(b *batch, s *segment, at int64, offsets []int) {
	// A segment that this boot writes has one extent: it writes without a gap.
	if len(s.extents) == 0 {
		s.extents = []extent{{first: b.first, index: l.index + 1}}
	}
	r := &s.extents[0]
	for _, o := range offsets {
		r.offsets = append(r.offsets, uint32(at)+uint32(o))
	}
	l.index += uint64(len(offsets))
	l.activeUsed = at + b.bytes
	r.end = uint32(l.activeUsed)
}

// beginSegment makes a new segment with a checkpoint and the batch. The
// checkpoint includes the batch's records. The file is written whole under a
// temporary name, synced and renamed, so that a segment either has its first
// records or does not exist.
func (l *Log) beginSegment(b *batch) error {
	h := header{
		number: l.nextNumber, cp: l.opts.CP, journal: l.opts.Journal, first: b.first, last: b.first + charge.Seq(len(b.payloads)) - 1,
		after: b.before,
	}
	if now := l.opts.Now(); isSet(now) {
		h.created = now.UnixMilli()
	}
	head := h.encode()
	// The encoders have run, so the checkpoint includes the batch; recovery skips
	// the records up to header.last.
	saved, err := l.checkpoint()
	if err != nil {
		return err
	}
	bytes := head
	if len(saved) > 0 {
		bytes = appendFrame(bytes, h.sum, 0, 0, saved)
	}
	start := int64(len(bytes))
	bytes, offsets := b.frames(bytes, h.sum)
	s := &segment{header: h, name: fmt.Sprintf(segmentName, h.number), hasCheckpoint: len(saved) > 0}
	f, err := l.createWithinSpace(b.class, s, bytes, head)
	if err != nil {
		return err
	}
	// From here on the new segment is the active one, whatever happens to the old.
	if l.active != nil {
		if err := l.active.Close(); err != nil {
			l.opts.Log.Warn("a full journal segment did not close", slog.Any("err", err))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active, l.activeSegment = f, s
	l.segmentsMade++
	for i := range offsets {
		offsets[i] -= int(start)
	}
	l.publish(b, s, start, offsets)
	l.segments = append(l.segments, s)
	l.retain()
	return nil
}

// checkpoint asks the caller for the state after the records encoded so far.
func (l *Log) checkpoint() ([]byte, error) {
	if l.opts.Checkpoint == nil {
		return nil, nil
	}
	saved, err := l.opts.Checkpoint()
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if len(saved) > maxPayload {
		return nil, fmt.Errorf("a checkpoint of %d bytes is too large; at most %d", len(saved), maxPayload)
	}
	return saved, nil
}

// create makes the file of a segment. Each number is used once, also when the
// attempt fails.
func (l *Log) create(s *segment, bytes, head []byte) (File, error) {
	// The number is used up now: a file of a failed attempt may still exist.
	l.nextNumber = s.number + 1
	tmp := s.name + tmpExt
	f, err := l.fs.Create(tmp)
	if err != nil {
		return nil, err
	}
	if err = fillFile(f, bytes, head, s.size); err == nil {
		err = f.Sync()
	}
	if err == nil {
		crashpoint.At(crashpoint.NewSegment)
		err = l.fs.Rename(tmp, s.name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), l.fs.Remove(tmp))
	}
	if err := l.fs.SyncDir(); err != nil {
		// Whether the name survives a power cut is not known. The next segment follows
		// the same record as this one, so that recovery ignores this one.
		l.mu.Lock()
		l.bad = append(l.bad, badFile{name: s.name, number: s.number, size: s.size})
		l.mu.Unlock()
		return nil, errors.Join(fmt.Errorf("%w: name of %s: %w", errStorage, s.name, err), f.Close())
	}
	return f, nil
}

// fillFile writes bytes, then zeros up to size, with a copy of the header at the
// end. A file of full size is allocated once: appending to it needs no space.
func fillFile(f File, bytes, head []byte, size int64) error {
	if _, err := f.WriteAt(bytes, 0); err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	end := size - int64(len(head))
	for at := int64(len(bytes)); at < end; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), end-at)], at); err != nil {
			return err
		}
	}
	if len(head) == 0 {
		return nil
	}
	_, err := f.WriteAt(head, end)
	return err
}
