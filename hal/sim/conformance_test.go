package sim_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/haltest"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

func TestConformance(t *testing.T) {
	for name, change := range map[string]func(*sim.Config){
		"full": full,
		"pwm":  func(c *sim.Config) { full(c); c.PWM = true },
		"bare": func(c *sim.Config) {
			c.Keeper, c.NoEStop, c.NoFeedback, c.NoMeter, c.Steered = 0, true, true, true, false
			c.NoLock, c.NoGroundFault, c.NoThermal, c.NoReader, c.NoPanel = true, true, true, true, true
		},
	} {
		t.Run(name, func(t *testing.T) {
			haltest.Run(t, func(t *testing.T) (hal.Board, haltest.Controls) {
				t.Helper()
				cfg := sim.DefaultConfig()
				change(&cfg)
				b := mustNew(t, cfg)
				return b, controls(t, b, cfg)
			})
		})
	}
}

// full fits every device to two connectors.
func full(c *sim.Config) {
	c.Connectors, c.Cable, c.Watchdog = 2, 32_000, 15*time.Second
	c.Clock, c.ClockTime = true, time.Now()
}

func mustNew(t *testing.T, cfg sim.Config) *sim.Board {
	t.Helper()
	b, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// controls lets the suite act on a simulated board from outside.
func controls(t *testing.T, b *sim.Board, cfg sim.Config) haltest.Controls {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	h := haltest.Controls{
		Plug:      func(n charge.ConnectorID) { must(b.Plug(n)) },
		Unplug:    func(n charge.ConnectorID) { must(b.Unplug(n)) },
		Weld:      func(n charge.ConnectorID) { must(b.Inject(n, charge.FaultContactorWelded)) },
		StickOpen: func(n charge.ConnectorID) { must(b.Inject(n, charge.FaultContactorStuck)) },
		SlowMeter: b.SetMeterDelay,
		SetUnreadable: func(n charge.ConnectorID, blind bool) {
			if blind {
				must(b.Inject(n, charge.FaultSafetyInput))
				return
			}
			must(b.Repair(n))
		},
		Closed: func(n charge.ConnectorID) bool { return b.Snapshot().Connectors[n-1].Closed },
		Settle: cfg.Asks.Most + 100*time.Millisecond,
		Cable:  cfg.Cable,
	}
	toggle := func(n charge.ConnectorID, on bool, begin func() error) {
		if on {
			must(begin())
			return
		}
		must(b.Repair(n))
	}
	outlet := func(n charge.ConnectorID) sim.Outlet { return b.Snapshot().Connectors[n-1] }
	h.Trip = func(n charge.ConnectorID, on bool) {
		toggle(n, on, func() error { return b.Inject(n, charge.FaultGroundFault) })
	}
	h.Jam = func(n charge.ConnectorID, on bool) {
		toggle(n, on, func() error { return b.Break(n, sim.LockJammed) })
	}
	h.Locked = func(n charge.ConnectorID) bool { return outlet(n).Lock == hal.LockLocked.String() }
	if !cfg.NoReader {
		h.Tap = func(uid string) { must(b.Present(uid)) }
	}
	if !cfg.NoPanel {
		h.PressButton = func(n charge.ConnectorID) { must(b.Press(n)) }
		h.Light = func(n charge.ConnectorID) hal.Light { return lightOf(outlet(n).Light) }
	}
	if !cfg.NoEStop {
		h.Stop = func(pressed bool) {
			if pressed {
				must(b.Inject(1, charge.FaultEmergencyStop))
				return
			}
			must(b.Repair(1))
		}
	}
	return h
}

// lightOf is the light of a name.
func lightOf(name string) hal.Light {
	l := hal.LightOff
	for l.String() != name && l < hal.LightIdentify {
		l++
	}
	return l
}
