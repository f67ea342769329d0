package modbus

import (
	"encoding/binary"
	"fmt"
)

// Function is the function code of a request.
type Function byte

// The functions that read registers. The same address is another register in each.
const (
	Holding Function = 3
	Input   Function = 4
)

// ExceptionError is the code with which a slave refuses a request. Its answer was
// complete, so the line is in order.
type ExceptionError byte

// Error implements error.
func (e ExceptionError) Error() string {
	names := map[ExceptionError]string{
		1: "illegal function", 2: "illegal address", 3: "illegal value", 4: "device failure", 6: "device busy",
	}
	if name := names[e]; name != "" {
		return fmt.Sprintf("refused with exception %d (%s)", byte(e), name)
	}
	return fmt.Sprintf("refused with exception %d", byte(e))
}

// The sizes of frames: slave, function and length stand before the data, the CRC
// behind it. MaxCount is the most registers that fit into one.
const (
	headSize      = 3
	crcSize       = 2
	exceptionSize = headSize + crcSize
	MaxCount      = 125
)

// anySlave is the address at which a PZEM answers whatever its own is, if it is
// alone on the line.
const anySlave = 0xF8

// request is the frame that asks a slave for count registers from address on.
func request(slave byte, f Function, address, count uint16) []byte {
	frame := []byte{slave, byte(f)}
	frame = binary.BigEndian.AppendUint16(frame, address)
	frame = binary.BigEndian.AppendUint16(frame, count)
	return binary.LittleEndian.AppendUint16(frame, crc(frame))
}

// answerSize checks the head of an answer and returns the size of its frame.
func answerSize(head []byte, slave byte, f Function, count uint16) (int, error) {
	switch from, function, size := head[0], head[1], head[2]; {
	case from != slave && slave != anySlave:
		return 0, fmt.Errorf("slave %d answered in its place", from)
	case function == byte(f)|0x80:
		return exceptionSize, nil
	case function != byte(f):
		return 0, fmt.Errorf("the answer is to function %d", function)
	case uint16(size) != 2*count:
		return 0, fmt.Errorf("the answer has %d bytes, not %d", size, 2*count)
	}
	return headSize + int(2*count) + crcSize, nil
}

// registers checks a whole answer, whose head is checked, and returns its
// registers.
func registers(frame []byte) ([]uint16, error) {
	end := len(frame) - crcSize
	if got, want := binary.LittleEndian.Uint16(frame[end:]), crc(frame[:end]); got != want {
		return nil, fmt.Errorf("the answer's CRC is %04x, not %04x: noise, or a wrong speed or parity", got, want)
	}
	if frame[1]&0x80 != 0 {
		return nil, ExceptionError(frame[2])
	}
	words := make([]uint16, 0, (end-headSize)/2)
	for data := frame[headSize:end]; len(data) > 0; data = data[2:] {
		words = append(words, binary.BigEndian.Uint16(data))
	}
	return words, nil
}

// crc is the CRC-16 of Modbus: the polynomial 0x8005, reflected, from 0xFFFF.
func crc(data []byte) uint16 {
	sum := uint16(0xFFFF)
	for _, b := range data {
		sum ^= uint16(b)
		for range 8 {
			if sum&1 != 0 {
				sum = sum>>1 ^ 0xA001
			} else {
				sum >>= 1
			}
		}
	}
	return sum
}
