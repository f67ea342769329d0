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
// ms of each. Edges of the driver would count a disturbance as energy: they have
// no time, so they cannot be debounced. What is missed while the process does not
// run is missing energy, never energy that did not flow.
type watched struct {
	lines    Lines
	mask     gpio.GPIOValue
	start    time.Time
	contacts []contact
	closings []func(context.Context, hal.Stamp) // called by the goroutine

	mu  sync.Mutex // guards what follows
	err error      // of the last reading
}

// pulseSamples is how many readings in a row must agree.
const pulseSamples = 3

// run samples until ctx ends.
func (w *watched) run(ctx context.Context) {
	tick := time.NewTicker(samplePeriod)
	defer tick.Stop()
	var seq uint64
	for {
		levels, err := w.lines.Read(w.mask)
		if err != nil {
			err = fmt.Errorf("rpi: pulses and buttons: %w: %w", hal.ErrUnreadable, err)
		}
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
		for i := range w.contacts {
			if err != nil {
				break // a pulse that is not seen is not counted
			}
			c := &w.contacts[i]
			was := c.closed || !c.known // a contact that is closed at the start has not been closed now
			c.sample(levels&c.bit == 0, pulseSamples, false)
			if c.closed && !was {
				seq++
				w.closings[i](ctx, hal.Stamp{Mono: time.Since(w.start), Seq: seq})
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
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
