package rpi

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
)

// Countdown is an open watchdog of the kernel. A write restarts it; a close
// without a "V" written before lets it end in a reset of the computer.
type Countdown interface {
	Write([]byte) (int, error)
	Close() error
}

// watchdog opens its device with the first Kick, since that arms it: an agent
// that reads a long journal at its start must not be reset meanwhile.
type watchdog struct {
	open     func() (Countdown, error)
	device   string
	timeout  time.Duration
	nowayout string // the kernel's file that holds 1 if a close cannot stop it

	mu       sync.Mutex // guards what follows
	running  Countdown  // nil: not armed
	disarmed bool
}

var _ hal.Watchdog = (*watchdog)(nil)

// Kick implements hal.Watchdog.
func (w *watchdog) Kick() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.disarmed {
		return hal.ErrClosed
	}
	if w.running == nil {
		c, err := w.open()
		if err != nil {
			return fmt.Errorf("rpi: watchdog %s: %w", w.device, err)
		}
		w.running = c
	}
	if _, err := w.running.Write([]byte{'k'}); err != nil {
		return fmt.Errorf("rpi: watchdog %s: kick: %w", w.device, err)
	}
	return nil
}

// Timeout implements hal.Watchdog.
func (w *watchdog) Timeout() time.Duration { return w.timeout }

// Disarm implements hal.Watchdog, by the magic close.
func (w *watchdog) Disarm() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disarmed = true
	if w.running == nil {
		return nil
	}
	_, err := w.running.Write([]byte{'V'})
	err = errors.Join(err, w.running.Close())
	w.running = nil
	// A kernel that does not expose the file has no such lock.
	if raw, _ := os.ReadFile(w.nowayout); strings.TrimSpace(string(raw)) == "1" {
		err = errors.Join(err, errors.New("the kernel allows no stop (nowayout)"))
	}
	if err != nil {
		return fmt.Errorf("rpi: watchdog %s: disarm; the computer will be reset: %w", w.device, err)
	}
	return nil
}
