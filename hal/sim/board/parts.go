package board

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// The optional devices. Self-tests and the clock make calls of their own; the
// others read the last state and send commands.
type (
	cableLock   struct{ *connector }
	proximity   struct{ *connector }
	groundFault struct{ *connector }
	thermal     struct{ *connector }
	reader      struct{ c *Client }
	panel       struct{ c *Client }
	watchdog    struct{ c *Client }
	clock       struct{ c *Client }
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
func fitted[T any](device T, is bool) (T, error) {
	if !is {
		var none T
		return none, hal.ErrNotFitted
	}
	return device, nil
}

// Lock implements hal.Connector.
func (k *connector) Lock() (hal.Lock, error) { return fitted[hal.Lock](cableLock{k}, k.c.info.Lock) }

// Proximity implements hal.Connector.
func (k *connector) Proximity() (hal.Proximity, error) {
	return fitted[hal.Proximity](proximity{k}, k.c.info.Proximity)
}

// GroundFault implements hal.Connector.
func (k *connector) GroundFault() (hal.GroundFault, error) {
	return fitted[hal.GroundFault](groundFault{k}, k.c.info.GroundFault)
}

// Thermal implements hal.Connector.
func (k *connector) Thermal() (hal.Thermal, error) {
	return fitted[hal.Thermal](thermal{k}, k.c.info.Sensors != "")
}

// Set implements hal.Lock.
func (l cableLock) Set(locked bool) error {
	if locked {
		return l.c.send(opLock, l.n, 0)
	}
	return l.c.send(opUnlock, l.n, 0)
}

// State implements hal.Lock.
func (l cableLock) State() (hal.LockState, hal.Stamp, error) {
	b, stamp, err := l.c.read(l.offset(atLock))
	if err != nil {
		return hal.LockUnknown, stamp, err
	}
	switch state := hal.LockState(b); state {
	case hal.LockUnknown, hal.LockOpen, hal.LockLocked:
		return state, stamp, nil
	}
	return hal.LockUnknown, stamp, hal.ErrUnreadable
}

// CableLimit implements hal.Proximity.
func (p proximity) CableLimit() (charge.MilliAmps, hal.Stamp, error) {
	b, stamp, err := p.c.read(p.offset(atCable))
	if err != nil {
		return 0, stamp, err
	}
	return charge.MilliAmps(b) * 1_000, stamp, nil
}

// Sensors implements hal.Thermal.
func (t thermal) Sensors() []string { return strings.Split(t.c.info.Sensors, ",") }

// Hottest implements hal.Thermal.
func (t thermal) Hottest() (charge.MilliCelsius, hal.Stamp, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if err := t.c.usableLocked(); err != nil {
		return 0, t.c.stamp, err
	}
	heat := int32(binary.BigEndian.Uint32(t.c.state[t.offset(atHeat):]))
	if heat == unreadableHeat {
		return 0, t.c.stamp, hal.ErrUnreadable
	}
	return charge.MilliCelsius(heat), t.c.stamp, nil
}

// SelfTest implements hal.GroundFault.
func (g groundFault) SelfTest(ctx context.Context) error { return g.do(ctx, "self_test") }

// Reset implements hal.GroundFault.
func (g groundFault) Reset() error { return g.do(context.Background(), "reset_trip") }

// do makes one call.
func (g groundFault) do(ctx context.Context, op string) error {
	if err := g.c.checkOpen(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	_, err := call(ctx, g.c.dial, request{Op: op, Connector: g.n})
	return err
}

func (r reader) Tokens() <-chan hal.Token { return r.c.tokens.C() }

// Healthy implements hal.TokenReader.
func (r reader) Healthy() error {
	_, _, err := r.c.read(atReader)
	return err
}

func (p panel) Presses() <-chan hal.Press { return p.c.presses.C() }

// Show implements hal.FrontPanel.
func (p panel) Show(n charge.ConnectorID, l hal.Light) error {
	if _, err := p.c.Connector(n); err != nil {
		return err
	}
	if l < hal.LightOff || l > hal.LightIdentify {
		return fmt.Errorf("light %d is unknown", l)
	}
	return p.c.send(opLight, n, uint32(l))
}

func (w watchdog) Kick() error            { return w.c.send(opPet, 0, 0) }
func (w watchdog) Timeout() time.Duration { return w.c.info.Watchdog }
func (w watchdog) Disarm() error          { return w.c.send(opDisarm, 0, 0) }

// Now implements hal.Clock.
func (k clock) Now() (time.Time, error) {
	r, err := k.do(request{Op: "clock"})
	return r.Time, err
}

// Set implements hal.Clock.
func (k clock) Set(t time.Time) error {
	_, err := k.do(request{Op: "set_clock", Time: t})
	return err
}

// do makes one call.
func (k clock) do(q request) (reply, error) {
	if err := k.c.checkOpen(); err != nil {
		return reply{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	return call(ctx, k.c.dial, q)
}
