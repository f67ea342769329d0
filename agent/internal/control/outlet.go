package control

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// Outlet is the hardware of one connector, shared by the control loop and the
// part that permits power. Any goroutine may open the contactor, at once; only the
// control loop closes it.
//
// Invariant: a contactor is closed only while permit is true. Open withdraws
// permit first; the control loop checks permit once more after it has closed
// (see switchTo), so neither order of the two leaves it closed.
type Outlet struct {
	ID charge.ConnectorID

	contactor  hal.Contactor
	pilot      hal.Pilot
	meter      hal.Meter
	protection hal.Protection  // nil: none, as all that follow
	lock       hal.Lock        //
	cable      hal.Proximity   //
	ground     hal.GroundFault //
	thermal    hal.Thermal     //

	operations atomic.Int64                 // switchings of the contactor in this boot
	hot        atomic.Int64                 // those of them that interrupted a vehicle
	requests   atomic.Bool                  // at the last tick the vehicle requested power through a closed contactor
	permit     atomic.Bool                  // power is permitted
	offer      atomic.Bool                  // power is offered
	limit      atomic.Pointer[charge.Limit] // of the current, as set; nil: none
	resetLatch atomic.Bool                  // a person has repaired what latched; read once
	release    atomic.Bool                  // the lock is to be moved once more when it may open
	reading    atomic.Pointer[hal.Reading]  // the last good one; nil: none in this boot
}

// NewOutlet gets the devices of a connector. All but contactor, pilot and meter are
// optional.
func NewOutlet(b hal.Board, n charge.ConnectorID) (*Outlet, error) {
	c, err := b.Connector(n)
	if err != nil {
		return nil, err
	}
	o := &Outlet{ID: n, contactor: c.Contactor(), pilot: c.Pilot(), meter: c.Meter()}
	o.protection, _ = c.(hal.Protection)
	return o, errors.Join(
		fit(&o.lock, "lock", c.Lock), fit(&o.cable, "proximity", c.Proximity),
		fit(&o.ground, "ground fault", c.GroundFault), fit(&o.thermal, "temperature", c.Thermal),
	)
}

// fit gets a device, which stays nil if it is not fitted.
func fit[D any](device *D, name string, get func() (D, error)) error {
	d, err := get()
	if errors.Is(err, hal.ErrNotFitted) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	*device = d
	return nil
}

// Permit permits power until Open: the control loop closes the contactor at its
// next tick if the safety rules allow it.
func (o *Outlet) Permit() { o.permit.Store(true) }

// Open withdraws the permission and opens the contactor. It waits for nothing.
func (o *Outlet) Open() error {
	o.permit.Store(false)
	return o.set(false)
}

// Offer offers power to the vehicle or withdraws the offer. While it is offered,
// the control loop keeps the cable locked.
func (o *Outlet) Offer(on bool) error {
	o.offer.Store(on)
	return o.pilot.SetAvailable(on)
}

// Limit limits the current, from the next tick on. The zero value is no limit but
// those that the control loop measures.
func (o *Outlet) Limit(l charge.Limit) { o.limit.Store(&l) }

// ResetLatch ends the faults that the safety rules have latched, after a person
// has repaired their cause. What is still so latches again.
func (o *Outlet) ResetLatch() { o.resetLatch.Store(true) }

// ReleaseCable moves the lock once more, as soon as the safety rules release the
// cable: a bolt that did not follow gets another try.
func (o *Outlet) ReleaseCable() { o.release.Store(true) }

// HasLock reports whether a lock holds the cable.
func (o *Outlet) HasLock() bool { return o.lock != nil }

// Operations is the number of commands of this boot that moved the contactor.
func (o *Outlet) Operations() int64 { return o.operations.Load() }

// HotOperations is the number of them that opened it while the vehicle requested
// power, so under load.
func (o *Outlet) HotOperations() int64 { return o.hot.Load() }

// Feedback measures the contactor.
func (o *Outlet) Feedback() (hal.ContactState, error) {
	state, _, err := o.contactor.Feedback()
	return state, err
}

// PilotState measures the pilot.
func (o *Outlet) PilotState() (charge.PilotState, error) {
	state, _, err := o.pilot.State()
	return state, err
}

// ResumeMeter continues the register from the last one that was recorded, where the
// meter needs that. Call it before the first ReadMeter.
func (o *Outlet) ResumeMeter(total charge.WattHours) {
	if m, ok := o.meter.(hal.Resumer); ok {
		m.Resume(total)
	}
}

// ReadMeter reads the meter. It may take as long as ctx allows. Power flows only
// while readings come.
func (o *Outlet) ReadMeter(ctx context.Context) (hal.Reading, error) {
	r, err := o.meter.Read(ctx)
	if err == nil {
		o.reading.Store(&r)
	}
	return r, err
}

// set commands the contactor and counts the commands that move it.
func (o *Outlet) set(on bool) error {
	if o.contactor.Commanded() != on {
		o.operations.Add(1)
		if !on && o.requests.Load() {
			o.hot.Add(1)
		}
	}
	return o.contactor.Set(on)
}

// switchTo commands the contactor. If the permission is withdrawn while it
// closes, it opens again: the last command is then always Set(false). So it is
// after a failed attempt to close, as the output is not known.
func (o *Outlet) switchTo(on bool) error {
	if err := o.set(on); err != nil || !on {
		if on {
			err = errors.Join(err, o.set(false))
		}
		return err
	}
	if !o.permit.Load() {
		return o.set(false)
	}
	return nil
}
