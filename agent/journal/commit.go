package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"syscall"

	"github.com/carga-ev/carga/internal/charge"
)

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
