//go:build !linux

package serial

import (
	"errors"
	"fmt"
)

// speeds are the speeds of a line.
//
//nolint:gochecknoglobals // a table of constants
var speeds = map[int]uint32{1200: 0, 2400: 0, 4800: 0, 9600: 0, 19200: 0, 38400: 0, 57600: 0, 115200: 0}

// Open opens the line: on Linux only.
func Open(cfg Config) (Line, error) {
	return nil, fmt.Errorf("serial: %s: %w", cfg.Device, errors.ErrUnsupported)
}
