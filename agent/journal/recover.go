package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
)

// Damage is a range of records that were durable and cannot be read any more.
type Damage struct {
	Journal charge.JournalID // "unknown" when nothing tells
	First   charge.Seq
	Last    charge.Seq // 0: not known, to the end of that journal
	Segment string
	Reason  string
}

// run is records of one segment that follow each other without gap.
type run struct {
	first   charge.Seq
	index   uint64 // of the first record; without gaps over all that is held
	offsets []uint32
}

func (r *run) last() charge.Seq { return r.first + charge.Seq(len(r.offsets)) - 1 }

// segment is one file of the log.
type segment struct {
	header
	name  string
	size  int64 // of the file
	end   int64 // behind its last frame held
	runs  []run
	saved []byte // its checkpoint; nil when it has none
	// What follows is used by recovery alone.
	gaps []gap
}

// ordinal is the place of a seq in the order of writing, lost records counted.
func (s *segment) ordinal(seq charge.Seq) uint64 { return s.index + uint64(seq-s.first) }

// lastSeq is the last record held; first−1 when there is none.
func (s *segment) lastSeq() charge.Seq {
	if len(s.runs) == 0 {
		return s.first - 1
	}
	return s.runs[len(s.runs)-1].last()
}

func (s *segment) records() int {
	n := 0
	for i := range s.runs {
		n += len(s.runs[i].offsets)
	}
	return n
}

// gap is bytes between frames, or behind the last one, that are no frame.
type gap struct {
	at      int64
	expect  charge.Seq // the first record that is missing
	next    charge.Seq // the record found behind it; 0: none
	durable uint64     // greatest durable of the frames behind it
	reason  string
}

// scan reads the frames of a segment. b is the whole file, its header decoded.
func scan(s *segment, b []byte) {
	expect, pos := s.first, int64(headerSize)
	s.end = pos
	for pos < int64(len(b)) {
		f, ok := decodeFrame(b[pos:])
		switch {
		case ok && f.seq == 0 && pos == headerSize:
			s.saved = bytes.Clone(f.payload)
		case ok && f.seq == expect:
			s.add(f, pos)
			expect++
		case !ok && allZero(b[pos:]):
			return
		default:
			reason := "a frame has a bad checksum"
			if ok {
				reason = fmt.Sprintf("record %d stands where %d belongs", f.seq, expect)
			}
			next := resync(b, pos+1, expect)
			if ok && f.seq > expect {
				next = pos
			}
			s.gaps = append(s.gaps, gap{at: pos, expect: expect, reason: reason})
			if next < 0 {
				return
			}
			pos = next
			f, _ = decodeFrame(b[pos:])
			s.gaps[len(s.gaps)-1].next = f.seq
			if f.seq > expect || len(s.runs) == 0 {
				s.runs = append(s.runs, run{first: f.seq})
			}
			s.add(f, pos)
			expect = f.seq + 1
		}
		for i := range s.gaps {
			s.gaps[i].durable = max(s.gaps[i].durable, f.durable)
		}
		pos += int64(f.size)
		s.end = pos
	}
}

func (s *segment) add(f frame, pos int64) {
	if len(s.runs) == 0 {
		s.runs = append(s.runs, run{first: f.seq})
	}
	r := &s.runs[len(s.runs)-1]
	r.offsets = append(r.offsets, uint32(pos))
}

// resync finds the next valid frame with a record at or beyond expect, or −1.
func resync(b []byte, from int64, expect charge.Seq) int64 {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], frameMagic)
	for from < int64(len(b)) {
		i := bytes.Index(b[from:], magic[:])
		if i < 0 {
			return -1
		}
		from += int64(i)
		if f, ok := decodeFrame(b[from:]); ok && f.seq >= expect {
			return from
		}
		from++
	}
	return -1
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// dropFrom forgets the records from seq on.
func (s *segment) dropFrom(seq charge.Seq) {
	for len(s.runs) > 0 {
		r := &s.runs[len(s.runs)-1]
		if r.last() < seq {
			break
		}
		keep := 0
		if r.first < seq {
			keep = int(seq - r.first)
		}
		s.end = int64(r.offsets[keep])
		r.offsets = r.offsets[:keep]
		if keep > 0 {
			break
		}
		s.runs = s.runs[:len(s.runs)-1]
	}
	s.gaps = slices.DeleteFunc(s.gaps, func(g gap) bool { return g.expect >= seq })
}

// loader reads a directory at boot.
type loader struct {
	fs       FS
	cp       charge.CPID
	segments []*segment
	damaged  []Damage
	torn     int64
	position Position
	next     uint64 // number of the next segment
}

