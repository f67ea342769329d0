package rpi

import (
	"fmt"
	"sync"
	"sync/atomic"

	"periph.io/x/conn/v3/gpio"

	"github.com/carga-ev/carga/hal"
)

// output is one output line. Its pin is written and never read.
type output struct {
	name      string // its key in the Config, and its pin
	lines     Lines
	activeLow bool
	commanded atomic.Bool

	mu     sync.Mutex // guards the write of the pin, and closed
	closed bool
}

// set writes the pin. Command and pin change together, so the last caller
// decides both.
func (o *output) set(on bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		if on {
			return hal.ErrClosed
		}
		return nil // it was switched off before it was released
	}
	o.commanded.Store(on)
	var level gpio.GPIOValue
	if on != o.activeLow {
		level = 1
	}
	if err := o.lines.Out(level, 1); err != nil {
		return fmt.Errorf("rpi: %s: write: %w", o.name, err)
	}
	return nil
}

// release releases the pin; the caller has called set(false) before.
func (o *output) release() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	o.closed = true
	if err := o.lines.Close(); err != nil {
		return fmt.Errorf("rpi: %s: release: %w", o.name, err)
	}
	return nil
}

// released reports whether the pin has been released.
func (o *output) released() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}
