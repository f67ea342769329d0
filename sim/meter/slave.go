// Package meter is the far end of a meter's serial line: a Modbus RTU slave with
// registers that a test or a simulated charging point sets. It frames by the CRC
// alone, so that any stream will do: a pty, a pipe, the socket of an emulated
// UART.
//
// It shares no code with the master in hal/rpi/modbus: each proves the other.
package meter

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
)

// Exception is the code with which a slave refuses a request.
type Exception byte

// The exceptions of the Modbus application protocol that a meter gives.
const (
	NoException     Exception = 0
	IllegalFunction Exception = 1
	IllegalAddress  Exception = 2
)

// Registers answers the requests for registers.
type Registers interface {
	// Registers returns count registers from address on, or an exception. function
	// is 3 (holding) or 4 (input). ok is false if this slave does not exist: it
	// stays silent.
	Registers(slave, function byte, address, count uint16) (values []uint16, e Exception, ok bool)
}

// requestSize is the size of a request to read registers.
const requestSize = 8

// Serve answers the requests that arrive on line until ctx or the stream ends.
// Only the end of ctx and an error of the stream are returned. If line is an
// io.Closer, the end of ctx closes it; otherwise the caller must end its reads.
func Serve(ctx context.Context, line io.ReadWriter, r Registers) error {
	if c, ok := line.(io.Closer); ok {
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	}
	var buf []byte
	chunk := make([]byte, 256)
	for {
		n, err := line.Read(chunk)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		buf = append(buf, chunk[:n]...)
		for len(buf) >= requestSize {
			if !valid(buf[:requestSize]) {
				buf = buf[1:] // not the beginning of a request
				continue
			}
			answer := Answer(buf[:requestSize], r)
			buf = buf[requestSize:]
			if _, err := line.Write(answer); err != nil {
				return err
			}
		}
	}
}

// Answer is the answer to one request, or nil where the slave stays silent.
func Answer(request []byte, r Registers) []byte {
	slave, function := request[0], request[1]
	values, e, ok := r.Registers(slave, function,
		binary.BigEndian.Uint16(request[2:]), binary.BigEndian.Uint16(request[4:]))
	switch {
	case !ok:
		return nil
	case function != 3 && function != 4:
		return seal([]byte{slave, function | 0x80, byte(IllegalFunction)})
	case e != NoException:
		return seal([]byte{slave, function | 0x80, byte(e)})
	}
	out := []byte{slave, function, byte(2 * len(values))}
	for _, v := range values {
		out = binary.BigEndian.AppendUint16(out, v)
	}
	return seal(out)
}

// seal appends the CRC.
func seal(frame []byte) []byte {
	return binary.LittleEndian.AppendUint16(frame, crc(frame))
}

// valid reports whether a frame ends with its CRC.
func valid(frame []byte) bool {
	n := len(frame) - 2
	return binary.LittleEndian.Uint16(frame[n:]) == crc(frame[:n])
}

// crc is the CRC of Modbus RTU, bit by bit as the specification explains it.
func crc(data []byte) uint16 {
	sum := uint16(0xFFFF)
	for _, b := range data {
		sum ^= uint16(b)
		for range 8 {
			odd := sum&1 == 1
			sum >>= 1
			if odd {
				sum ^= 0xA001
			}
		}
	}
	return sum
}
