package journal

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/carga-ev/carga/internal/charge"
)

// Damage is a range of records that were durable and cannot be read any more.
type Damage struct {
	Journal charge.JournalID // "unknown" if nothing names it
	First   charge.Seq
	Last    charge.Seq // 0: not known; to the end of that journal
	Segment string     // the file that is damaged, or beside the missing one
	Reason  string
}

// badFile is a file with the name of a segment that cannot be used at all. It is
// kept until the segments before and after it are deleted, as evidence of what
// was lost.
type badFile struct {
	name   string
	number uint64
	size   int64
	reason string
}

// directory is the contents of a directory as load read it.
type directory struct {
	segments   []*segment // by number; after decideEnds those with announced records
	bad        []badFile
	leftovers  []string // temporary files of segments that were not finished
	reserve    bool
	position   Position
	positioned bool   // the position's file exists
	generation uint64 // of the position
	nextNumber uint64 // of the next segment

	damaged []Damage
	notes   []string // irregularities without a lost record
	torn    int64    // bytes that were never announced
}

// load reads and checks everything in the directory and changes nothing. It
// refuses the storage of another charging point, unless cp is empty, and that of
// a later agent.
func load(fs ReadFS, cp charge.CPID) (*directory, error) {
	names, err := fs.List()
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	l := &directory{nextNumber: 1}
	var refused []error
	for _, name := range names {
		n, ok := segmentNumber(name)
		switch {
		case ok:
			l.nextNumber = max(l.nextNumber, n+1)
			refused = append(refused, l.readSegment(fs, cp, name, n))
		case strings.HasSuffix(name, tmpExt):
			l.leftovers = append(l.leftovers, name)
		case name == reserveFile:
			l.reserve = true
		case name == positionFile:
			l.positioned = true
			l.position, l.generation = readPosition(fs)
		}
	}
	return l, errors.Join(refused...)
}

// readSegment adds one segment. A file that is no segment is a badFile, not an
// error; an error is one that must stop the boot.
func (l *directory) readSegment(fs ReadFS, cp charge.CPID, name string, n uint64) error {
	b, unreadable, err := readAll(fs, name)
	switch {
	case errors.Is(err, os.ErrNotExist): // deleted since it was listed
		return nil
	case isProcessError(err):
		return fmt.Errorf("read %s: %w", name, err)
	}
	// A file that cannot be read or parsed is a bad file and not an error: the boot
	// goes on and reports what was lost.
	var s *segment
	if err == nil {
		s, err = parseSegment(b, n)
	}
	var newer versionError
	switch {
	case errors.As(err, &newer):
		return fmt.Errorf("%s: %w", name, err)
	case err != nil:
		l.bad = append(l.bad, badFile{name: name, number: n, size: int64(len(b)), reason: err.Error()})
		l.notes = append(l.notes, fmt.Sprintf("%s: %v", name, err))
		return nil
	case cp != "" && s.cp != cp:
		return fmt.Errorf("%s belongs to charging point %s, not to %s: it is the storage of another charging point", name, s.cp, cp)
	}
	if len(l.segments) > 0 && s.cp != l.segments[0].cp {
		l.notes = append(l.notes, fmt.Sprintf("%s belongs to charging point %s, others to %s", name, s.cp, l.segments[0].cp))
	}
	if unreadable > 0 {
		s.notes = append(s.notes, fmt.Sprintf("%d pages cannot be read", unreadable))
	}
	for _, note := range s.notes {
		l.notes = append(l.notes, name+": "+note)
	}
	s.name, s.unreadable = name, unreadable
	l.segments = append(l.segments, s)
	return nil
}

// isProcessError distinguishes errors of this process or its user (permission,
// open files, memory) from those of the storage. They stop the boot: a retry may
// read what looks lost.
func isProcessError(err error) bool {
	return slices.ContainsFunc([]error{os.ErrPermission, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM},
		func(e error) bool { return errors.Is(err, e) })
}

// parseSegment decodes a whole segment whose file name has that number. The copy
// at the end of the file replaces a damaged header.
func parseSegment(b []byte, number uint64) (*segment, error) {
	s := &segment{size: int64(len(b))}
	h, err := decodeHeader(b)
	var newer versionError
	if err != nil && !errors.As(err, &newer) && len(b) >= 2*headerSize {
		if second, err2 := decodeHeader(b[len(b)-headerSize:]); err2 == nil {
			s.notes = append(s.notes, err.Error()+"; its copy is used")
			h, err = second, nil
		}
	}
	if err == nil && h.number != number {
		err = fmt.Errorf("its header is that of segment %d", h.number)
	}
	if err != nil {
		return nil, err
	}
	s.header = h
	s.scan(b)
	if !s.hasCheckpoint && (len(s.extents) == 0 || s.extents[0].offsets[0] != headerSize) {
		s.notes = append(s.notes, "it has no good checkpoint")
	}
	return s, nil
}

