package haltest

import (
	"context"
	"errors"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// inputChecks are the rules about what the board measures: invariants 1, 5 and 6
// of package hal.
func inputChecks() []testCase {
	return []testCase{
		{
			name: "the pilot follows plug and unplug", run: checkPilot,
			needs: func(r *rig) bool { return r.controls.Plug != nil && r.controls.Unplug != nil },
		},
		{name: "the emergency stop is measured", needs: func(r *rig) bool { return r.controls.Stop != nil }, run: checkEStop},
		{name: "unreadable inputs are errors", needs: func(r *rig) bool { return r.controls.SetUnreadable != nil }, run: checkUnreadable},
		{
			name: "the register counts and never goes down", run: checkRegister,
			needs: func(r *rig) bool { return r.controls.Plug != nil },
		},
		{name: "a slow reading ends with its context", needs: func(r *rig) bool { return r.controls.SlowMeter != nil }, run: checkContext},
	}
}

// unplugLimit is the time from pulling the cable to measuring it: the contactor
// must be open 100 ms after, so the board may use no more than that.
const unplugLimit = 100 * time.Millisecond

// checkPilot: the pilot is A without a vehicle and C with one that requests
// power, and a pulled cable is measured within unplugLimit.
func checkPilot(r *rig) {
	for _, n := range r.numbers() {
		p := r.connector(n).Pilot()
		r.settle()
		if got, _, err := p.State(); err != nil || got != charge.PilotA {
			r.Errorf("connector %d: unplugged: got %v, %v; want A", n, got, err)
		}
		// With PWM a vehicle requests power only once it is offered.
		if err := p.SetAvailable(true); err != nil {
			r.Errorf("connector %d: offer: %v", n, err)
		}
		r.controls.Plug(n)
		r.settle()
		if got, _, err := p.State(); err != nil || got != charge.PilotC {
			r.Errorf("connector %d: asking vehicle: got %v, %v; want C", n, got, err)
		}
		// Pulling the cable is the urgent case: it has a limit of its own.
		r.controls.Unplug(n)
		r.advance(unplugLimit)
		if got, _, err := p.State(); err != nil || got != charge.PilotA {
			r.Errorf("connector %d: %v after the cable was pulled: got %v, %v; want A", n, unplugLimit, got, err)
		}
	}
}

// checkEStop: pressing and releasing the emergency stop is measured within
// unplugLimit.
func checkEStop(r *rig) {
	e, err := r.EStop()
	if err != nil {
		r.Fatalf("the controls can press a stop that the board does not have: %v", err)
	}
	// It is read each tick, as the safety loop does: a backend may debounce.
	for _, want := range []bool{false, true, false} {
		r.controls.Stop(want)
		for end := r.Mono() + unplugLimit; r.Mono() < end; time.Sleep(tick) {
			_, _, _ = e.Pressed()
		}
		if got, _, err := e.Pressed(); err != nil || got != want {
			r.Errorf("emergency stop: got %v, %v; want %v", got, err, want)
		}
	}
}

// checkUnreadable: an input that cannot be read is an error and an unknown state,
// within MaxSafetyAge, and opening works meanwhile.
func checkUnreadable(r *rig) {
	r.settle()
	// A board without a feedback contact cannot lose it.
	c := r.connector(1)
	_, _, fitted := c.Contactor().Feedback()
	r.controls.SetUnreadable(1, true)
	r.advance(hal.MaxSafetyAge + tick)
	if got, _, err := c.Pilot().State(); !errors.Is(err, hal.ErrUnreadable) || got != charge.PilotUnknown {
		r.Errorf("unreadable pilot: got %v, %v; want unknown, %v", got, err, hal.ErrUnreadable)
	}
	if !notFitted(fitted) {
		if got, _, err := c.Contactor().Feedback(); !errors.Is(err, hal.ErrUnreadable) || got != hal.ContactUnknown {
			r.Errorf("unreadable feedback: got %v, %v; want unknown, %v", got, err, hal.ErrUnreadable)
		}
	}
	// Opening is never refused: it needs no input.
	if err := c.Contactor().Set(false); err != nil {
		r.Errorf("set false with unreadable inputs: %v", err)
	}
	r.controls.SetUnreadable(1, false)
	r.settle()
	if _, _, err := c.Pilot().State(); err != nil {
		r.Errorf("pilot after the inputs are readable again: %v", err)
	}
}

// checkRegister: the register counts while power flows, stands still without
// power, and never goes down; the meter keeps its identity.
func checkRegister(r *rig) {
	last, fitted := r.readMeter(r.Context())
	if !fitted {
		return
	}
	// The identity must not change while the meter counts.
	identity, err := r.connector(1).Meter().Identity()
	if err != nil {
		r.Errorf("identity: %v", err)
	}
	first := last
	if err := r.connector(1).Pilot().SetAvailable(true); err != nil {
		r.Errorf("offer: %v", err)
	}
	r.controls.Plug(1)
	r.settle()
	r.closeAll()
	// Two seconds of power are enough for the register of any backend to count.
	for range 20 {
		r.advance(hal.MaxSafetyAge)
		got, _ := r.readMeter(r.Context())
		if got.Import < last.Import || got.Mono < last.Mono || got.Seq <= last.Seq {
			r.Errorf("meter went back from %+v to %+v", last, got)
		}
		last = got
	}
	if last.Import == first.Import || last.Power <= 0 {
		r.Errorf("nothing metered while a vehicle drew power through a closed contact: %+v", last)
	}
	if again, err := r.connector(1).Meter().Identity(); err != nil || again != identity {
		r.Errorf("identity: first %+v, then %+v, %v", identity, again, err)
	}
	if err := r.SafeState(); err != nil {
		r.Errorf("safe state: %v", err)
	}
	r.advance(hal.MaxContactorDelay)
	// The register at the open contact must stay.
	open, _ := r.readMeter(r.Context())
	r.advance(hal.MaxAgentGone)
	if got, _ := r.readMeter(r.Context()); got.Import != open.Import || got.Power != 0 {
		r.Errorf("energy through an open contact: from %+v to %+v", open, got)
	}
}

// checkContext: a reading ends with its context, however slow the meter is.
func checkContext(r *rig) {
	if _, fitted := r.readMeter(r.Context()); !fitted {
		return
	}
	r.controls.SlowMeter(time.Hour)
	defer r.controls.SlowMeter(0)
	ctx, cancel := context.WithCancel(r.Context())
	time.AfterFunc(3*tick, cancel)
	if _, err := r.connector(1).Meter().Read(ctx); !errors.Is(err, context.Canceled) {
		r.Errorf("cancelled reading: got %v, want %v", err, context.Canceled)
	}
}
