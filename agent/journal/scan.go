package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/carga-ev/carga/internal/charge"
)

// extent is records of one segment whose numbers and bytes follow each other
// without a gap.
type extent struct {
	first   charge.Seq
	index   uint64   // of the first record, among all records held
	offsets []uint32 // of the frames in the file, one per record
	end     uint32   // offset behind the last frame
}

// last is the number of the last record of the extent.
func (r *extent) last() charge.Seq { return r.first + charge.Seq(len(r.offsets)) - 1 }

// bounds are the offsets at which the frame of record i begins and ends.
func (r *extent) bounds(i int) (from, to int64) {
	if i+1 < len(r.offsets) {
		return int64(r.offsets[i]), int64(r.offsets[i+1])
	}
	return int64(r.offsets[i]), int64(r.end)
}

// segment is one file of the log.
type segment struct {
	header
	name          string
	size          int64    // of the file
	extents       []extent // records held
	hasCheckpoint bool     // it has a good checkpoint: the state after header.last

	// What follows is used by recovery only.
	end        charge.Seq // the last announced record, held or lost
	synced     charge.Seq // the greatest synced of its frames: it was on disk
	checkpoint []byte     // nil once it was handed out
	unreadable int        // pages that cannot be read
	torn       int64      // bytes that were never announced
	notes      []string   // irregularities without a lost record
}

// records counts the records held.
func (s *segment) records() (n uint64) {
	for i := range s.extents {
		n += uint64(len(s.extents[i].offsets))
	}
	return n
}

// lastIndex is the index of the last record held; 0 without one.
func (s *segment) lastIndex() uint64 {
	if len(s.extents) == 0 {
		return 0
	}
	r := &s.extents[len(s.extents)-1]
	return r.index + uint64(len(r.offsets)) - 1
}

// add adds a frame found at from to to, to the last extent or to a new one.
func (s *segment) add(seq charge.Seq, from, to int64) {
	n := len(s.extents)
	if n == 0 || s.extents[n-1].last()+1 != seq || int64(s.extents[n-1].end) != from {
		s.extents = append(s.extents, extent{first: seq})
		n++
	}
	r := &s.extents[n-1]
	r.offsets = append(r.offsets, uint32(from))
	r.end = uint32(to)
}

// scan collects every valid frame whose number is above those before it, wherever
// it is in the file. Records between them are lost or were never written.
func (s *segment) scan(b []byte) {
	expect, end := s.first, int64(headerSize)
	for pos := end; pos < int64(len(b)); {
		f, ok := decodeFrame(s.sum, b[pos:])
		if !ok { // damaged or not written: search for the next frame
			if pos = nextMagic(b, pos+1); pos < 0 {
				break
			}
			continue
		}
		// A checkpoint counts at the beginning only. A number that is not above the
		// last one is an old frame and is skipped.
		switch {
		case f.seq == 0 && pos == headerSize:
			s.hasCheckpoint, s.checkpoint = true, bytes.Clone(f.payload)
		case f.seq >= expect:
			s.add(f.seq, pos, pos+f.size)
			expect = f.seq + 1
			s.synced = max(s.synced, f.synced)
		}
		pos += f.size
		end = pos
	}
	if payloadEnd := len(b) - headerSize; int(end) < payloadEnd {
		s.torn = int64(len(bytes.TrimRight(b[end:payloadEnd], "\x00")))
	}
}

// nextMagic finds where the next frame may begin, or −1.
func nextMagic(b []byte, from int64) int64 {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], frameMagic)
	if i := bytes.Index(b[min(from, int64(len(b))):], magic[:]); i >= 0 {
		return from + int64(i)
	}
	return -1
}

// cutAfter sets the last announced record and drops those found behind it.
func (s *segment) cutAfter(end charge.Seq) {
	s.end = end
	for i := range s.extents {
		r := &s.extents[i]
		switch {
		case r.first > end:
			s.torn += int64(s.extents[len(s.extents)-1].end - r.offsets[0])
			s.extents = s.extents[:i]
			return
		case r.last() > end:
			n := end + 1 - r.first
			s.torn += int64(s.extents[len(s.extents)-1].end - r.offsets[n])
			r.end, r.offsets = r.offsets[n], r.offsets[:n]
			s.extents = s.extents[:i+1]
			return
		}
	}
}

// lost are the ranges of announced records that are not held.
func (s *segment) lost() (gaps []Range) {
	next := s.first
	for i := range s.extents {
		if r := &s.extents[i]; r.first > next {
			gaps = append(gaps, Range{Journal: s.journal, First: next, Last: r.first - 1})
		}
		next = s.extents[i].last() + 1
	}
	if next <= s.end {
		gaps = append(gaps, Range{Journal: s.journal, First: next, Last: s.end})
	}
	return gaps
}

// pageSize is how many bytes one bad sector makes unreadable.
const pageSize = 4096

// readAll reads a file. Pages that cannot be read are counted and filled with
// 0xff, which is no valid frame.
func readAll(fs ReadFS, name string) (b []byte, unreadable int, err error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, 0, err
	}
	if size > maxSegment {
		return nil, 0, fmt.Errorf("has %d bytes; no segment is larger than %d", size, maxSegment)
	}
	// One read for a good file; page by page where a sector is bad.
	b = make([]byte, size)
	if n, _ := f.ReadAt(b, 0); n == len(b) {
		return b, 0, nil
	}
	for at := int64(0); at < size; at += pageSize {
		page := b[at:min(at+pageSize, size)]
		if n, _ := f.ReadAt(page, at); n < len(page) {
			unreadable++
			for i := range page {
				page[i] = 0xff
			}
		}
	}
	return b, unreadable, nil
}
