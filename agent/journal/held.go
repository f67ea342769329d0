package journal

import (
	"fmt"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
)

// Held returns the ranges of records held, in the order of writing.
func (l *Log) Held() []Range {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held()
}

// held is Held for callers that hold mu.
func (l *Log) held() []Range { return ranges(l.segments) }

// ranges merges the extents of segments that follow each other without a gap.
func ranges(segments []*segment) (held []Range) {
	for _, s := range segments {
		for i := range s.extents {
			r := &s.extents[i]
			if n := len(held); n > 0 && held[n-1].Journal == s.journal && held[n-1].Last+1 == r.first {
				held[n-1].Last = r.last()
				continue
			}
			held = append(held, Range{s.journal, r.first, r.last(), r.index})
		}
	}
	return held
}

// Read returns one record held. The error is ErrNotHeld for one that is not, or
// no longer. It searches backward, since records are sent soon after they are
// written.
func (l *Log) Read(index uint64) (Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range slices.Backward(l.segments) {
		for i := range s.extents {
			r := &s.extents[i]
			if at := index - r.index; index >= r.index && at < uint64(len(r.offsets)) {
				from, to := r.bounds(int(at))
				b, err := l.reader.readBytes(l.fs, s, from, to)
				if err != nil {
					return Entry{}, err
				}
				return s.entry(r, int(at), b)
			}
		}
	}
	return Entry{}, fmt.Errorf("index %d: %w", index, ErrNotHeld)
}

// entry decodes record i of an extent, whose frame is at the beginning of b.
func (s *segment) entry(r *extent, i int, b []byte) (Entry, error) {
	f, ok := decodeFrame(s.sum, b)
	seq := r.first + charge.Seq(i)
	if !ok || f.seq != seq {
		return Entry{}, fmt.Errorf("record %s/%d in %s was damaged after it was opened", s.journal, seq, s.name)
	}
	return Entry{Index: r.index + uint64(i), Journal: s.journal, Seq: seq, Bytes: f.payload}, nil
}

// reader reads segments and keeps the last file open, since records are read in
// order.
type reader struct {
	f    File // nil: none is open
	name string
}

// readExtent reads all records of an extent.
func (o *reader) readExtent(fs ReadFS, s *segment, r *extent) ([]Entry, error) {
	start := int64(r.offsets[0])
	b, err := o.readBytes(fs, s, start, int64(r.end))
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(r.offsets))
	for i, at := range r.offsets {
		e, err := s.entry(r, i, b[int64(at)-start:])
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// readBytes reads the bytes from from to to of a segment.
func (o *reader) readBytes(fs ReadFS, s *segment, from, to int64) ([]byte, error) {
	if o.f == nil || o.name != s.name {
		if err := o.close(); err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		f, err := fs.Open(s.name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", s.name, err)
		}
		o.f, o.name = f, s.name
	}
	// The bytes are the caller's: nothing here keeps them.
	b := make([]byte, to-from)
	if n, err := o.f.ReadAt(b, from); n < len(b) {
		return nil, fmt.Errorf("read %s: %w", s.name, err)
	}
	return b, nil
}

// close closes the open file, if there is one.
func (o *reader) close() error {
	f := o.f
	*o = reader{}
	if f == nil {
		return nil
	}
	return f.Close()
}
