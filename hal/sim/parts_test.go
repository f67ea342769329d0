package sim_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// charging is a world with power flowing at 7 kW of a vehicle of 22 kW's worth of
// current: three phases of 230 V.
func charging(t *testing.T, change func(*sim.Config)) *world {
	t.Helper()
	w := newWorld(t, func(c *sim.Config) {
		c.Contactor = sim.Span{}
		if change != nil {
			change(c)
		}
	})
	must(t, w.PlugVehicle(1, sim.Vehicle{Capacity: 1_000_000, MaxPower: 22_080}),
		w.pilot(1).SetAvailable(true), w.contactor(1).Set(true))
	w.pass(2 * time.Second)
	if o := w.outlet(); o.Power != 22_080 {
		t.Fatalf("before: got %+v; want 22080 W", o)
	}
	return w
}

func TestTheVehicleFollowsItsPilot(t *testing.T) {
	for name, pwm := range map[string]bool{"contacts": false, "pwm": true} {
		t.Run(name, func(t *testing.T) {
			w := charging(t, func(c *sim.Config) { c.PWM = pwm })
			if !w.Info().Steered {
				t.Error("info does not state that the pilot limits the vehicle")
			}
			for _, tc := range []struct {
				limit charge.MilliAmps
				want  charge.Watts
			}{{16_000, 11_040}, {6_000, 4_140}, {32_000, 22_080}, {63_000, 22_080}, {10_500, 7_245}} {
				must(t, w.pilot(1).SetCurrent(tc.limit))
				if got := w.outlet().Power; got != tc.want {
					t.Errorf("%d mA: %d W at once, want %d", tc.limit, got, tc.want)
				}
			}
			must(t, w.pilot(1).SetCurrent(hal.MinOffer-1))
			w.pass(2 * time.Second)
			if o := w.outlet(); o.Power != 0 || o.Pilot != "B" {
				t.Errorf("below the smallest offer: got %+v", o)
			}
			must(t, w.pilot(1).SetCurrent(16_000))
			w.pass(2 * time.Second)
			if o := w.outlet(); o.Power != 11_040 || o.Pilot != "C" {
				t.Errorf("offered again: got %+v", o)
			}
			must(t, w.pilot(1).SetAvailable(false))
			w.pass(2 * time.Second)
			if o := w.outlet(); o.Power != 0 || o.Pilot != "B" {
				t.Errorf("withdrawn: got %+v", o)
			}
		})
	}
}

func TestAVehicleWithoutSteeringDrawsWhatItWants(t *testing.T) {
	w := charging(t, func(c *sim.Config) { c.Steered = false })
	must(t, w.pilot(1).SetCurrent(0))
	w.pass(time.Second)
	if o := w.outlet(); o.Power != 22_080 || w.Info().Steered {
		t.Errorf("got %+v, steered %v", o, w.Info().Steered)
	}
}

func TestTheBoltMovesInItsTime(t *testing.T) {
	w := newWorld(t, func(c *sim.Config) { c.Bolt = sim.Span{Least: 200 * time.Millisecond, Most: 200 * time.Millisecond} })
	state := func() hal.LockState {
		s, _, err := w.lock(1).State()
		must(t, err)
		return s
	}
	step := func(after time.Duration, want hal.LockState) {
		t.Helper()
		w.now += after
		if got := state(); got != want {
			t.Errorf("at %v: got %v, want %v", w.now, got, want)
		}
	}
	step(0, hal.LockOpen)
	must(t, w.lock(1).Set(true))
	step(0, hal.LockUnknown)
	step(199*time.Millisecond, hal.LockUnknown)
	must(t, w.lock(1).Set(true)) // a repeat does not begin again
	step(time.Millisecond, hal.LockLocked)
	must(t, w.Break(1, sim.LockJammed), w.lock(1).Set(false))
	step(time.Hour, hal.LockLocked)
	must(t, w.Repair(1)) // it follows its command again
	step(200*time.Millisecond, hal.LockOpen)
	must(t, w.lock(1).Set(true))
	w.now += 100 * time.Millisecond
	must(t, w.Break(1, sim.LockJammed))
	step(time.Hour, hal.LockUnknown) // between its ends
}

