package cards

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/carga-ev/carga/hal/rpi/serial"
)

// The commands of the PN532. Its answer repeats the code plus one.
const (
	getFirmwareVersion  byte = 0x02
	samConfiguration    byte = 0x14
	rfConfiguration     byte = 0x32
	inListPassiveTarget byte = 0x4A
)

// The limits of waiting for the PN532. A look for a card takes it some 30 ms.
const (
	ackWait    = 100 * time.Millisecond
	answerWait = 500 * time.Millisecond
	askEvery   = 5 * time.Millisecond
)

// link carries the frames of a PN532.
type link interface {
	// open makes the line ready and wakes the chip.
	open() error
	// close frees the line.
	close()
	// send writes one frame.
	send(frame []byte) error
	// receive returns the next frame, as far as it was read. most is the largest.
	receive(ctx context.Context, most int, wait time.Duration) ([]byte, error)
}

// pn532 is the chip of that name.
type pn532 struct{ link link }

// NewPN532I2C makes a reader with a PN532 on an I²C bus.
func NewPN532I2C(bus i2c.Bus, mono func() time.Duration) *Reader {
	return newReader("PN532 on "+bus.String(), pn532{&i2cLink{bus}}, mono)
}

// PN532Baud is the speed of a PN532 on a UART; it has no parity and one stop bit.
const PN532Baud = 115200

// NewPN532UART makes a reader with a PN532 on a serial line. The line is opened
// when Run starts the chip, and again after each failure.
func NewPN532UART(open func() (serial.Line, error), mono func() time.Duration) *Reader {
	return newReader("PN532 on a UART", pn532{&uartLink{opener: open}}, mono)
}

// start wakes the chip and sets it up: no secure element, and few tries for a card,
// so that a look without a card ends.
func (p pn532) start(ctx context.Context) error {
	if err := p.link.open(); err != nil {
		return err
	}
	if version, err := p.do(ctx, getFirmwareVersion); err != nil {
		return err
	} else if len(version) != 4 || version[0] != 0x32 {
		return fmt.Errorf("the chip is no PN532: version % x", version)
	}
	if _, err := p.do(ctx, samConfiguration, 0x01, 0x14, 0x01); err != nil {
		return err
	}
	_, err := p.do(ctx, rfConfiguration, 0x05, 0xFF, 0x01, 0x02)
	return err
}

func (p pn532) stop() { p.link.close() }

// card looks for one card of type A at 106 kbit/s.
func (p pn532) card(ctx context.Context) ([]byte, error) {
	data, err := p.do(ctx, inListPassiveTarget, 0x01, 0x00)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 || data[0] == 0 {
		return nil, nil
	}
	// One target: its number, two bytes of the answer to the request, one of the
	// selection, the length of the identifier and the identifier.
	const head = 6
	if len(data) < head || len(data) < head+int(data[head-1]) {
		return nil, errors.New("the answer with the card is too short")
	}
	uid := data[head : head+int(data[head-1])]
	switch len(uid) {
	case 4, 7, 10:
		return bytes.Clone(uid), nil
	}
	return nil, fmt.Errorf("an identifier has %d bytes; 4, 7 and 10 exist", len(uid))
}

// The marks of a frame: host to chip and chip to host, and the frame that confirms.
const (
	toChip byte = 0xD4
	toHost byte = 0xD5
	// answerMost is the largest frame that we expect: a card with an answer to select.
	answerMost = 64
)

func ack() []byte { return []byte{0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00} }

// do executes one command and returns the data of its answer.
func (p pn532) do(ctx context.Context, command byte, args ...byte) ([]byte, error) {
	if err := p.link.send(frame(command, args...)); err != nil {
		return nil, err
	}
	got, err := p.link.receive(ctx, len(ack()), ackWait)
	if err != nil {
		return nil, fmt.Errorf("command %#02x is not confirmed: %w", command, err)
	}
	if !bytes.Equal(got, ack()) {
		return nil, fmt.Errorf("command %#02x is not confirmed: the chip sent another frame", command)
	}
	got, err = p.link.receive(ctx, answerMost, answerWait)
	if err != nil {
		return nil, fmt.Errorf("command %#02x is not answered: %w", command, err)
	}
	data, err := payload(got)
	if err != nil {
		return nil, fmt.Errorf("command %#02x: %w", command, err)
	}
	if len(data) < 2 || data[0] != toHost || data[1] != command+1 {
		return nil, fmt.Errorf("command %#02x: the answer is another one's", command)
	}
	return data[2:], nil
}

