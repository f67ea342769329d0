package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
)

// The sizes of the format. docs/adr/0005-journal-format.md has the layout.
const (
	version     = 1
	headerSize  = 256
	frameHead   = 32
	frameMagic  = 0x52474143 // "CAGR" on disk
	maxPayload  = 1 << 20    // a checkpoint with a full list of cards; a record is far smaller
	maxJob      = 16 << 20   // bytes of one Append
	maxSegment  = 48 << 20   // no file larger than that is one of ours: two jobs and what is around them
	segmentExt  = ".seg"
	tmpExt      = ".tmp"
	hashSize    = 32
	segmentName = "%012d" + segmentExt
)

// segmentMagic begins every segment.
func segmentMagic() [8]byte { return [8]byte{'C', 'A', 'R', 'G', 'A', 'J', '1', '\n'} }

// castagnoli is the polynomial of all checksums (CRC-32C).
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// header is the first 256 bytes of a segment, and its last 256 again.
type header struct {
	number  uint64
	cp      charge.CPID
	journal charge.JournalID
	first   charge.Seq // seq of its first record
	last    charge.Seq // seq of the last record written with the file: as durable as its name
	created int64      // Unix milliseconds; 0: the clock was not set
	after   recordRef  // the record before first
	sum     uint32     // binds its frames to it
}

// recordRef names a record by journal, number and hash. The zero value is none.
type recordRef struct {
	journal charge.JournalID
	seq     charge.Seq
	hash    [hashSize]byte
}

// hex is the hash as encoders receive it; empty for none.
func (l *recordRef) hex() string {
	if l.journal == "" {
		return ""
	}
	return hex.EncodeToString(l.hash[:])
}

// encode returns the header's bytes and sets sum.
func (h *header) encode() []byte {
	b := make([]byte, headerSize)
	m := segmentMagic()
	copy(b, m[:])
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint64(b[16:], h.number)
	binary.LittleEndian.PutUint64(b[24:], uint64(h.first))
	binary.LittleEndian.PutUint64(b[32:], uint64(h.last))
	binary.LittleEndian.PutUint64(b[40:], uint64(h.created))
	binary.LittleEndian.PutUint64(b[48:], uint64(h.after.seq))
	copy(b[56:], h.after.hash[:])
	putText(b[88:], string(h.cp))
	putText(b[128:], string(h.journal))
	putText(b[168:], string(h.after.journal))
	h.sum = crc32.Checksum(b[:headerSize-4], castagnoli())
	binary.LittleEndian.PutUint32(b[headerSize-4:], h.sum)
	return b
}

// putText writes a string behind its length in one byte.
func putText(b []byte, s string) {
	b[0] = byte(len(s))
	copy(b[1:], s)
}

// text reads what putText wrote; false if it is no valid id.
func text(b []byte) (string, bool) {
	n := int(b[0])
	if n > charge.MaxIDLength || !charge.ValidID(string(b[1:1+n])) {
		return "", false
	}
	return string(b[1 : 1+n]), true
}

// The reasons why a file is no segment of this log.
var (
	errNoHeader   = errors.New("no segment header")
	errHeaderSum  = errors.New("segment header has a bad checksum")
	errImpossible = errors.New("segment header has impossible values")
)

// versionError means that a later agent wrote the segment. Such a log is not
// opened: reading it as damaged would lose records.
type versionError uint32

// Error implements error with the remedy.
func (v versionError) Error() string {
	return fmt.Sprintf("format version %d is newer than this agent's %d; install the agent that wrote it", uint32(v), version)
}

// decodeHeader reads a header and checks its checksum, version and values.
func decodeHeader(b []byte) (header, error) {
	var h header
	m := segmentMagic()
	if len(b) < headerSize || !bytes.Equal(b[:8], m[:]) {
		return h, errNoHeader
	}
	h.sum = binary.LittleEndian.Uint32(b[headerSize-4:])
	if crc32.Checksum(b[:headerSize-4], castagnoli()) != h.sum {
		return h, errHeaderSum
	}
	switch v := binary.LittleEndian.Uint32(b[8:]); {
	case v > version:
		return h, versionError(v)
	case v < version:
		return h, errImpossible
	}
	h.number = binary.LittleEndian.Uint64(b[16:])
	h.first = charge.Seq(binary.LittleEndian.Uint64(b[24:]))
	h.last = charge.Seq(binary.LittleEndian.Uint64(b[32:]))
	h.created = int64(binary.LittleEndian.Uint64(b[40:]))
	h.after.seq = charge.Seq(binary.LittleEndian.Uint64(b[48:]))
	copy(h.after.hash[:], b[56:])
	cp, ok := text(b[88:])
	j, ok2 := text(b[128:])
	if !ok || !ok2 || h.first < 1 || h.last < h.first || h.last > maxSeq || h.after.seq > maxSeq {
		return h, errImpossible
	}
	after, _ := text(b[168:])
	h.cp, h.journal, h.after.journal = charge.CPID(cp), charge.JournalID(j), charge.JournalID(after)
	return h, nil
}

// maxSeq is the greatest seq that a message can carry: JSON numbers are exact up
// to it.
const maxSeq = 1 << 53

// appendFrame appends a frame: magic, length, seq, synced, sum, zero, payload.
// synced is the greatest seq of this journal that was known to be on disk when
// the frame was written. The checksum starts from that of the segment's header,
// so that a frame is valid in its own segment only. Seq 0 is a checkpoint.
func appendFrame(b []byte, head uint32, seq, synced charge.Seq, payload []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, frameHead)...)
	h := b[at:]
	binary.LittleEndian.PutUint32(h, frameMagic)
	binary.LittleEndian.PutUint32(h[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(h[8:], uint64(seq))
	binary.LittleEndian.PutUint64(h[16:], uint64(synced))
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[at+24:], frameSum(head, b[at:]))
	return b
}

// frameSum covers the header's sum, length, seq, synced and payload.
func frameSum(head uint32, f []byte) uint32 {
	sum := crc32.Update(head, castagnoli(), f[4:24])
	return crc32.Update(sum, castagnoli(), f[frameHead:])
}

// frame is one decoded frame; payload aliases the segment's bytes.
type frame struct {
	seq     charge.Seq
	synced  charge.Seq
	payload []byte
	size    int64
}

// decodeFrame reads the frame at the beginning of b. A length of zero is not
// valid, so that the zeros of a preallocated file are not read as frames.
func decodeFrame(head uint32, b []byte) (frame, bool) {
	if len(b) < frameHead || binary.LittleEndian.Uint32(b) != frameMagic {
		return frame{}, false
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if n == 0 || n > maxPayload || int(n) > len(b)-frameHead || binary.LittleEndian.Uint32(b[28:]) != 0 {
		return frame{}, false
	}
	f := b[:frameHead+int(n)]
	if frameSum(head, f) != binary.LittleEndian.Uint32(f[24:]) {
		return frame{}, false
	}
	d := frame{
		seq: charge.Seq(binary.LittleEndian.Uint64(f[8:])), synced: charge.Seq(binary.LittleEndian.Uint64(f[16:])),
		payload: f[frameHead:], size: int64(len(f)),
	}
	if d.seq > maxSeq || d.seq > 0 && d.synced >= d.seq {
		return frame{}, false
	}
	return d, true
}

// segmentNumber reads the number in a segment's name.
func segmentNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentExt)
	if !ok || len(digits) != 12 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}
