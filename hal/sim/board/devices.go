package board

import (
	"context"
	"errors"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// connector is the devices of one outlet on the agent's side.
type connector struct {
	c *Client
	n charge.ConnectorID
}

// The devices. They read the last state and send commands; only the meter makes a
// call of its own.
type (
	contactor struct{ *connector }
	pilot     struct{ *connector }
	meter     struct{ *connector }
	estop     struct{ c *Client }
	keeper    struct{ c *Client }
)

var (
	_ hal.Connector  = (*connector)(nil)
	_ hal.Protection = (*connector)(nil)
	_ hal.Contactor  = contactor{}
	_ hal.Pilot      = pilot{}
	_ hal.Meter      = meter{}
	_ hal.EStop      = estop{}
	_ hal.Keeper     = keeper{}
)

func (k *connector) Contactor() hal.Contactor { return contactor{k} }
func (k *connector) Pilot() hal.Pilot         { return pilot{k} }
func (k *connector) Meter() hal.Meter         { return meter{k} }

// offset is where byte i of this connector is in a state.
func (k *connector) offset(i int) int { return stateHead + perOutlet*(int(k.n)-1) + i }

// Tripped implements hal.Protection.
func (k *connector) Tripped() (charge.Fault, hal.Stamp, error) {
	b, stamp, err := k.c.read(k.offset(atTrip))
	if err != nil || b == 0 {
		return "", stamp, err
	}
	all := charge.Faults()
	if int(b) > len(all) {
		return "", stamp, hal.ErrUnreadable
	}
	return all[b-1], stamp, nil
}

// Set implements hal.Contactor. It returns once the command is written.
func (k contactor) Set(on bool) error {
	if on {
		return k.c.send(opClose, k.n, 0)
	}
	return k.c.send(opOpen, k.n, 0)
}

// Commanded implements hal.Contactor: the last command of this client.
func (k contactor) Commanded() bool { return k.c.commanded[k.n-1].Load() }

// Feedback implements hal.Contactor. An unknown state is an error.
func (k contactor) Feedback() (hal.ContactState, hal.Stamp, error) {
	if !k.c.info.Feedback {
		return hal.ContactUnknown, hal.Stamp{}, hal.ErrNotFitted
	}
	b, stamp, err := k.c.read(k.offset(atContact))
	if err != nil {
		return hal.ContactUnknown, stamp, err
	}
	switch state := hal.ContactState(b); state {
	case hal.ContactOpen, hal.ContactClosed:
		return state, stamp, nil
	case hal.ContactUnknown:
	}
	return hal.ContactUnknown, stamp, hal.ErrUnreadable
}

// State implements hal.Pilot. A letter that is no pilot state is an error.
func (p pilot) State() (charge.PilotState, hal.Stamp, error) {
	b, stamp, err := p.c.read(p.offset(atPilot))
	if err != nil {
		return charge.PilotUnknown, stamp, err
	}
	state := charge.PilotState(b)
	if state < charge.PilotA || state > charge.PilotF {
		return charge.PilotUnknown, stamp, hal.ErrUnreadable
	}
	return state, stamp, nil
}

func (p pilot) SetAvailable(offer bool) error {
	if offer {
		return p.c.send(opOffer, p.n, 0)
	}
	return p.c.send(opWithdraw, p.n, 0)
}

// SetCurrent implements hal.Pilot.
func (p pilot) SetCurrent(limit charge.MilliAmps) error {
	if !p.c.info.Steered {
		return nil
	}
	return p.c.send(opLimit, p.n, uint32(max(limit, 0)))
}

// Read implements hal.Meter with a connection of its own. The time of the reading
// is converted to this client's clock.
func (m meter) Read(ctx context.Context) (hal.Reading, error) {
	if err := m.ready(); err != nil {
		return hal.Reading{}, err
	}
	r, err := call(ctx, m.c.dial, request{Op: "read", Connector: m.n})
	if err != nil {
		return hal.Reading{}, err
	}
	if r.Reading == nil {
		return hal.Reading{}, errors.New("board: the reply has no reading")
	}
	// The reading is as old as it was on the board, or new if the offset of the
	// clocks is not known yet.
	r.Reading.Stamp = m.c.stampOf(&m.c.meterNo, r.At)
	return *r.Reading, nil
}

// Identity implements hal.Meter.
func (m meter) Identity() (hal.Identity, error) {
	if err := m.ready(); err != nil {
		return hal.Identity{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	r, err := call(ctx, m.c.dial, request{Op: "identity", Connector: m.n})
	if err != nil {
		return hal.Identity{}, err
	}
	if r.Identity == nil {
		return hal.Identity{}, errors.New("board: the reply has no identity")
	}
	return *r.Identity, nil
}

// ready is why the meter cannot be read; nil if it can.
func (m meter) ready() error {
	if !m.c.info.Meter {
		return hal.ErrNotFitted
	}
	return m.c.checkOpen()
}

// Pressed implements hal.EStop. An error reads as pressed.
func (e estop) Pressed() (bool, hal.Stamp, error) {
	b, stamp, err := e.c.read(atStop)
	return err != nil || b != 0, stamp, err
}

func (k keeper) Kick() error { return k.c.send(opKick, 0, 0) }

func (k keeper) Timeout() time.Duration { return k.c.info.Keeper }
