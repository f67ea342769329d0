// Package serial opens a serial line of the kernel for a protocol in bytes: raw,
// eight data bits, no flow control. The file that it returns has deadlines, so a
// read that nothing answers ends, and a caller can end it.
//
// It is shared by the meters (Modbus RTU) and by card readers on a UART.
package serial

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Line is an open serial line. *os.File is one, and so is a net.Conn, by which
// tests and serial servers take its place.
type Line interface {
	io.ReadWriteCloser
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
}

// Parity is the parity bit of each character.
type Parity string

// The parities. An empty one is None.
const (
	None Parity = "none"
	Even Parity = "even"
	Odd  Parity = "odd"
)

// Config is the setting of a line.
type Config struct {
	Device   string // such as "/dev/ttyS0", or better a name of /dev/serial/by-id
	Baud     int    // such as 9600
	Parity   Parity // "" is None
	StopBits int    // 1 or 2; 0 is 1
}

// CharTime is how long one character is on the line: a start bit, eight data bits,
// the parity, the stop bits.
func (c Config) CharTime() time.Duration {
	bits := 9 + max(c.StopBits, 1)
	if c.Parity == Even || c.Parity == Odd {
		bits++
	}
	return time.Duration(bits) * time.Second / time.Duration(max(c.Baud, 1))
}

// Validate reports everything that is wrong, each by its field.
func (c Config) Validate() error {
	var errs []error
	if !strings.HasPrefix(c.Device, "/") {
		errs = append(errs, fmt.Errorf("device: %q is no path; name the device, such as /dev/ttyS0", c.Device))
	}
	if _, ok := speeds[c.Baud]; !ok {
		errs = append(errs, fmt.Errorf("baud: %d is no speed of a serial line; use the meter's, such as 9600", c.Baud))
	}
	switch c.Parity {
	case "", None, Even, Odd:
	default:
		errs = append(errs, fmt.Errorf("parity: %q; use none, even or odd", c.Parity))
	}
	if c.StopBits < 0 || c.StopBits > 2 {
		errs = append(errs, fmt.Errorf("stop_bits: %d; use 1 or 2", c.StopBits))
	}
	return errors.Join(errs...)
}
