package rpi

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// connector is the devices of one outlet.
type connector struct {
	board    *Board
	relay    *output
	mirror   bool
	feedback int // place among the inputs, or absent
	trips    trips
	testing  atomic.Bool // the ground fault device is being tested: nothing closes

	pilot     hal.Pilot
	meter     hal.Meter
	lock      *lock // nil: not fitted, as are the next three
	proximity hal.Proximity
	rcd       *groundFault
	thermal   *thermal
}

var _ hal.Connector = (*connector)(nil)

func (c *connector) Contactor() hal.Contactor { return contactor{c} }
func (c *connector) Pilot() hal.Pilot         { return c.pilot }
func (c *connector) Meter() hal.Meter         { return c.meter }

// Lock implements hal.Connector.
func (c *connector) Lock() (hal.Lock, error) {
	if c.lock == nil {
		return nil, hal.ErrNotFitted
	}
	return c.lock, nil
}

// Proximity implements hal.Connector.
func (c *connector) Proximity() (hal.Proximity, error) {
	if c.proximity == nil {
		return nil, hal.ErrNotFitted
	}
	return c.proximity, nil
}

// GroundFault implements hal.Connector.
func (c *connector) GroundFault() (hal.GroundFault, error) {
	if c.rcd == nil {
		return nil, hal.ErrNotFitted
	}
	return c.rcd, nil
}

// Thermal implements hal.Connector.
func (c *connector) Thermal() (hal.Thermal, error) {
	if c.thermal == nil {
		return nil, hal.ErrNotFitted
	}
	return c.thermal, nil
}

// contactor is the relay that drives its coil, and its feedback contact.
type contactor struct{ *connector }

var _ hal.Contactor = contactor{}

// errTesting refuses to close while a trip would not be seen.
var errTesting = errors.New("rpi: the ground fault device is being tested")

// Set writes the relay. During a test of the ground fault device it only opens:
// both look at the other after they have announced themselves, so that one of
// them gives way.
func (k contactor) Set(on bool) error {
	if !on {
		return k.relay.set(false)
	}
	if k.testing.Load() {
		return errTesting
	}
	if err := k.relay.set(true); err != nil {
		return err
	}
	if k.testing.Load() {
		return errors.Join(errTesting, k.relay.set(false))
	}
	return nil
}

func (k contactor) Commanded() bool { return k.relay.commanded.Load() }

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

// contactPilot is the profile of two contacts.
type contactPilot struct {
	board         *Board
	plug, request int // places among the inputs
}

var _ hal.Pilot = contactPilot{}

// State is A without a plug, whatever the request contact; B with a plug; C with
// both.
func (p contactPilot) State() (charge.PilotState, hal.Stamp, error) {
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

// SetAvailable does nothing: contacts offer no power.
func (contactPilot) SetAvailable(bool) error { return nil }

// SetCurrent does nothing: contacts do not limit the vehicle.
func (contactPilot) SetCurrent(charge.MilliAmps) error { return nil }

// noMeter is a connector without a meter.
type noMeter struct{}

var _ hal.Meter = noMeter{}

func (noMeter) Read(context.Context) (hal.Reading, error) { return hal.Reading{}, hal.ErrNotFitted }
func (noMeter) Identity() (hal.Identity, error)           { return hal.Identity{}, hal.ErrNotFitted }
