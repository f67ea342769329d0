package mqttlink

import (
	"bufio"
	"fmt"
	"io"
)

// maxPacket bounds a packet from the broker, behind its fixed header. It is far
// above every message of Carga with the longest topic that MQTT allows; brokers
// are configured to less.
const maxPacket = 192 << 10

// frames reads the packets of a connection for paho, which allocates as many
// bytes as a header announces, up to 256 MB. A longer PUBLISH is cut to
// maxPacket: if it ended the connection, the broker would redeliver it for ever;
// cut, its decoder refuses it as too large. Any other longer packet ends the
// connection. Only one goroutine reads.
type frames struct {
	in  *bufio.Reader
	cut func() // called for each PUBLISH that is cut

	head []byte // of the present packet, not yet returned
	left int    // bytes of its body to return
	drop int    // bytes of its body to discard after that
}

func newFrames(r io.Reader, cut func()) *frames {
	return &frames{in: bufio.NewReader(r), cut: cut}
}

// Read implements io.Reader.
func (f *frames) Read(b []byte) (int, error) {
	for {
		switch {
		case len(b) == 0:
			return 0, nil
		case len(f.head) > 0:
			n := copy(b, f.head)
			f.head = f.head[n:]
			return n, nil
		case f.left > 0:
			n, err := f.in.Read(b[:min(len(b), f.left)])
			f.left -= n
			return n, err
		case f.drop > 0:
			n, err := f.in.Discard(min(f.drop, f.in.Size()))
			if f.drop -= n; err != nil {
				return 0, err
			}
		default:
			if err := f.next(); err != nil {
				return 0, err
			}
		}
	}
}

// next reads the fixed header of the next packet.
func (f *frames) next() error {
	kind, err := f.in.ReadByte()
	if err != nil {
		return err
	}
	size, shift := 0, 0
	for more := true; more; shift += 7 {
		if shift > 21 {
			return fmt.Errorf("packet of type %d: its length has more than 4 bytes", kind>>4)
		}
		digit, err := f.in.ReadByte()
		if err != nil {
			return err
		}
		size |= int(digit&0x7f) << shift
		more = digit&0x80 != 0
	}
	const publish = 3
	switch {
	case size <= maxPacket:
	case kind>>4 == publish:
		f.drop, size = size-maxPacket, maxPacket
		f.cut()
	default:
		return fmt.Errorf("packet of type %d has %d bytes; at most %d are allowed", kind>>4, size, maxPacket)
	}
	f.left = size
	f.head = append(f.head[:0], kind)
	for {
		digit := byte(size & 0x7f)
		if size >>= 7; size == 0 {
			f.head = append(f.head, digit)
			return nil
		}
		f.head = append(f.head, digit|0x80)
	}
}
