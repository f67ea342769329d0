package rpi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// trips is the contacts of devices that trip by themselves, as places among the
// inputs.
type trips struct {
	groundFault, overcurrent, overtemperature int
}

// fitted reports whether there is any.
func (t trips) fitted() bool {
	return t.groundFault != absent || t.overcurrent != absent || t.overtemperature != absent
}

// protected is a connector with such contacts.
type protected struct{ *connector }

var _ hal.Protection = protected{}

// Tripped implements hal.Protection. A ground fault during the test of its device
// is no fault; nothing closes meanwhile.
func (p protected) Tripped() (charge.Fault, hal.Stamp, error) {
	var stamp hal.Stamp
	for _, t := range []struct {
		input int
		fault charge.Fault
	}{
		{p.trips.groundFault, charge.FaultGroundFault},
		{p.trips.overcurrent, charge.FaultOvercurrent},
		{p.trips.overtemperature, charge.FaultOvertemperature},
	} {
		if t.input == absent {
			continue
		}
		closed, s, err := p.board.inputs.read(t.input)
		switch stamp = s; {
		case err != nil:
			return "", stamp, err
		case !closed && (t.fault != charge.FaultGroundFault || !p.testing.Load()):
			return t.fault, stamp, nil
		}
	}
	return "", stamp, nil
}

// groundFault is the test and the reset of a residual current device.
type groundFault struct {
	*connector
	test  *output
	reset *output       // nil: it resets itself
	token chan struct{} // holds one value while a test or a reset is under way
}

var _ hal.GroundFault = (*groundFault)(nil)

// tripLimit is the longest time in which a device must trip and reset: residual
// current devices trip within 300 ms (IEC 61008), a contact is debounced in 80 ms.
const tripLimit = time.Second

// resetPulse is how long the reset is held.
const resetPulse = 200 * time.Millisecond

// SelfTest implements hal.GroundFault.
func (g *groundFault) SelfTest(ctx context.Context) error {
	select {
	case g.token <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g.token }()
	g.testing.Store(true)
	defer g.testing.Store(false)
	state, _, err := contactor{g.connector}.Feedback()
	if g.relay.commanded.Load() || state != hal.ContactOpen && !errors.Is(err, hal.ErrNotFitted) {
		return errors.Join(errors.New("rpi: ground fault test: the contactor is not open; open it first"), err)
	}
	if err := g.await(ctx, true); err != nil {
		return fmt.Errorf("rpi: ground fault test: tripped already; reset it first: %w", err)
	}
	err = g.test.set(true)
	if err == nil {
		err = g.await(ctx, false)
	}
	// The test current ends whatever happened.
	if err = errors.Join(err, g.test.set(false)); err != nil {
		return fmt.Errorf("rpi: ground fault test: did not trip: %w", err)
	}
	return g.pulse(ctx)
}

// Reset implements hal.GroundFault.
func (g *groundFault) Reset() error {
	g.token <- struct{}{}
	defer func() { <-g.token }()
	return g.pulse(context.Background())
}

// pulse resets the device, where it has an input for that, and checks its
// contact.
func (g *groundFault) pulse(ctx context.Context) error {
	if g.reset != nil {
		if err := errors.Join(g.reset.set(true), sleep(ctx, resetPulse), g.reset.set(false)); err != nil {
			return fmt.Errorf("rpi: ground fault reset: %w", err)
		}
	}
	if err := g.await(ctx, true); err != nil {
		return fmt.Errorf("rpi: ground fault reset: still tripped; reset the device by hand: %w", err)
	}
	return nil
}

// await waits until the contact is closed or open.
func (g *groundFault) await(ctx context.Context, closed bool) error {
	ctx, cancel := context.WithTimeout(ctx, tripLimit)
	defer cancel()
	for {
		got, _, err := g.board.inputs.read(g.trips.groundFault)
		if err == nil && got == closed {
			return nil
		}
		if late := sleep(ctx, 2*samplePeriod); late != nil {
			return errors.Join(err, late)
		}
	}
}

// sleep waits, and returns early when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
