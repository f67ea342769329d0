package sim

import (
	"errors"
	"fmt"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// Errors of Plug and Unplug, to be tested with errors.Is.
var (
	ErrPlugged   = errors.New("a vehicle is plugged in already")
	ErrUnplugged = errors.New("no vehicle is plugged in")
)

// Plug connects a vehicle drawn from Config.Vehicles. It requests power after a
// delay, until it is full.
func (b *Board) Plug(n charge.ConnectorID) error {
	return b.act(n, func(o *outlet) error {
		if o.plugged {
			return ErrPlugged
		}
		o.plug(b.physics.cfg.Vehicles.draw(o.vehicleRand))
		return nil
	})
}

// PlugVehicle connects the given vehicle.
func (b *Board) PlugVehicle(n charge.ConnectorID, v Vehicle) error {
	if err := v.Validate(); err != nil {
		return fmt.Errorf("connector %d: vehicle: %w", n, err)
	}
	return b.act(n, func(o *outlet) error {
		if o.plugged {
			return ErrPlugged
		}
		o.plug(v)
		return nil
	})
}

// Unplug pulls the cable, under power too.
func (b *Board) Unplug(n charge.ConnectorID) error {
	return b.act(n, func(o *outlet) error {
		if !o.plugged {
			return ErrUnplugged
		}
		o.unplug()
		return nil
	})
}

// Ask makes the plugged vehicle request power, or pause, after its usual delay. A
// full one does not request any.
func (b *Board) Ask(n charge.ConnectorID, want bool) error {
	return b.act(n, func(o *outlet) error {
		if !o.plugged {
			return ErrUnplugged
		}
		o.planAsk(want)
		return nil
	})
}

// Present holds a card to the reader, for a moment. A uid has 4, 7 or 10 bytes in
// hexadecimal digits.
func (b *Board) Present(uid string) error {
	if b.physics.cfg.NoReader {
		return fmt.Errorf("card reader: %w", hal.ErrNotFitted)
	}
	uid, err := hal.ParseUID(uid)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.stepLocked()
	if err := b.readerErrorLocked(); err != nil {
		return err
	}
	b.tokenSeq++
	b.tokens.Add(hal.Token{Stamp: hal.Stamp{Mono: now, Seq: b.tokenSeq}, UID: uid})
	return nil
}

// Press presses the button of a connector.
func (b *Board) Press(n charge.ConnectorID) error { return b.press(n, false) }

// Hold holds the button of a connector for hal.HoldLasts, which passes at once.
func (b *Board) Hold(n charge.ConnectorID) error { return b.press(n, true) }

func (b *Board) press(n charge.ConnectorID, held bool) error {
	if b.physics.cfg.NoPanel {
		return fmt.Errorf("front panel: %w", hal.ErrNotFitted)
	}
	return b.act(n, func(o *outlet) error {
		if b.closed {
			return hal.ErrClosed
		}
		b.pressSeq++
		b.presses.Add(hal.Press{Stamp: hal.Stamp{Mono: o.now, Seq: b.pressSeq}, Connector: n, Held: held})
		return nil
	})
}

// SetAmbient sets the temperature around the board. The contacts follow within
// minutes.
func (b *Board) SetAmbient(t charge.MilliCelsius) error {
	if err := checkAmbient(t); err != nil {
		return fmt.Errorf("ambient: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stepLocked()
	b.physics.cfg.Ambient = t
	return nil
}

// Break makes a device defective until Repair.
func (b *Board) Break(n charge.ConnectorID, d Defect) error {
	if err := d.check(); err != nil {
		return fmt.Errorf("connector %d: %w", n, err)
	}
	return b.act(n, func(o *outlet) error {
		o.breakDevice(d)
		return nil
	})
}

// Inject makes a fault appear until Repair. A welded contactor closes and
// stays closed; a stuck one opens and stays open; pilot_failed is state E;
// safety_input_failed makes pilot, feedback and protection unreadable;
// emergency_stop presses the stop of the whole board; ground_fault,
// overcurrent, overtemperature and other trip the protection, and the meter
// shows the current or the heat. None of them opens a contactor by itself.
// lock_failed and self_test_failed are the defects LockJammed and TestFails.
func (b *Board) Inject(n charge.ConnectorID, f charge.Fault) error {
	if d, is := defectOf(f); is {
		return b.Break(n, d)
	}
	one, err := faultOf(f)
	if err != nil {
		return fmt.Errorf("connector %d: %w", n, err)
	}
	return b.act(n, func(o *outlet) error {
		o.inject(one)
		return nil
	})
}

// InjectMeter makes the meter show wrong values until Repair. The true register
// goes on, and Snapshot shows it.
func (b *Board) InjectMeter(n charge.ConnectorID, f MeterFault) error {
	if f < MeterStuck || f > MeterReplaced {
		return fmt.Errorf("connector %d: meter fault %d: use %d to %d", n, f, MeterStuck, MeterReplaced)
	}
	return b.act(n, func(o *outlet) error {
		o.injectMeterFault(f)
		return nil
	})
}

// Repair removes every injected fault and defect of the connector.
func (b *Board) Repair(n charge.ConnectorID) error {
	return b.act(n, func(o *outlet) error {
		o.repair()
		return nil
	})
}

// act calls do with one outlet, at the present time and under the lock.
func (b *Board) act(n charge.ConnectorID, do func(*outlet) error) error {
	c, err := b.connector(n)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stepLocked()
	if err := do(c.outlet); err != nil {
		return fmt.Errorf("connector %d: %w", n, err)
	}
	return nil
}
