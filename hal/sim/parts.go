package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// The optional devices of a connector, and those of the board. They have no state
// of their own but the counts of their measurements.
type (
	cableLock   struct{ c *connector }
	proximity   struct{ c *connector }
	groundFault struct{ c *connector }
	thermal     struct{ c *connector }
	reader      struct{ b *Board }
	panel       struct{ b *Board }
	watchdog    struct{ b *Board }
	clock       struct{ b *Board }
)

var (
	_ hal.Lock        = cableLock{}
	_ hal.Proximity   = proximity{}
	_ hal.GroundFault = groundFault{}
	_ hal.Thermal     = thermal{}
	_ hal.TokenReader = reader{}
	_ hal.FrontPanel  = panel{}
	_ hal.Watchdog    = watchdog{}
	_ hal.Clock       = clock{}
)

// fitted returns a device, or hal.ErrNotFitted.
func fitted[T any](device T, missing bool) (T, error) {
	if missing {
		var none T
		return none, hal.ErrNotFitted
	}
	return device, nil
}

// Lock implements hal.Connector.
func (c *connector) Lock() (hal.Lock, error) {
	return fitted[hal.Lock](cableLock{c}, c.board.physics.cfg.NoLock)
}

// Proximity implements hal.Connector.
func (c *connector) Proximity() (hal.Proximity, error) {
	return fitted[hal.Proximity](proximity{c}, c.board.physics.cfg.Cable == 0)
}

// GroundFault implements hal.Connector.
func (c *connector) GroundFault() (hal.GroundFault, error) {
	return fitted[hal.GroundFault](groundFault{c}, c.board.physics.cfg.NoGroundFault)
}

// Thermal implements hal.Connector.
func (c *connector) Thermal() (hal.Thermal, error) {
	return fitted[hal.Thermal](thermal{c}, c.board.physics.cfg.NoThermal)
}

// Reader returns the card reader, which Present holds cards to.
func (b *Board) Reader() (hal.TokenReader, error) {
	return fitted[hal.TokenReader](reader{b}, b.physics.cfg.NoReader)
}

// Panel returns the buttons, which Press presses, and the lights.
func (b *Board) Panel() (hal.FrontPanel, error) {
	return fitted[hal.FrontPanel](panel{b}, b.physics.cfg.NoPanel)
}

// Watchdog returns the watchdog. When it expires, all outputs fall, and Snapshot
// counts a reset.
func (b *Board) Watchdog() (hal.Watchdog, error) {
	return fitted[hal.Watchdog](watchdog{b}, b.physics.cfg.Watchdog == 0)
}

// Clock returns the clock that runs without power.
func (b *Board) Clock() (hal.Clock, error) {
	return fitted[hal.Clock](clock{b}, !b.physics.cfg.Clock)
}

// Set implements hal.Lock. A closed board still opens.
func (l cableLock) Set(locked bool) error {
	b := l.c.board
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stepLocked()
	if locked && b.closed {
		return hal.ErrClosed
	}
	l.c.outlet.setLock(locked)
	return nil
}

// State implements hal.Lock.
func (l cableLock) State() (hal.LockState, hal.Stamp, error) {
	l.c.board.mu.Lock()
	defer l.c.board.mu.Unlock()
	stamp, err := l.c.measureLocked(&l.c.lockSeq)
	if err != nil {
		return hal.LockUnknown, stamp, err
	}
	return l.c.outlet.lock.state, stamp, nil
}

// CableLimit implements hal.Proximity.
func (p proximity) CableLimit() (charge.MilliAmps, hal.Stamp, error) {
	p.c.board.mu.Lock()
	defer p.c.board.mu.Unlock()
	stamp, err := p.c.measureLocked(&p.c.cableSeq)
	switch {
	case err != nil:
		return 0, stamp, err
	case p.c.outlet.broken(CableUnknown):
		return 0, stamp, fmt.Errorf("cable coding: %w", hal.ErrUnreadable)
	case !p.c.outlet.plugged:
		return 0, stamp, nil
	}
	return p.c.board.physics.cfg.Cable, stamp, nil
}

// selfTestTime is how long the test of a residual current device takes.
const selfTestTime = 30 * time.Millisecond