// decideEnds determines the last announced record of each segment. A segment
// with a successor ends where that begins: its header names the record before its
// first. The last segment can have a torn tail: what is proven to have been on
// disk was announced, found or not, and what was found behind it without a gap
// counts too.
//
// A segment that ends before it begins was written again in the next one after a
// failed sync. It goes to the bad files.
func (l *directory) decideEnds() {
	// Backward, since each segment defines the end of the one before it.
	var kept []*segment // newest first
	var again []badFile
	var next *segment
	for _, s := range slices.Backward(l.segments) {
		switch {
		case next == nil:
			s.cutAfter(s.contiguousEnd(l.proven(s)))
		case next.journal == s.journal:
			s.cutAfter(next.first - 1)
		case next.after.journal == s.journal:
			s.cutAfter(next.after.seq)
		default: // what was between them is lost
			s.cutAfter(s.contiguousEnd(l.proven(s)))
		}
		if s.end < s.first {
			again = append(again, badFile{name: s.name, number: s.number, size: s.size})
			continue
		}
		kept, next = append(kept, s), s
	}
	slices.Reverse(kept)
	l.segments = kept
	l.nameDamage()
	for _, f := range again {
		at := slices.IndexFunc(l.bad, func(b badFile) bool { return b.number > f.number })
		if at < 0 {
			at = len(l.bad)
		}
		l.bad = slices.Insert(l.bad, at, f)
	}
	// The index counts held records only, so it has no gaps.
	index := uint64(1)
	for _, s := range l.segments {
		for i := range s.extents {
			s.extents[i].index = index
			index += uint64(len(s.extents[i].offsets))
		}
		l.torn += s.torn
	}
}

// proven is the last record of a segment that is known to have been on disk: by
// the header, by a later frame, or by Central's acknowledgement.
func (l *directory) proven(s *segment) charge.Seq {
	p := max(s.last, s.synced)
	if l.position.Journal == s.journal {
		p = max(p, l.position.Seq)
	}
	return p
}

// contiguousEnd is the last record found without a gap behind the proven ones.
func (s *segment) contiguousEnd(proven charge.Seq) charge.Seq {
	for i := range s.extents {
		if r := &s.extents[i]; r.first <= proven+1 && r.last() > proven {
			proven = r.last()
		}
	}
	return proven
}

// nameDamage lists the lost records: within segments, between them, and in files
// that cannot be used.
func (l *directory) nameDamage() {
	var before *segment
	for _, s := range l.segments {
		if before == nil {
			l.nameDamageBefore(s)
		} else {
			l.nameDamageBetween(before, s)
		}
		for _, gap := range s.lost() {
			l.damaged = append(l.damaged, Damage{s.journal, gap.First, gap.Last, s.name, l.reason(s, gap)})
		}
		before = s
	}
	for _, f := range l.bad {
		switch {
		case before == nil:
			l.damaged = append(l.damaged, Damage{"unknown", 1, 0, f.name, f.reason})
		case f.number > before.number:
			l.damaged = append(l.damaged, Damage{before.journal, before.end + 1, 0, f.name, f.reason})
		}
	}
}

// reason is why records in or behind a segment are lost, in words.
func (l *directory) reason(s *segment, gap Range) string {
	behind := len(s.extents) == 0 || s.extents[len(s.extents)-1].last() < gap.First
	switch f := l.badBehind(s.number); {
	case behind && f != nil:
		return f.name + ": " + f.reason
	case s.unreadable > 0:
		return fmt.Sprintf("%d pages cannot be read", s.unreadable)
	case behind:
		return "what was written last, or the segment behind it, is missing"
	}
	return "its bytes are damaged"
}

// badBehind is the first unusable file between a segment and the next good one.
func (l *directory) badBehind(number uint64) *badFile {
	for i := range l.bad {
		f := &l.bad[i]
		between := func(s *segment) bool { return s.number > number && s.number < f.number }
		if f.number > number && !slices.ContainsFunc(l.segments, between) {
			return f
		}
	}
	return nil
}

// nameDamageBefore lists the records of unusable files before the first good
// segment, as far as Central has not acknowledged them.
func (l *directory) nameDamageBefore(s *segment) {
	if len(l.bad) == 0 || l.bad[0].number > s.number || s.after.journal == "" {
		return
	}
	// The position limits the loss: what Central has acknowledged is not lost.
	first := charge.Seq(1)
	switch {
	case l.position.Journal == s.after.journal:
		first = l.position.Seq + 1
	case slices.ContainsFunc(l.segments, func(h *segment) bool { return h.journal == l.position.Journal }):
		return
	}
	if first <= s.after.seq {
		l.damaged = append(l.damaged, Damage{s.after.journal, first, s.after.seq, l.bad[0].name, l.bad[0].reason})
	}
}

// nameDamageBetween lists the records between two segments of which the second
// does not follow the first.
func (l *directory) nameDamageBetween(s, next *segment) {
	if next.journal == s.journal || next.after.journal == s.journal || next.after.journal == "" {
		return
	}
	// The predecessor of next is not s, so at least one segment is missing.
	reason := "segments are missing"
	if f := l.badBehind(s.number); f != nil && f.number < next.number {
		reason = f.name + ": " + f.reason
	}
	// More than one segment is missing, so the journal of s may have gone on; how
	// far is not known.
	if next.number > s.number+2 {
		l.damaged = append(l.damaged, Damage{s.journal, s.end + 1, 0, s.name, reason})
	}
	held := charge.Seq(0)
	for _, p := range l.segments {
		if p.number < next.number && p.journal == next.after.journal {
			held = p.end
		}
	}
	if held < next.after.seq {
		l.damaged = append(l.damaged, Damage{next.after.journal, held + 1, next.after.seq, next.name, reason})
	}
}
