package journal

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Report is the contents of a directory, for tools.
type Report struct {
	CP        charge.CPID // empty when there is no segment
	Segments  []SegmentInfo
	Held      []Range
	Records   uint64
	Unacked   uint64 // of Records, those behind the position
	Position  Position
	Reserve   bool // the reserve for final records exists
	Damaged   []Damage
	Notes     []string // irregularities without a lost record, in words
	TornBytes int64    // never announced, or of a record that is being written

	fs       ReadFS
	segments []*segment
}

// SegmentInfo is one segment.
type SegmentInfo struct {
	Name        string
	Journal     charge.JournalID
	First, Last charge.Seq // of its announced records, held or lost
	Records     uint64     // held
	After       Record     // what its first record follows; zero: nothing
	Begun       time.Time  // zero: the clock was not set
	Size        int64
	Checkpoint  bool
}

// Record names one record.
type Record struct {
	Journal charge.JournalID
	Seq     charge.Seq
	Hash    string
}

// Inspect reads a directory and changes nothing in it. If an agent is using it,
// the report is of some moment during the call. An error means that it cannot be
// read, or that a later agent wrote it.
func Inspect(fs ReadFS) (*Report, error) {
	d, err := load(fs, "")
	if err != nil {
		return nil, fmt.Errorf("inspect journal: %w", err)
	}
	d.decideEnds()
	r := &Report{
		Held: ranges(d.segments), Position: d.position, Reserve: d.reserve, Damaged: d.damaged, Notes: d.notes,
		TornBytes: d.torn, fs: fs, segments: d.segments,
	}
	// A Log that is never opened, for its index of a position.
	l := Log{segments: d.segments}
	for _, s := range d.segments {
		r.CP = s.cp
		r.Records += s.records()
		l.index = max(l.index, s.lastIndex())
		info := SegmentInfo{
			Name: s.name, Journal: s.journal, First: s.first, Last: s.end, Records: s.records(), Size: s.size, Checkpoint: s.hasCheckpoint,
			After: Record{Journal: s.after.journal, Seq: s.after.seq, Hash: s.after.hex()},
		}
		if s.created > 0 {
			info.Begun = time.UnixMilli(s.created).UTC()
		}
		r.Segments = append(r.Segments, info)
	}
	r.Unacked = l.index - l.positionIndex(d.position)
	return r, nil
}

// Each calls f with every record held, in the order of writing, until it returns
// an error. Segments that were deleted since Inspect are left out.
func (r *Report) Each(f func(Entry) error) (err error) {
	var o reader
	defer func() { err = errors.Join(err, o.close()) }()
	for _, s := range r.segments {
		for i := range s.extents {
			entries, err := o.readExtent(r.fs, s, &s.extents[i])
			if errors.Is(err, os.ErrNotExist) {
				break
			}
			if err != nil {
				return err
			}
			for _, e := range entries {
				if err := f(e); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
