package haltest

import (
	"errors"
	"testing/synctest"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// partChecks are the rules about lock, cable, residual current device, reader,
// panel and the current that a pilot offers: invariants 8 and 9 of package hal.
func partChecks() []testCase {
	return []testCase{
		{name: "the lock follows its command, alone", needs: hasLock, run: checkLock},
		{name: "the lock is measured", needs: func(r *rig) bool { return hasLock(r) && r.controls.Jam != nil }, run: checkJam},
		{
			name:  "the cable is read while it is plugged in",
			needs: func(r *rig) bool { return r.controls.Cable != 0 && r.controls.Plug != nil && r.controls.Unplug != nil }, run: checkCable,
		},
		{name: "the residual current device is tested open, and reset", needs: hasTrip, run: checkTrip},
		{name: "the pilot limits the vehicle", needs: steers, run: checkSteering},
		{name: "a card is of its moment", needs: func(r *rig) bool { return r.controls.Tap != nil }, run: checkCards},
		{name: "a press is of its moment", needs: func(r *rig) bool { return r.controls.PressButton != nil }, run: checkPresses},
		{name: "the lights show what was asked for", needs: func(r *rig) bool { return r.controls.Light != nil }, run: checkLights},
		{name: "devices of a closed board are errors", run: checkClosedDevices},
	}
}

func hasLock(r *rig) bool {
	_, err := r.connector(1).Lock()
	return err == nil && r.controls.Locked != nil
}

func hasTrip(r *rig) bool {
	_, err := r.connector(1).GroundFault()
	return err == nil && r.controls.Trip != nil
}

func steers(r *rig) bool {
	_, fitted := r.readMeter(r.Context())
	return r.Info().Steered && r.controls.Plug != nil && fitted
}

// lock returns the lock of connector n.
func (r *rig) lock(n charge.ConnectorID) hal.Lock {
	r.Helper()
	l, err := r.connector(n).Lock()
	if err != nil {
		r.Fatalf("connector %d: lock: %v", n, err)
	}
	return l
}

// wantLock checks what the board measures at a lock, and the bolt itself.
func (r *rig) wantLock(n charge.ConnectorID, locked bool, when string) {
	r.Helper()
	want := map[bool]hal.LockState{false: hal.LockOpen, true: hal.LockLocked}[locked]
	if got, _, err := r.lock(n).State(); err != nil || got != want {
		r.Errorf("connector %d: lock %s: got %v, %v; want %v", n, when, got, err, want)
	}
	if r.controls.Locked(n) != locked {
		r.Errorf("connector %d: the bolt is locked: %v, %s", n, !locked, when)
	}
}

// checkLock: a bolt reaches its end within MaxLockDelay; no other one moves, nor a
// contactor, open or closed.
func checkLock(r *rig) {
	for _, closed := range []bool{false, true} {
		if closed {
			r.closeAll()
		}
		for _, one := range r.numbers() {
			for _, locked := range []bool{true, false} {
				if err := r.lock(one).Set(locked); err != nil {
					r.Fatalf("connector %d: lock: %v", one, err)
				}
				r.advance(hal.MaxLockDelay)
				for _, n := range r.numbers() {
					r.wantLock(n, locked && n == one, "after a command to one")
					if r.controls.Closed(n) != closed {
						r.Errorf("connector %d: the lock moved the contactor", n)
					}
				}
			}
		}
	}
}

// checkJam: a bolt that does not move is never reported where it is not.
func checkJam(r *rig) {
	r.controls.Jam(1, true)
	if err := r.lock(1).Set(true); err != nil {
		r.Errorf("a jammed lock: %v", err)
	}
	r.advance(2 * hal.MaxLockDelay)
	if got, _, err := r.lock(1).State(); err == nil && got == hal.LockLocked {
		r.Error("a jammed bolt reads as locked")
	}
}

// checkCable: the coding is read while a cable is plugged in, within MaxSafetyAge
// after the pilot shows it.
func checkCable(r *rig) {
	p, err := r.connector(1).Proximity()
	if err != nil {
		r.Fatalf("proximity: %v", err)
	}
	for range 2 {
		r.settle()
		if got, _, err := p.CableLimit(); err != nil || got != 0 {
			r.Errorf("no cable: got %d mA, %v; want 0", got, err)
		}
		r.controls.Plug(1)
		r.settle()
		if got, _, err := p.CableLimit(); err != nil || got != r.controls.Cable {
			r.Errorf("cable: got %d mA, %v; want %d", got, err, r.controls.Cable)
		}
		r.controls.Unplug(1)
	}
}

// checkTrip: a trip is reported and outlasts a reset while its cause is there; the
// device is never tested with a closed contactor, and its own trip stays its own.
func checkTrip(r *rig) {
	c := r.connector(1)
	g, err := c.GroundFault()
	if err != nil {
		r.Fatalf("ground fault: %v", err)
	}
	tripped := func() charge.Fault {
		if d, ok := c.(hal.Protection); ok {
			fault, _, err := d.Tripped()
			if err != nil {
				r.Errorf("protection: %v", err)
			}
			return fault
		}
		r.Fatal("a residual current device without protection")
		return ""
	}
	// The test runs beside the safety loop.
	done := make(chan error, 1)
	go func() { done <- g.SelfTest(r.Context()) }()
	for range 100 {
		r.advance(tick)
		if f := tripped(); f != "" {
			r.Errorf("the self-test is reported as %s", f)
			break
		}
	}
	if err := <-done; err != nil {
		r.Errorf("self-test: %v", err)
	}
	r.closeAll()
	if err := g.SelfTest(r.Context()); err == nil {
		r.Error("tested with a closed contactor")
	}
	if !r.controls.Closed(1) {
		r.Error("a refused test moved the contactor")
	}
	if err := r.SafeState(); err != nil {
		r.Errorf("safe state: %v", err)
	}
	r.controls.Trip(1, true)
	r.advance(hal.MaxContactorDelay)
	if f := tripped(); f != charge.FaultGroundFault {
		r.Errorf("tripped: got %q, want %s", f, charge.FaultGroundFault)
	}
	if err := g.Reset(); err == nil {
		r.Error("reset although the cause is there")
	}
	r.controls.Trip(1, false)
	if err := g.Reset(); err != nil {
		r.Errorf("reset: %v", err)
	}
	r.advance(hal.MaxContactorDelay)
	if f := tripped(); f != "" {
		r.Errorf("after the reset: %s", f)
	}
}

// checkSteering: the vehicle draws no more than the pilot signals, and nothing below
// MinOffer.
func checkSteering(r *rig) {
	info := r.Info()
	pilot := r.connector(1).Pilot()
	power := func(limit charge.MilliAmps) charge.Watts {
		if err := pilot.SetCurrent(limit); err != nil {
			r.Fatalf("set current: %v", err)
		}
		r.settle()
		got, _ := r.readMeter(r.Context())
		return got.Power
	}
	if err := pilot.SetAvailable(true); err != nil {
		r.Fatalf("offer: %v", err)
	}
	r.controls.Plug(1)
	r.settle()
	r.closeAll()
	for _, limit := range []charge.MilliAmps{hal.MinOffer, 2 * hal.MinOffer, hal.MinOffer} {
		most := charge.Watts(int64(limit) * int64(info.Voltage) * int64(info.Phases) / 1_000_000)
		if got := power(limit); got <= 0 || got > most {
			r.Errorf("%d mA: %d W; want more than 0 and at most %d", limit, got, most)
		}
	}
	if got := power(hal.MinOffer - 1); got != 0 {
		r.Errorf("below the smallest offer: %d W", got)
	}
}

// next returns what waits in a channel, after the board had time to pass it on.
func next[T any](r *rig, c <-chan T) (v T, some bool) {
	r.advance(2 * tick)
	select {
	case v, some = <-c:
	default:
	}
	return v, some
}

// checkCards: a card is passed on once, with its identifier in upper case; one that
// is not received in time never comes.
func checkCards(r *rig) {
	d, err := r.Reader()
	if err != nil {
		r.Fatalf("reader: %v", err)
	}
	if err := d.Healthy(); err != nil {
		r.Errorf("reader: %v", err)
	}
	last := hal.Stamp{}
	for _, uid := range []string{"04A1B2C3", "04A1B2C3D4E5F6", "04A1B2C3"} {
		r.controls.Tap(uid)
		got, some := next(r, d.Tokens())
		switch {
		case !some || got.UID != uid:
			r.Errorf("card %s: got %v, %+v", uid, some, got)
		case got.Seq <= last.Seq || got.Mono < last.Mono || got.Mono > r.Mono():
			r.Errorf("card %s: stamp %+v after %+v, at %v", uid, got.Stamp, last, r.Mono())
		}
		last = got.Stamp
		if _, some := next(r, d.Tokens()); some {
			r.Error("one card was reported twice")
		}
	}
	r.controls.Tap("04A1B2C3")
	r.advance(hal.MomentLasts + 10*tick)
	if _, some := next(r, d.Tokens()); some {
		r.Error("a card came after its moment")
	}
}

// checkPresses: the same for buttons.
func checkPresses(r *rig) {
	p, err := r.Panel()
	if err != nil {
		r.Fatalf("panel: %v", err)
	}
	for _, n := range r.numbers() {
		r.controls.PressButton(n)
		if got, some := next(r, p.Presses()); !some || got.Connector != n {
			r.Errorf("button %d: got %v, %+v", n, some, got)
		}
		if _, some := next(r, p.Presses()); some {
			r.Errorf("button %d: one press was reported twice", n)
		}
	}
	r.controls.PressButton(1)
	r.advance(hal.MomentLasts + 10*tick)
	if _, some := next(r, p.Presses()); some {
		r.Error("a press came after its moment")
	}
}

// checkLights: each connector shows its own light; one beyond the range is an error.
func checkLights(r *rig) {
	p, err := r.Panel()
	if err != nil {
		r.Fatalf("panel: %v", err)
	}
	shown := map[charge.ConnectorID]hal.Light{}
	for l := hal.LightOff; l <= hal.LightIdentify; l++ {
		for _, one := range r.numbers() {
			if err := p.Show(one, l); err != nil {
				r.Fatalf("connector %d: light %v: %v", one, l, err)
			}
			shown[one] = l
			r.advance(2 * tick)
			for n, want := range shown {
				if got := r.controls.Light(n); got != want {
					r.Errorf("connector %d: light %v, want %v", n, got, want)
				}
			}
		}
	}
	if err := p.Show(charge.ConnectorID(r.Info().Connectors+1), hal.LightOff); err == nil {
		r.Error("a connector that does not exist has a light")
	}
}

// checkClosedDevices: after Close the channels are closed and every device is an
// error; no lock closes and nothing is offered.
func checkClosedDevices(r *rig) {
	c := r.connector(1)
	lock, lockErr := c.Lock()
	cable, cableErr := c.Proximity()
	ground, groundErr := c.GroundFault()
	thermal, thermalErr := c.Thermal()
	reader, readerErr := r.Reader()
	panel, panelErr := r.Panel()
	clock, clockErr := r.Clock()
	if err := r.Close(); err != nil {
		r.Fatalf("close: %v", err)
	}
	synctest.Wait() // goroutines of the board have ended
	refused := func(name string, err error) {
		if err == nil {
			r.Errorf("%s works after Close", name)
		}
	}
	if lockErr == nil {
		state, _, err := lock.State()
		refused("lock", err)
		refused("locking", lock.Set(true))
		if state != hal.LockUnknown {
			r.Errorf("the lock of a closed board reads as %v", state)
		}
	}
	if cableErr == nil {
		_, _, err := cable.CableLimit()
		refused("proximity", err)
	}
	if groundErr == nil {
		refused("self-test", ground.SelfTest(r.Context()))
	}
	if thermalErr == nil {
		_, _, err := thermal.Hottest()
		refused("thermal", err)
	}
	if readerErr == nil {
		refused("reader", reader.Healthy())
		if _, open := <-reader.Tokens(); open {
			r.Error("a card came after Close")
		}
	}
	if panelErr == nil {
		if _, open := <-panel.Presses(); open {
			r.Error("a press came after Close")
		}
	}
	if clockErr == nil {
		_, err := clock.Now()
		refused("clock", err)
	}
	if err := c.Pilot().SetAvailable(true); r.Info().Steered && !errors.Is(err, hal.ErrClosed) {
		r.Errorf("offer after Close: got %v, want %v", err, hal.ErrClosed)
	}
}
