//go:build !linux

package rpi

import (
	"errors"
	"fmt"
)

// Open makes the board on this computer: on Linux only.
func Open(Config) (*Board, error) {
	return nil, fmt.Errorf("rpi: GPIO: %w", errors.ErrUnsupported)
}