func TestContactsWarmWithThePower(t *testing.T) {
	w := charging(t, func(c *sim.Config) { c.RatedPower = 22_080 })
	c, _ := w.Connector(1)
	thermal, err := c.Thermal()
	must(t, err)
	read := func() charge.MilliCelsius {
		got, _, err := thermal.Hottest()
		must(t, err)
		return got
	}
	w.pass(time.Minute)
	if got := read(); got < 34_000 || got > 35_500 { // 63 % of 20 degrees after one time constant
		t.Errorf("after a minute at full power: %d m°C", got)
	}
	w.pass(15 * time.Minute)
	if got := read(); got != 42_000 {
		t.Errorf("steady at full power: %d m°C, want 42000", got)
	}
	must(t, w.SetAmbient(55_000))
	w.pass(15 * time.Minute)
	if got := read(); got != 75_000 {
		t.Errorf("steady at full power in the heat: %d m°C, want 75000", got)
	}
	must(t, w.contactor(1).Set(false), w.SetAmbient(-10_000))
	w.pass(30 * time.Minute)
	if got := read(); got != -10_000 {
		t.Errorf("cold again: %d m°C, want -10000", got)
	}
	must(t, w.Inject(1, charge.FaultOvertemperature))
	if got := read(); got <= w.Info().TempLimit {
		t.Errorf("overtemperature: %d m°C, want more than %d", got, w.Info().TempLimit)
	}
	must(t, w.Break(1, sim.SensorLost))
	if _, _, err := thermal.Hottest(); !errors.Is(err, hal.ErrUnreadable) {
		t.Errorf("lost sensor: got %v", err)
	}
}

func TestTheCableIsCoded(t *testing.T) {
	w := newWorld(t, func(c *sim.Config) { c.Cable = 32_000 })
	c, _ := w.Connector(1)
	p, err := c.Proximity()
	must(t, err)
	read := func() charge.MilliAmps {
		got, _, err := p.CableLimit()
		must(t, err)
		return got
	}
	if got := read(); got != 0 {
		t.Errorf("no cable: %d mA", got)
	}
	must(t, w.Plug(1))
	if got := read(); got != 32_000 {
		t.Errorf("cable: %d mA, want 32000", got)
	}
	must(t, w.Break(1, sim.CableUnknown))
	if got, _, err := p.CableLimit(); !errors.Is(err, hal.ErrUnreadable) || got != 0 {
		t.Errorf("impossible coding: got %d, %v", got, err)
	}
}

func TestGroundFaultSelfTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *sim.Config) { c.Contactor = sim.Span{} })
		c, _ := w.Connector(1)
		g, err := c.GroundFault()
		must(t, err, g.SelfTest(t.Context()), g.Reset())
		must(t, w.keeper.Kick(), w.contactor(1).Set(true))
		w.now++
		if err := g.SelfTest(t.Context()); err == nil {
			t.Error("tested with a closed contactor")
		}
		must(t, w.contactor(1).Set(false), w.Break(1, sim.TestFails))
		w.now++
		if err := g.SelfTest(t.Context()); err == nil {
			t.Error("a device that does not trip passed its test")
		}
		must(t, w.Repair(1), w.Inject(1, charge.FaultGroundFault))
		if err := g.Reset(); err == nil {
			t.Error("reset although the fault is there")
		}
		must(t, w.Repair(1), g.Reset())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.SelfTest(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: got %v", err)
		}
	})
}

func TestCardsAndPresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r, err := w.Reader()
		must(t, err)
		p, err := w.Panel()
		must(t, err, w.Present("04a1b2c3"), w.Press(1))
		if got := <-r.Tokens(); got.UID != "04A1B2C3" || got.Seq != 1 {
			t.Errorf("card: got %+v", got)
		}
		if got := <-p.Presses(); got.Connector != 1 || got.Seq != 1 {
			t.Errorf("press: got %+v", got)
		}
		if err := w.Present("card"); err == nil {
			t.Error("a card without a proper uid")
		}
		must(t, w.Break(1, sim.ReaderDead))
		if err := w.Present("04a1b2c3"); !errors.Is(err, hal.ErrUnreadable) || !errors.Is(r.Healthy(), hal.ErrUnreadable) {
			t.Errorf("dead reader: got %v, healthy %v", err, r.Healthy())
		}
		must(t, w.Repair(1), r.Healthy(), p.Show(1, hal.LightIdentify))
		if got := w.outlet().Light; got != "identify" {
			t.Errorf("light: %s", got)
		}
	})
}

func TestTheWatchdogResetsAtItsTimeOnce(t *testing.T) {
	w := newWorld(t, func(c *sim.Config) { c.Watchdog, c.Keeper = 15*time.Second, 0 })
	dog, err := w.Watchdog()
	must(t, err)
	w.now = time.Hour // it is not armed before its first kick
	must(t, dog.Kick(), w.contactor(1).Set(true))
	w.now += time.Hour
	s := w.Snapshot()
	if s.Resets != 1 || s.Connectors[0].Closed || s.Connectors[0].Commanded {
		t.Fatalf("got %+v; want one reset and an open contactor", s)
	}
	if at := s.Trace[len(s.Trace)-1].Mono; at < time.Hour+15*time.Second || at > time.Hour+16*time.Second {
		t.Errorf("opened at %v", at)
	}
	must(t, dog.Kick(), dog.Disarm())
	w.now += time.Hour
	if got := w.Snapshot().Resets; got != 1 {
		t.Errorf("%d resets after it was disarmed", got)
	}
}

func TestTheClockRunsWithoutPower(t *testing.T) {
	set := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	w := newWorld(t, func(c *sim.Config) { c.Clock = true })
	k, err := w.Clock()
	must(t, err)
	if _, err := k.Now(); !errors.Is(err, hal.ErrUnreadable) {
		t.Errorf("a clock that lost its time: got %v", err)
	}
	w.now = time.Minute
	must(t, k.Set(set))
	w.now += time.Hour
	if got, err := k.Now(); err != nil || !got.Equal(set.Add(time.Hour)) {
		t.Errorf("got %v, %v", got, err)
	}
	again := newWorld(t, func(c *sim.Config) { c.Clock, c.ClockTime = true, set })
	k, err = again.Clock()
	must(t, err)
	if got, err := k.Now(); err != nil || !got.Equal(set) {
		t.Errorf("at the start: got %v, %v", got, err)
	}
}

func TestDevicesLeftOutAreNotFitted(t *testing.T) {
	w := newWorld(t, func(c *sim.Config) {
		c.NoLock, c.NoGroundFault, c.NoThermal, c.NoReader, c.NoPanel = true, true, true, true, true
	})
	c, _ := w.Connector(1)
	for name, err := range map[string]error{
		"lock": failed(c.Lock()), "proximity": failed(c.Proximity()), "ground fault": failed(c.GroundFault()), "thermal": failed(c.Thermal()),
		"reader": failed(w.Reader()), "panel": failed(w.Panel()), "watchdog": failed(w.Watchdog()), "clock": failed(w.Clock()),
		"present": w.Present("04a1b2c3"), "press": w.Press(1),
	} {
		if !errors.Is(err, hal.ErrNotFitted) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if w.Info().TempLimit != 0 {
		t.Error("a limit without a sensor")
	}
}

func TestAFaultOfADeviceBreaksIt(t *testing.T) {
	w := newWorld(t, nil)
	must(t, w.Inject(1, "lock_failed"), w.Inject(1, "self_test_failed"), w.Inject(1, "lock_failed"))
	if got := w.outlet().Defects; !slices.Equal(got, []sim.Defect{sim.LockJammed, sim.TestFails}) {
		t.Errorf("got %v", got)
	}
}

func failed[T any](_ T, err error) error { return err }
