package rpi

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// panel is the buttons and lights of all connectors. Its goroutine makes lights
// blink.
type panel struct {
	presses *hal.Moments[hal.Press]

	mu    sync.Mutex // guards what follows
	lamps []lamps    // one for each connector
	phase int        // counts half periods of the fastest blinking
	err   error      // of a lamp that could not be written while it blinked
}

// lamps is what is fitted on one connector, and what it shows.
type lamps struct {
	red, green, blue *output // nil: not fitted
	look             look
}

// look is how a light is shown.
type look struct {
	red, green, blue bool
	blink            int // half periods of halfPeriod; 0: steady
}

// halfPeriod is half of the period of the fastest blinking.
const halfPeriod = 250 * time.Millisecond

// looks is the meaning of the colours.
func looks(l hal.Light) look {
	switch l {
	case hal.LightReady:
		return look{green: true}
	case hal.LightWaiting:
		return look{blue: true, blink: 2}
	case hal.LightCharging:
		return look{blue: true}
	case hal.LightRefused:
		return look{red: true, blink: 1}
	case hal.LightFault:
		return look{red: true}
	case hal.LightIdentify:
		return look{red: true, green: true, blue: true, blink: 1}
	case hal.LightOff:
	}
	return look{}
}

var _ hal.FrontPanel = (*panel)(nil)

// Presses implements hal.FrontPanel.
func (p *panel) Presses() <-chan hal.Press { return p.presses.C() }

// Show implements hal.FrontPanel.
func (p *panel) Show(n charge.ConnectorID, l hal.Light) error {
	if n < 1 || int(n) > len(p.lamps) {
		return fmt.Errorf("connector %d: this board has 1 to %d", n, len(p.lamps))
	}
	if !p.lamps[n-1].fitted() {
		return fmt.Errorf("lights of connector %d: %w", n, hal.ErrNotFitted)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lamps[n-1].look = looks(l)
	err := errors.Join(p.err, p.lamps[n-1].write(p.phase))
	p.err = nil
	return err
}

// run makes lights blink until ctx ends.
func (p *panel) run(ctx context.Context) {
	for sleep(ctx, halfPeriod) == nil {
		p.mu.Lock()
		p.phase++
		for i := range p.lamps {
			if p.lamps[i].look.blink == 0 {
				continue
			}
			if err := p.lamps[i].write(p.phase); err != nil {
				p.err = err
			}
		}
		p.mu.Unlock()
	}
}

// fitted reports whether there is a lamp.
func (l *lamps) fitted() bool { return l.red != nil || l.green != nil || l.blue != nil }

// write sets the lamps as they are in this phase.
func (l lamps) write(phase int) error {
	lit := l.look.blink == 0 || phase/l.look.blink%2 == 0
	var errs error
	for _, lamp := range []struct {
		out *output
		on  bool
	}{{l.red, l.look.red}, {l.green, l.look.green}, {l.blue, l.look.blue}} {
		if lamp.out != nil && lamp.out.commanded.Load() != (lamp.on && lit) {
			errs = errors.Join(errs, lamp.out.set(lamp.on && lit))
		}
	}
	return errs
}