// SelfTest implements hal.GroundFault. Its own trip is never visible, so there is
// nothing to reset.
func (g groundFault) SelfTest(ctx context.Context) error {
	if err := g.ready(); err != nil {
		return err
	}
	if err := wait(ctx, selfTestTime); err != nil {
		return err
	}
	return g.ready()
}

// ready is why the device cannot be tested, or fails its test.
func (g groundFault) ready() error {
	b, o := g.c.board, g.c.outlet
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stepLocked()
	switch {
	case b.closed:
		return hal.ErrClosed
	case o.closed:
		return fmt.Errorf("connector %d: no self-test while the contactor is closed", o.id)
	case o.broken(TestFails):
		return fmt.Errorf("connector %d: the residual current device did not trip in its self-test", o.id)
	}
	return nil
}

// Reset implements hal.GroundFault. The cause of an injected fault is there until
// Repair.
func (g groundFault) Reset() error {
	b, o := g.c.board, g.c.outlet
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stepLocked()
	switch {
	case b.closed:
		return hal.ErrClosed
	case o.faults.has(faultGround):
		return fmt.Errorf("connector %d: the residual current device trips again: the fault is still there", o.id)
	}
	return nil
}

// Sensors implements hal.Thermal.
func (thermal) Sensors() []string { return []string{"contacts"} }

// Hottest implements hal.Thermal.
func (t thermal) Hottest() (charge.MilliCelsius, hal.Stamp, error) {
	t.c.board.mu.Lock()
	defer t.c.board.mu.Unlock()
	stamp, err := t.c.measureLocked(&t.c.thermalSeq)
	switch {
	case err != nil:
		return 0, stamp, err
	case t.c.outlet.broken(SensorLost):
		return 0, stamp, fmt.Errorf("sensor contacts: %w", hal.ErrUnreadable)
	}
	return t.c.outlet.temperature(), stamp, nil
}

func (r reader) Tokens() <-chan hal.Token { return r.b.tokens.C() }

// Healthy implements hal.TokenReader.
func (r reader) Healthy() error {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	r.b.stepLocked()
	return r.b.readerErrorLocked()
}

// readerErrorLocked is why the reader does not work; nil if it does.
func (b *Board) readerErrorLocked() error {
	switch {
	case b.closed:
		return hal.ErrClosed
	case b.physics.readerDead():
		return fmt.Errorf("card reader: %w", hal.ErrUnreadable)
	}
	return nil
}

func (p panel) Presses() <-chan hal.Press { return p.b.presses.C() }

// Show implements hal.FrontPanel.
func (p panel) Show(n charge.ConnectorID, l hal.Light) error {
	return p.b.act(n, func(o *outlet) error {
		if p.b.closed && l != hal.LightOff {
			return hal.ErrClosed
		}
		o.light = l
		return nil
	})
}

// Kick implements hal.Watchdog; the first one arms it.
func (w watchdog) Kick() error {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	w.b.stepLocked()
	if w.b.closed {
		return hal.ErrClosed
	}
	w.b.physics.pet()
	return nil
}

func (w watchdog) Timeout() time.Duration { return w.b.physics.cfg.Watchdog }

// Disarm implements hal.Watchdog.
func (w watchdog) Disarm() error {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	w.b.stepLocked()
	w.b.physics.armed = false
	return nil
}

// Now implements hal.Clock.
func (c clock) Now() (time.Time, error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	mono := c.b.stepLocked()
	if c.b.closed {
		return time.Time{}, hal.ErrClosed
	}
	now, ok := c.b.physics.wallClock.now(mono)
	if !ok {
		return time.Time{}, fmt.Errorf("the clock has lost its time: %w", hal.ErrUnreadable)
	}
	return now, nil
}

// Set implements hal.Clock.
func (c clock) Set(t time.Time) error {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	mono := c.b.stepLocked()
	switch {
	case c.b.closed:
		return hal.ErrClosed
	case t.IsZero():
		return fmt.Errorf("clock: %v cannot be set", t)
	}
	c.b.physics.wallClock = wallClock{base: t, at: mono}
	return nil
}