// readSegments reads and checks every segment. One whose header cannot be read
// is put aside under another name, for a person to look at.
func (l *loader) readSegments(names []string) error {
	slices.Sort(names)
	var errs []error
	for _, name := range names {
		n, ok := segmentNumber(name)
		if !ok {
			continue
		}
		l.next = max(l.next, n+1)
		if err := l.readSegment(name, n); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (l *loader) readSegment(name string, n uint64) error {
	b, err := readAll(l.fs, name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	h, err := decodeHeader(b)
	var newer versionError
	switch {
	case errors.As(err, &newer):
		return fmt.Errorf("%s: %w", name, err)
	case err == nil && h.number != n:
		err = fmt.Errorf("the header says segment %d", h.number)
	case err == nil && h.cp != l.cp:
		return fmt.Errorf("%s belongs to charging point %s, not to %s: it is another one's storage", name, h.cp, l.cp)
	}
	if err != nil {
		if rerr := l.fs.Rename(name, name+damagedExt); rerr != nil {
			return fmt.Errorf("put %s aside: %w", name, rerr)
		}
		l.damaged = append(l.damaged, Damage{Segment: name, Reason: err.Error()})
		return nil
	}
	s := &segment{header: h, name: name, size: int64(len(b))}
	scan(s, b)
	l.segments = append(l.segments, s)
	return nil
}

func readAll(fs FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if n == len(b) {
		err = nil
	}
	return b, errors.Join(err, f.Close())
}

// judge tells torn tails from damage, names what is missing between segments,
// and numbers what is held.
func (l *loader) judge() {
	durable := l.acked()
	for _, s := range l.segments {
		for i := range s.gaps {
			durable = max(durable, s.gaps[i].durable)
		}
	}
	for i, s := range l.segments {
		var next *segment
		if i+1 < len(l.segments) {
			next = l.segments[i+1]
			durable = max(durable, next.index-1)
		}
		if next != nil && next.journal == s.journal && next.first <= s.lastSeq() {
			s.dropFrom(next.first) // a failed sync: what was written again counts
		}
		l.judgeGaps(s, durable)
		if next != nil {
			l.judgeBetween(s, next)
		}
	}
	l.nameUnknown()
	index := uint64(1)
	if len(l.segments) > 0 {
		index = l.segments[0].index
	}
	for _, s := range l.segments {
		for i := range s.runs {
			s.runs[i].index = index
			index += uint64(len(s.runs[i].offsets))
		}
	}
}

// acked is the ordinal of the position, if it is held.
func (l *loader) acked() uint64 {
	for _, s := range slices.Backward(l.segments) {
		if s.journal == l.position.Journal && l.position.Seq >= s.first {
			return s.ordinal(l.position.Seq)
		}
	}
	return 0
}

// judgeGaps decides for each gap whether what is missing was durable. If it was
// not, nothing behind it was announced either.
func (l *loader) judgeGaps(s *segment, durable uint64) {
	for i := 0; i < len(s.gaps); i++ {
		g := s.gaps[i]
		if s.ordinal(g.expect) > durable {
			l.torn += max(s.end-g.at, 1)
			s.dropFrom(g.expect)
			s.end = min(s.end, g.at)
			return
		}
		last := charge.Seq(durable-s.index) + s.first
		if g.next != 0 {
			last = g.next - 1
		}
		if last < g.expect {
			continue // a repeated frame between good ones: nothing is missing
		}
		l.damaged = append(l.damaged, Damage{Journal: s.journal, First: g.expect, Last: last, Segment: s.name, Reason: g.reason})
	}
	l.judgeEnd(s, durable)
}

// judgeEnd names records at the end of a segment that must have been there and
// left no trace: a segment that came back as an older copy of itself. Only what
// lies in this segment's journal up to the next one is judged here.
func (l *loader) judgeEnd(s *segment, durable uint64) {
	i := slices.Index(l.segments, s)
	if i+1 < len(l.segments) || len(s.gaps) > 0 && s.gaps[len(s.gaps)-1].next == 0 {
		return
	}
	if end := s.ordinal(s.lastSeq()); durable > end {
		l.damaged = append(l.damaged, Damage{
			Journal: s.journal, First: s.lastSeq() + 1, Last: s.lastSeq() + charge.Seq(durable-end), Segment: s.name,
			Reason: "records that Central has acknowledged are gone",
		})
	}
}

// judgeBetween names what is missing between two segments.
func (l *loader) judgeBetween(s, next *segment) {
	end := s.ordinal(s.lastSeq())
	if len(s.gaps) > 0 {
		if g := s.gaps[len(s.gaps)-1]; g.next == 0 {
			end = max(end, next.index-1) // named with the gap
			if next.journal != s.journal && next.first == 1 {
				return
			}
		}
	}
	if next.index <= end+1 && (next.journal == s.journal || next.first == 1) {
		return
	}
	missing := charge.Seq(next.index - 1 - end)
	d := Damage{Journal: s.journal, First: s.lastSeq() + 1, Segment: s.name, Reason: "a segment is missing"}
	switch {
	case next.journal == s.journal:
		d.Last = next.first - 1
	case next.first == 1 && next.number == s.number+1:
		d.Last = s.lastSeq() + missing
		d.Reason = "the end of a segment is missing"
	}
	if next.index > end+1 && d.Last != 0 && d.Last >= d.First || d.Last == 0 && missing >= next.first {
		l.damaged = append(l.damaged, d)
	}
	if next.journal != s.journal && next.first > 1 {
		l.damaged = append(l.damaged, Damage{Journal: next.journal, First: 1, Last: next.first - 1, Segment: next.name, Reason: d.Reason})
	}
}

// nameUnknown gives the segments whose header could not be read the journal they
// most likely belong to, unless what they held is named already.
func (l *loader) nameUnknown() {
	l.damaged = slices.DeleteFunc(l.damaged, func(d Damage) bool {
		if d.Journal != "" {
			return false
		}
		n, _ := segmentNumber(d.Segment)
		return slices.ContainsFunc(l.segments, func(s *segment) bool { return s.number > n }) &&
			slices.ContainsFunc(l.segments, func(s *segment) bool { return s.number < n })
	})
	for i := range l.damaged {
		d := &l.damaged[i]
		if d.Journal != "" {
			continue
		}
		d.Journal, d.First = "unknown", 1
		n, _ := segmentNumber(d.Segment)
		for _, s := range l.segments {
			if s.number < n {
				d.Journal, d.First = s.journal, s.lastSeq()+1
			}
		}
	}
}

func hashOf(b []byte) [hashSize]byte { return sha256.Sum256(b) }