// frame is the frame of a command.
func frame(command byte, args ...byte) []byte {
	data := append([]byte{toChip, command}, args...)
	out := []byte{0x00, 0x00, 0xFF, byte(len(data)), -byte(len(data))}
	out = append(out, data...)
	return append(out, -sum(data), 0x00)
}

// payload is the data of a frame, checked.
func payload(f []byte) ([]byte, error) {
	const head = 5
	if len(f) < head || !bytes.Equal(f[:3], []byte{0x00, 0x00, 0xFF}) || f[3]+f[4] != 0 {
		return nil, errors.New("the frame has no beginning")
	}
	end := head + int(f[3])
	if len(f) < end+1 {
		return nil, errors.New("the frame is cut short")
	}
	if sum(f[head:end+1]) != 0 {
		return nil, errors.New("the frame's checksum is wrong")
	}
	return f[head:end], nil
}

// sum is the sum of bytes that a checksum completes to zero.
func sum(data []byte) (s byte) {
	for _, b := range data {
		s += b
	}
	return s
}

// i2cLink is a PN532 on I²C. Each reading begins with a byte that is 1 once there
// is a frame; before that, the chip may not answer to its address at all.
type i2cLink struct{ bus i2c.Bus }

// pn532Address is the chip's address on I²C; it is fixed.
const pn532Address = 0x24

func (l *i2cLink) open() error { return nil }
func (l *i2cLink) close()      {}

func (l *i2cLink) send(frame []byte) error { return l.bus.Tx(pn532Address, frame, nil) }

func (l *i2cLink) receive(ctx context.Context, most int, wait time.Duration) ([]byte, error) {
	buf := make([]byte, 1+most)
	for end := time.Now().Add(wait); ; pause(ctx, askEvery) {
		err := l.bus.Tx(pn532Address, nil, buf)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil && buf[0]&1 == 1:
			return buf[1:], nil
		case time.Now().Before(end):
		case err != nil:
			return nil, err
		default:
			return nil, errors.New("the chip is not ready")
		}
	}
}

// uartLink is a PN532 on a serial line.
type uartLink struct {
	opener func() (serial.Line, error)
	line   serial.Line
}

// open opens the line again and wakes the chip: a long preamble, which it ignores
// when it is awake.
func (l *uartLink) open() error {
	l.close()
	line, err := l.opener()
	if err != nil {
		return err
	}
	l.line = line
	return l.send(append([]byte{0x55, 0x55}, make([]byte, 14)...))
}

func (l *uartLink) close() {
	if l.line != nil {
		_ = l.line.Close() // nothing was promised about it
		l.line = nil
	}
}

func (l *uartLink) send(frame []byte) error {
	if err := l.line.SetDeadline(time.Now().Add(ackWait)); err != nil {
		return err
	}
	_, err := l.line.Write(frame)
	return err
}

// receive reads an acknowledgement whole, and of any other frame what its length
// demands.
func (l *uartLink) receive(ctx context.Context, most int, wait time.Duration) ([]byte, error) {
	if err := l.line.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = l.line.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, most)
	size := len(ack())
	if _, err := io.ReadFull(l.line, buf[:size]); err != nil {
		return nil, err
	}
	if most == size {
		return buf, nil
	}
	total := 5 + int(buf[3]) + 2
	if total < size || total > most {
		return nil, fmt.Errorf("a frame of %d bytes; at most %d are expected", total, most)
	}
	_, err := io.ReadFull(l.line, buf[size:total])
	return buf[:total], err
}
