package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
)

const (
	version     = 1
	headerSize  = 256
	frameHead   = 32
	frameMagic  = 0x52474143 // "CAGR" on disk
	maxPayload  = 64 << 10   // twice the largest record; a checkpoint may be larger than one
	segmentExt  = ".seg"
	tmpExt      = ".tmp"
	damagedExt  = ".damaged"
	hashSize    = 32
	segmentName = "%012d" + segmentExt
)

func segmentMagic() [8]byte { return [8]byte{'C', 'A', 'R', 'G', 'A', 'J', '1', '\n'} }

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// header is the first 256 bytes of a segment.
type header struct {
	number  uint64
	cp      charge.CPID
	journal charge.JournalID
	first   charge.Seq // seq of its first record
	index   uint64     // index of its first record
	prev    [hashSize]byte
	hasPrev bool  // a record is before the first one
	created int64 // Unix milliseconds, by the agent's clock
}

func (h *header) encode() []byte {
	b := make([]byte, headerSize)
	m := segmentMagic()
	copy(b, m[:])
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint64(b[16:], h.number)
	binary.LittleEndian.PutUint64(b[24:], uint64(h.first))
	binary.LittleEndian.PutUint64(b[32:], h.index)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.created))
	if h.hasPrev {
		b[48] = 1
	}
	copy(b[49:], h.prev[:])
	putText(b[96:], string(h.cp))
	putText(b[144:], string(h.journal))
	binary.LittleEndian.PutUint32(b[headerSize-4:], crc32.Checksum(b[:headerSize-4], castagnoli()))
	return b
}

func putText(b []byte, s string) {
	b[0] = byte(len(s))
	copy(b[1:], s)
}

func text(b []byte) (string, bool) {
	n := int(b[0])
	if n > charge.MaxIDLength || !charge.ValidID(string(b[1:1+n])) {
		return "", false
	}
	return string(b[1 : 1+n]), true
}

// versionError says that a later agent wrote the segment.
type versionError uint32

func (v versionError) Error() string {
	return fmt.Sprintf("format version %d is newer than this agent's %d; install the agent that wrote it", uint32(v), version)
}

func decodeHeader(b []byte) (header, error) {
	var h header
	m := segmentMagic()
	if len(b) < headerSize || !bytes.Equal(b[:8], m[:]) {
		return h, fmt.Errorf("no segment header")
	}
	if crc32.Checksum(b[:headerSize-4], castagnoli()) != binary.LittleEndian.Uint32(b[headerSize-4:]) {
		return h, fmt.Errorf("segment header has a bad checksum")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > version {
		return h, versionError(v)
	}
	h.number = binary.LittleEndian.Uint64(b[16:])
	h.first = charge.Seq(binary.LittleEndian.Uint64(b[24:]))
	h.index = binary.LittleEndian.Uint64(b[32:])
	h.created = int64(binary.LittleEndian.Uint64(b[40:]))
	h.hasPrev = b[48] == 1
	copy(h.prev[:], b[49:])
	cp, ok := text(b[96:])
	j, ok2 := text(b[144:])
	if !ok || !ok2 || h.first < 1 || h.index < 1 {
		return h, fmt.Errorf("segment header has impossible values")
	}
	h.cp, h.journal = charge.CPID(cp), charge.JournalID(j)
	return h, nil
}

// A frame is magic, length, seq, durable, crc, reserved, payload. durable is the
// greatest index that was known to be on disk when the frame was written: a bad
// frame at or below the durable of any later one is damage, else it is the tail
// that a power cut tore. Seq 0 is a checkpoint.
func appendFrame(b []byte, seq charge.Seq, durable uint64, payload []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, frameHead)...)
	h := b[at:]
	binary.LittleEndian.PutUint32(h, frameMagic)
	binary.LittleEndian.PutUint32(h[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(h[8:], uint64(seq))
	binary.LittleEndian.PutUint64(h[16:], durable)
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[at+24:], frameSum(b[at:]))
	return b
}

// frameSum covers length, seq, durable and payload.
func frameSum(f []byte) uint32 {
	sum := crc32.Update(0, castagnoli(), f[4:24])
	return crc32.Update(sum, castagnoli(), f[frameHead:])
}

// frame is one decoded frame; payload aliases the segment's bytes.
type frame struct {
	seq     charge.Seq
	durable uint64
	payload []byte
	size    int
}

// decodeFrame reads the frame at the beginning of b. A length of zero is never
// valid: the checksum of nothing is zero, so zeros would read as frames.
func decodeFrame(b []byte) (frame, bool) {
	if len(b) < frameHead || binary.LittleEndian.Uint32(b) != frameMagic {
		return frame{}, false
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if n == 0 || n > maxPayload || int(n) > len(b)-frameHead || binary.LittleEndian.Uint32(b[28:]) != 0 {
		return frame{}, false
	}
	f := b[:frameHead+int(n)]
	if frameSum(f) != binary.LittleEndian.Uint32(f[24:]) {
		return frame{}, false
	}
	return frame{
		seq: charge.Seq(binary.LittleEndian.Uint64(f[8:])), durable: binary.LittleEndian.Uint64(f[16:]),
		payload: f[frameHead:], size: len(f),
	}, true
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

func hexHash(h [hashSize]byte, known bool) string {
	if !known {
		return ""
	}
	return hex.EncodeToString(h[:])
}
