package web

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// gzipHeader begins a gzip stream without a name and a time.
const gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// packLevel is the level of compression: one frame is compressed for all pages, so
// it costs little.
const packLevel = 6

// packer compresses frames so that they can be shared. Each becomes blocks of a
// deflate stream that refer to nothing before them: pages get the same bytes,
// whatever they were sent before, and each gets a valid gzip stream. The zero
// packer is ready to use, by one goroutine at a time.
type packer struct{ w *flate.Writer }

func (p *packer) pack(b []byte) []byte {
	var out bytes.Buffer
	if p.w == nil {
		p.w, _ = flate.NewWriter(&out, packLevel) // fails only for an unknown level
	} else {
		p.w.Reset(&out)
	}
	_, _ = p.w.Write(b) // a buffer accepts all
	_ = p.w.Flush()
	return out.Bytes()
}

// checksum is what the end of a gzip stream states of its content.
type checksum struct {
	crc uint32
	n   uint32
}

func (c *checksum) add(b []byte) {
	c.crc = crc32.Update(c.crc, crc32.IEEETable, b)
	c.n += uint32(len(b)) //nolint:gosec // modulo 2^32, by the format
}

// trailer returns the end of the stream: an empty last block, and the checksum.
func (c *checksum) trailer() []byte {
	b := []byte{0x03, 0x00}
	b = binary.LittleEndian.AppendUint32(b, c.crc)
	return binary.LittleEndian.AppendUint32(b, c.n)
}

// acceptsGzip reports whether an Accept-Encoding names gzip, and not with the
// weight 0.
func acceptsGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		name, weight, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		_, q, weighted := strings.Cut(weight, "=")
		return !weighted || strings.Trim(strings.TrimSpace(q), "0.") != ""
	}
	return false
}
