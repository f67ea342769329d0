package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
)

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
