package rpi

import (
	"fmt"
	"sync"
	"sync/atomic"

	"periph.io/x/conn/v3/gpio"

	"github.com/carga-ev/carga/hal"
)

// relay is one output. Its pin is written and never read.
type relay struct {
	name      string
	lines     Lines
	activeLow bool
	commanded atomic.Bool

	mu     sync.Mutex // guards the write of the pin, and closed
	closed bool
}

// set writes the pin. Command and pin change together, so the last caller
// decides both.
func (r *relay) set(on bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		if on {
			return hal.ErrClosed
		}
		return nil // it was opened before it was released
	}
	r.commanded.Store(on)
	var level gpio.GPIOValue
	if on != r.activeLow {
		level = 1
	}
	if err := r.lines.Out(level, 1); err != nil {
		return fmt.Errorf("rpi: relay %s: write: %w", r.name, err)
	}
	return nil
}

// release releases the pin; the caller has called set(false) before.
func (r *relay) release() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if err := r.lines.Close(); err != nil {
		return fmt.Errorf("rpi: relay %s: release: %w", r.name, err)
	}
	return nil
}
