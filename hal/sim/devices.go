package sim

import (
	"context"
	"strconv"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// connector is the devices of one outlet; contactor, pilot, meter and those in
// parts.go are its views. Every read is a new measurement, and each device counts
// its own.
type connector struct {
	board  *Board
	outlet *outlet // guarded by board.mu, as are the counts

	contactSeq, pilotSeq, meterSeq, tripSeq, lockSeq, cableSeq, thermalSeq uint64
}

// The devices. They have no state of their own: all of it is in the physics.
type (
	contactor struct{ c *connector }
	pilot     struct{ c *connector }
	meter     struct{ c *connector }
	estop     struct{ b *Board }
	keeper    struct{ b *Board }
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

func (c *connector) Contactor() hal.Contactor { return contactor{c} }
func (c *connector) Pilot() hal.Pilot         { return pilot{c} }
func (c *connector) Meter() hal.Meter         { return meter{c} }

// Tripped implements hal.Protection.
func (c *connector) Tripped() (charge.Fault, hal.Stamp, error) {
	c.board.mu.Lock()
	defer c.board.mu.Unlock()
	stamp, err := c.measureLocked(&c.tripSeq)
	if err != nil {
		return "", stamp, err
	}
	return c.outlet.faults.tripped(), stamp, nil
}

// measureLocked begins a measurement of a safety input: it advances the physics
// and returns the stamp, or why the input cannot be read.
func (c *connector) measureLocked(seq *uint64) (hal.Stamp, error) {
	now := c.board.stepLocked()
	if c.board.closed {
		return hal.Stamp{}, hal.ErrClosed
	}
	if c.outlet.faults.has(faultInput) {
		return hal.Stamp{}, hal.ErrUnreadable
	}
	*seq++
	return hal.Stamp{Mono: now, Seq: *seq}, nil
}

// Set implements hal.Contactor. On a closed board it still opens, but closes
// nothing.
func (k contactor) Set(on bool) error {
	b := k.c.board
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stepLocked()
	if on && b.closed {
		return hal.ErrClosed
	}
	b.physics.command(k.c.outlet, on)
	return nil
}

func (k contactor) Commanded() bool {
	k.c.board.mu.Lock()
	defer k.c.board.mu.Unlock()
	return k.c.outlet.commanded
}

// Feedback implements hal.Contactor.
func (k contactor) Feedback() (hal.ContactState, hal.Stamp, error) {
	b := k.c.board
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.physics.cfg.NoFeedback {
		return hal.ContactUnknown, hal.Stamp{}, hal.ErrNotFitted
	}
	stamp, err := k.c.measureLocked(&k.c.contactSeq)
	switch {
	case err != nil:
		return hal.ContactUnknown, stamp, err
	case k.c.outlet.closed:
		return hal.ContactClosed, stamp, nil
	}
	return hal.ContactOpen, stamp, nil
}

func (p pilot) State() (charge.PilotState, hal.Stamp, error) {
	p.c.board.mu.Lock()
	defer p.c.board.mu.Unlock()
	stamp, err := p.c.measureLocked(&p.c.pilotSeq)
	if err != nil {
		return charge.PilotUnknown, stamp, err
	}
	return p.c.outlet.pilot(), stamp, nil
}

// SetAvailable implements hal.Pilot. Withdrawing the offer works on a closed board
// too.
func (p pilot) SetAvailable(offer bool) error {
	b := p.c.board
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stepLocked()
	if offer && b.closed {
		return hal.ErrClosed
	}
	p.c.outlet.offer(offer)
	return nil
}

// SetCurrent implements hal.Pilot. Ending the offer works on a closed board too.
func (p pilot) SetCurrent(limit charge.MilliAmps) error {
	b := p.c.board
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stepLocked()
	if limit >= hal.MinOffer && b.closed {
		return hal.ErrClosed
	}
	p.c.outlet.setLimit(limit)
	return nil
}

// Read implements hal.Meter. It waits for the bus first and then measures, so the
// values are those at its end.
func (m meter) Read(ctx context.Context) (hal.Reading, error) {
	b := m.c.board
	if b.physics.cfg.NoMeter {
		return hal.Reading{}, hal.ErrNotFitted
	}
	if err := wait(ctx, time.Duration(b.meterDelay.Load())); err != nil {
		return hal.Reading{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now, o := b.stepLocked(), m.c.outlet
	switch {
	case b.closed:
		return hal.Reading{}, hal.ErrClosed
	case o.faults.has(faultMeter):
		return hal.Reading{}, hal.ErrUnreadable
	}
	m.c.meterSeq++
	return hal.Reading{
		Stamp:       hal.Stamp{Mono: now, Seq: m.c.meterSeq},
		Import:      o.shown(),
		Power:       charge.Watts(o.milliwatts / 1_000),
		Voltage:     b.info.Voltage,
		Current:     o.current(),
		Temperature: o.temperature(),
	}, nil
}

// Identity implements hal.Meter. A replaced meter has another serial number.
func (m meter) Identity() (hal.Identity, error) {
	b := m.c.board
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.physics.cfg.NoMeter:
		return hal.Identity{}, hal.ErrNotFitted
	case b.closed:
		return hal.Identity{}, hal.ErrClosed
	}
	serial := b.info.Serial + "-" + strconv.Itoa(int(m.c.outlet.id))
	if r := m.c.outlet.meter.replaced; r > 0 {
		serial += "-" + strconv.Itoa(r)
	}
	return hal.Identity{Maker: "Carga", Model: "simulated", Serial: serial}, nil
}

// Pressed implements hal.EStop. A closed board reads as pressed.
func (e estop) Pressed() (bool, hal.Stamp, error) {
	e.b.mu.Lock()
	defer e.b.mu.Unlock()
	now := e.b.stepLocked()
	if e.b.closed {
		return true, hal.Stamp{}, hal.ErrClosed
	}
	e.b.stopSeq++
	return e.b.physics.pressed(), hal.Stamp{Mono: now, Seq: e.b.stopSeq}, nil
}

func (k keeper) Kick() error {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	k.b.stepLocked()
	if k.b.closed {
		return hal.ErrClosed
	}
	k.b.physics.kick()
	return nil
}

func (k keeper) Timeout() time.Duration { return k.b.physics.cfg.Keeper }
