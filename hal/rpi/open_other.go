//go:build !linux

package rpi

import (
	"errors"
	"fmt"
)

// Open makes the board on this machine's pins: on Linux only.
func Open(Config) (*Board, error) {
	return nil, fmt.Errorf("rpi: GPIO: %w", errors.ErrUnsupported)
}
