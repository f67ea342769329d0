package rpi

import (
	"context"
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/carga-ev/carga/hal"
)

// watched is contacts whose closings are counted: buttons and S0 outputs. No
// caller reads them at the right moment, so a goroutine does, every samplePeriod.
//
// A closing counts after pulseSamples equal readings, as does an opening, so a
// pulse must be longer than 15 ms and a pause too; S0 (IEC 62053-31) guarantees 30
// ms of each. So one reading in a pulse may be 10 ms late, or each of them 5 ms,
// before it can be lost. Edges of the driver would count a disturbance as energy: they have
// no time, so they cannot be debounced. What is missed while the process does not
// run is missing energy, never energy that did not flow.
type watched struct {
	lines    Lines
	mask     gpio.GPIOValue
	start    time.Time
	closings []func(hal.Stamp) // called by the goroutine, under mu; so are holds
	holds    []func(hal.Stamp) // nil: none

	mu       sync.Mutex // guards what follows
	contacts []contact
	closedAt []time.Duration // while a hold is ahead; 0: none is
	seq      uint64
	err      error // of the last reading
}

// pulseSamples is how many readings in a row must agree.
const pulseSamples = 3

// run samples until ctx ends.
func (w *watched) run(ctx context.Context) {
	tick := time.NewTicker(samplePeriod)
	defer tick.Stop()
	for {
		w.sample()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sample reads all contacts once. A pulse that is not seen is not counted.
func (w *watched) sample() {
	levels, err := w.lines.Read(w.mask)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.err = fmt.Errorf("rpi: pulses and buttons: %w: %w", hal.ErrUnreadable, err)
		return
	}
	w.err = nil
	now := time.Since(w.start)
	for i := range w.contacts {
		c := &w.contacts[i]
		was := c.closed || !c.known // a contact that is closed at the start has not been closed now
		c.sample(now, levels&c.bit == 0, pulseSamples, false)
		switch {
		case c.closed && !was:
			w.closedAt[i] = now
			w.seq++
			w.closings[i](hal.Stamp{Mono: now, Seq: w.seq})
		case !c.closed:
			w.closedAt[i] = 0
		case w.holds[i] != nil && w.closedAt[i] > 0 && now-w.closedAt[i] >= hal.HoldLasts:
			w.closedAt[i] = 0
			w.seq++
			w.holds[i](hal.Stamp{Mono: now, Seq: w.seq})
		}
	}
}

// read returns whether contact i is closed.
func (w *watched) read(i int) (closed bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.contacts[i].closed, w.err
}

// close releases the lines; the goroutine has ended.
func (w *watched) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = hal.ErrClosed
	if err := w.lines.Close(); err != nil {
		return fmt.Errorf("rpi: release pulses and buttons: %w", err)
	}
	return nil
}

// failed is the error of the last reading.
func (w *watched) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
