package rpi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// Lines is a set of lines requested together; *gpioioctl.LineSet is one. Bit i
// is the i-th line of the request.
type Lines interface {
	Out(bits, mask gpio.GPIOValue) error
	Read(mask gpio.GPIOValue) (gpio.GPIOValue, error)
	Close() error
}

// Chip requests lines by name.
type Chip interface {
	// Outputs requests lines as outputs; they drive low from then on.
	Outputs(names ...string) (Lines, error)
	// Inputs requests lines as inputs with pull-up.
	Inputs(names ...string) (Lines, error)
}

// Board is a charging point on the pins of a Raspberry Pi.
type Board struct {
	hal.BareBoard
	info       hal.Info
	start      time.Time
	connectors []*connector
	inputs     *inputs
	estop      int // place among the inputs, or absent
}

var _ hal.Board = (*Board)(nil)

// absent is the place of an input that is not fitted.
const absent = -1

// New requests the pins of chip: first the relays, each switched off by a checked
// write as soon as it is an output, then the inputs, which it reads a few times
// (some 15 ms) so that their levels are known. After an error every requested pin
// is switched off and released.
func New(cfg Config, chip Chip) (*Board, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Samples == 0 {
		cfg.Samples = defaultSamples
	}
	b := &Board{
		start: time.Now(),
		info: hal.Info{
			Model:      "rpi",
			Serial:     cfg.Serial,
			Connectors: len(cfg.Connectors),
			Vent:       cfg.Vent,
			RatedPower: cfg.RatedPower,
			MaxCurrent: cfg.MaxCurrent,
			Voltage:    cfg.Voltage,
			Phases:     cfg.Phases,
		},
	}
	b.inputs = newInputs(nil, 0, cfg.Samples, b.start)
	if err := b.requestLines(cfg, chip); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// requestLines requests the lines of relays and inputs.
func (b *Board) requestLines(cfg Config, chip Chip) error {
	for i, o := range cfg.Connectors {
		lines, err := chip.Outputs(o.Relay)
		if err != nil {
			return fmt.Errorf("rpi: connectors[%d].relay: %w", i, err)
		}
		c := &connector{board: b, mirror: o.FeedbackMirror}
		c.relay = relay{name: o.Relay, lines: lines, activeLow: o.RelayActiveLow}
		b.connectors = append(b.connectors, c)
		if err := c.relay.set(false); err != nil {
			return err
		}
	}
	var names []string
	inputIndex := func(name string) int {
		if name == "" {
			return absent
		}
		names = append(names, name)
		return len(names) - 1
	}
	b.estop = inputIndex(cfg.EStop)
	for i, o := range cfg.Connectors {
		c := b.connectors[i]
		c.feedback, c.plug, c.request = inputIndex(o.Feedback), inputIndex(o.Plug), inputIndex(o.Request)
	}
	lines, err := chip.Inputs(names...)
	if err != nil {
		return fmt.Errorf("rpi: inputs %v: %w", names, err)
	}
	b.inputs = newInputs(lines, len(names), cfg.Samples, b.start)
	return b.inputs.fill()
}

// Info describes the board.
func (b *Board) Info() hal.Info { return b.info }

// Connector returns the devices of one connector.
func (b *Board) Connector(n charge.ConnectorID) (hal.Connector, error) {
	if n < 1 || int(n) > len(b.connectors) {
		return nil, fmt.Errorf("connector %d: this board has 1 to %d", n, len(b.connectors))
	}
	return b.connectors[n-1], nil
}

// EStop returns the emergency stop.
func (b *Board) EStop() (hal.EStop, error) {
	if b.estop == absent {
		return nil, hal.ErrNotFitted
	}
	return estop{b}, nil
}

// Keeper returns hal.ErrNotFitted: the pins alone have no dead-man device.
func (b *Board) Keeper() (hal.Keeper, error) { return nil, hal.ErrNotFitted }

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

// Close switches every relay off and releases the pins.
func (b *Board) Close() error {
	errs := b.SafeState()
	for _, c := range b.connectors {
		errs = errors.Join(errs, c.relay.release())
	}
	return errors.Join(errs, b.inputs.close())
}

// connector is the devices of one outlet.
type connector struct {
	hal.BareConnector
	board                   *Board
	relay                   relay
	mirror                  bool
	feedback, plug, request int // places among the inputs
}

type (
	contactor struct{ *connector }
	pilot     struct{ *connector }
	meter     struct{}
	estop     struct{ b *Board }
)

var (
	_ hal.Connector = (*connector)(nil)
	_ hal.Contactor = contactor{}
	_ hal.Pilot     = pilot{}
	_ hal.Meter     = meter{}
	_ hal.EStop     = estop{}
)

func (c *connector) Contactor() hal.Contactor { return contactor{c} }
func (c *connector) Pilot() hal.Pilot         { return pilot{c} }
func (c *connector) Meter() hal.Meter         { return meter{} }

func (k contactor) Set(on bool) error { return k.relay.set(on) }
func (k contactor) Commanded() bool   { return k.relay.commanded.Load() }

func (k contactor) Feedback() (hal.ContactState, hal.Stamp, error) {
	if k.feedback == absent {
		return hal.ContactUnknown, hal.Stamp{}, hal.ErrNotFitted
	}
	closed, stamp, err := k.board.inputs.read(k.feedback)
	switch {
	case err != nil:
		return hal.ContactUnknown, stamp, err
	case closed != k.mirror:
		return hal.ContactClosed, stamp, nil
	}
	return hal.ContactOpen, stamp, nil
}

// State is A without a plug, whatever the request contact; B with a plug; C with
// both.
func (p pilot) State() (charge.PilotState, hal.Stamp, error) {
	plugged, stamp, err := p.board.inputs.read(p.plug)
	if err != nil {
		return charge.PilotUnknown, stamp, err
	}
	asks, later, err := p.board.inputs.read(p.request)
	switch {
	case err != nil:
		return charge.PilotUnknown, later, err
	case !plugged:
		return charge.PilotA, stamp, nil
	case asks:
		return charge.PilotC, stamp, nil
	}
	return charge.PilotB, stamp, nil
}

// SetAvailable does nothing: there is no PWM on these pins.
func (p pilot) SetAvailable(bool) error { return nil }

func (meter) Read(context.Context) (hal.Reading, error) { return hal.Reading{}, hal.ErrNotFitted }
func (meter) Identity() (hal.Identity, error)           { return hal.Identity{}, hal.ErrNotFitted }

func (e estop) Pressed() (bool, hal.Stamp, error) {
	closed, stamp, err := e.b.inputs.read(e.b.estop)
	return !closed, stamp, err // an error reads as not closed, and so as pressed
}

// SetCurrent implements hal.Pilot: this pilot does not limit the vehicle.
func (pilot) SetCurrent(charge.MilliAmps) error { return nil }
