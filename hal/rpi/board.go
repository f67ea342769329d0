package rpi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// Board is a charging point on the pins and buses of a Raspberry Pi.
type Board struct {
	info       hal.Info
	start      time.Time
	connectors []*connector
	outputs    []*output // all of them, the relays first
	inputs     *inputs
	watched    *watched // nil: no buttons and pulses
	wires      []wire
	estop      int // place among the inputs, or absent

	keeper   *keeper // nil: not fitted, as are the next four
	watchdog *watchdog
	clock    hal.Clock
	reader   hal.TokenReader
	panel    *panel

	stop    context.CancelFunc // ends the workers
	workers sync.WaitGroup     // all goroutines of the board
	closers []func() error     // of buses and parts, called last first after the workers have ended
}

var _ hal.Board = (*Board)(nil)

// absent is the place of an input that is not fitted.
const absent = -1

// New makes the board of cfg. It requests the relays first, each switched off by a
// checked write as soon as it is an output, then everything else, and reads the
// inputs a few times (some 15 ms) so that their levels are known. After an error
// every output is switched off and everything is released.
func New(cfg Config, c Computer) (*Board, error) {
	if err := cfg.err(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	b := &Board{start: time.Now(), info: info(cfg), stop: cancel, estop: absent}
	b.inputs = newInputs(nil, 0, cfg.Samples, b.start)
	if err := (&builder{b: b, cfg: cfg, computer: c, ctx: ctx}).build(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// info describes the board of a Config.
func info(cfg Config) hal.Info {
	i := hal.Info{
		Model:      "rpi",
		Serial:     cfg.Serial,
		Connectors: len(cfg.Connectors),
		Vent:       cfg.Vent,
		Steered:    true,
		RatedPower: cfg.RatedPower,
		MaxCurrent: cfg.MaxCurrent,
		Voltage:    cfg.Voltage,
		Phases:     cfg.Phases,
	}
	for _, o := range cfg.Connectors {
		i.Steered = i.Steered && o.Pilot.Kind == PilotPWM
		if len(o.Temperature) > 0 {
			i.TempLimit = cfg.TempLimit
		}
	}
	return i
}

// Info describes the board.
func (b *Board) Info() hal.Info { return b.info }

// Connector returns the devices of one connector.
func (b *Board) Connector(n charge.ConnectorID) (hal.Connector, error) {
	if n < 1 || int(n) > len(b.connectors) {
		return nil, fmt.Errorf("connector %d: this board has 1 to %d", n, len(b.connectors))
	}
	c := b.connectors[n-1]
	if c.trips.fitted() {
		return protected{c}, nil
	}
	return c, nil
}

// EStop returns the emergency stop.
func (b *Board) EStop() (hal.EStop, error) {
	if b.estop == absent {
		return nil, hal.ErrNotFitted
	}
	return estop{b}, nil
}

// Keeper returns the monoflop in the supply of the coils.
func (b *Board) Keeper() (hal.Keeper, error) {
	if b.keeper == nil {
		return nil, hal.ErrNotFitted
	}
	return b.keeper, nil
}

// Reader returns the card reader.
func (b *Board) Reader() (hal.TokenReader, error) {
	if b.reader == nil {
		return nil, hal.ErrNotFitted
	}
	return b.reader, nil
}

// Panel returns the buttons and lights.
func (b *Board) Panel() (hal.FrontPanel, error) {
	if b.panel == nil {
		return nil, hal.ErrNotFitted
	}
	return b.panel, nil
}

// Watchdog returns the kernel's watchdog.
func (b *Board) Watchdog() (hal.Watchdog, error) {
	if b.watchdog == nil {
		return nil, hal.ErrNotFitted
	}
	return b.watchdog, nil
}

// Clock returns the clock with a battery.
func (b *Board) Clock() (hal.Clock, error) {
	if b.clock == nil {
		return nil, hal.ErrNotFitted
	}
	return b.clock, nil
}

// Mono is the time since the board was made.
func (b *Board) Mono() time.Duration { return time.Since(b.start) }

// SafeState switches every relay off, whatever fails.
func (b *Board) SafeState() error {
	var errs error
	for _, c := range b.connectors {
		if err := c.relay.set(false); err != nil {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}

// Close switches every relay off, ends the goroutines, switches off the other
// outputs and releases everything.
func (b *Board) Close() error {
	errs := b.SafeState()
	b.stop()
	b.workers.Wait()
	for _, o := range b.outputs {
		errs = errors.Join(errs, o.set(false), o.release())
	}
	errs = errors.Join(errs, b.inputs.close())
	for _, c := range slices.Backward(b.closers) {
		errs = errors.Join(errs, c())
	}
	b.closers = nil
	return errs
}

// estop is the emergency stop.
type estop struct{ b *Board }

var _ hal.EStop = estop{}

func (e estop) Pressed() (bool, hal.Stamp, error) {
	closed, stamp, err := e.b.inputs.read(e.b.estop)
	return !closed, stamp, err // an error reads as not closed, and so as pressed
}
