package doctor_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/agent/internal/doctor"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// newBoard makes a board with every device.
func newBoard(t *testing.T, change func(*sim.Config)) *sim.Board {
	t.Helper()
	cfg := sim.DefaultConfig()
	cfg.Cable, cfg.Watchdog, cfg.Clock, cfg.ClockTime = 32_000, time.Minute, true, time.Now()
	if change != nil {
		change(&cfg)
	}
	b, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// of returns the finding at a device.
func of(t *testing.T, findings []doctor.Finding, device string) doctor.Finding {
	t.Helper()
	i := slices.IndexFunc(findings, func(f doctor.Finding) bool { return f.Device == device })
	if i < 0 {
		t.Fatalf("no finding at %q: %+v", device, findings)
	}
	return findings[i]
}

func TestWhatIsWrongIsExplained(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*sim.Config)
		do     func(*sim.Board) error
		device string
		state  doctor.State
		words  string // in value, meaning or remedy
	}{
		"a good stop":         {nil, nil, "emergency stop", doctor.Good, "contact is closed"},
		"a pressed stop":      {nil, func(b *sim.Board) error { return b.Inject(1, charge.FaultEmergencyStop) }, "emergency stop", doctor.Bad, "its wire is cut"},
		"a welded contact":    {nil, func(b *sim.Board) error { return b.Inject(1, charge.FaultContactorWelded) }, "connector 1: contactor", doctor.Bad, "welded"},
		"no feedback":         {func(c *sim.Config) { c.NoFeedback = true }, nil, "connector 1: contactor", doctor.Note, "welded contactor is not noticed"},
		"a vehicle":           {nil, func(b *sim.Board) error { return b.Plug(1) }, "connector 1: pilot", doctor.Good, "requests power"},
		"state E":             {nil, func(b *sim.Board) error { return b.Inject(1, charge.FaultPilot) }, "connector 1: pilot", doctor.Bad, "shorted"},
		"an unreadable pilot": {nil, func(b *sim.Board) error { return b.Inject(1, charge.FaultSafetyInput) }, "connector 1: pilot", doctor.Bad, "cannot be read"},
		"a trip":              {nil, func(b *sim.Board) error { return b.Inject(1, charge.FaultGroundFault) }, "connector 1: protection", doctor.Bad, "reset the device"},
		"a jammed bolt": {nil, func(b *sim.Board) error {
			c, _ := b.Connector(1)
			l, _ := c.Lock()
			return errors.Join(l.Set(true), b.Break(1, sim.LockJammed))
		}, "connector 1: lock", doctor.Bad, "at neither end"},
		"a cable":           {nil, func(b *sim.Board) error { return b.Plug(1) }, "connector 1: cable", doctor.Good, "32 A"},
		"an impossible one": {nil, func(b *sim.Board) error { return b.Break(1, sim.CableUnknown) }, "connector 1: cable", doctor.Bad, "resistor"},
		"heat":              {nil, func(b *sim.Board) error { return b.Inject(1, charge.FaultOvertemperature) }, "connector 1: temperature", doctor.Bad, "above the limit"},
		"a lost sensor":     {nil, func(b *sim.Board) error { return b.Break(1, sim.SensorLost) }, "connector 1: temperature", doctor.Bad, "sensors' wires"},
		"a silent meter":    {nil, func(b *sim.Board) error { return b.Inject(1, charge.FaultMeter) }, "connector 1: meter", doctor.Bad, "exchanged"},
		"no meter":          {func(c *sim.Config) { c.NoMeter = true }, nil, "connector 1: meter", doctor.Note, "nothing can be billed"},
		"power through an open contactor": {nil, func(b *sim.Board) error {
			return errors.Join(b.Plug(1), b.Inject(1, charge.FaultContactorWelded))
		}, "connector 1: meter", doctor.Bad, "power flows"},
		"a dead reader":   {nil, func(b *sim.Board) error { return b.Break(1, sim.ReaderDead) }, "card reader", doctor.Bad, "mode switches"},
		"no keeper":       {func(c *sim.Config) { c.Keeper = 0 }, nil, "dead-man device", doctor.Note, "may leave power on"},
		"a lost time":     {func(c *sim.Config) { c.ClockTime = time.Time{} }, nil, "clock", doctor.Bad, "battery"},
		"a wrong time":    {func(c *sim.Config) { c.ClockTime = time.Now().Add(-time.Hour) }, nil, "clock", doctor.Note, "differs"},
		"a watchdog":      {nil, nil, "watchdog", doctor.Good, "resets the computer"},
		"nothing pressed": {nil, nil, "front panel", doctor.Note, "press its buttons"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBoard(t, tc.change)
				if tc.do != nil {
					if err := tc.do(b); err != nil {
						t.Fatal(err)
					}
				}
				findings := doctor.Examine(t.Context(), b, doctor.Options{For: 3 * time.Second})
				got := of(t, findings, tc.device)
				if all := got.Value + "; " + got.Meaning + "; " + got.Remedy; got.State != tc.state || !strings.Contains(all, tc.words) {
					t.Errorf("got %+v; want %v and %q", got, tc.state, tc.words)
				}
				if got.State == doctor.Bad && (got.Remedy == "" || doctor.Worst(findings) != doctor.Bad) {
					t.Errorf("bad, without a remedy: %+v", got)
				}
				for _, o := range b.Snapshot().Connectors {
					if o.Commanded {
						t.Error("the doctor commanded a contactor closed")
					}
				}
			})
		})
	}
}

func TestAGoodBoardHasNothingBad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		findings := doctor.Examine(t.Context(), newBoard(t, nil), doctor.Options{For: time.Second})
		if got := doctor.Worst(findings); got == doctor.Bad {
			t.Errorf("got %+v", findings)
		}
	})
}

// TestChangesArePrinted: what a person moves is reported once, and no card's
// identifier is.
func TestChangesArePrinted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, nil)
		time.AfterFunc(time.Second, func() { _ = b.Plug(1) })
		time.AfterFunc(3*time.Second, func() { _ = errors.Join(b.Present("04A1B2C3"), b.Press(1)) })
		var lines []string
		findings := doctor.Examine(t.Context(), b, doctor.Options{For: 5 * time.Second, Changed: func(device, value string) {
			lines = append(lines, device+": "+value)
		}})
		want := []string{
			"connector 1: cable: 32 A", "connector 1: pilot: B", "connector 1: pilot: C",
			"card reader: read a card of 4 bytes", "front panel: button of connector 1 pressed",
		}
		slices.Sort(want)
		slices.Sort(lines)
		if !slices.Equal(lines, want) {
			t.Errorf("got %q, want %q", lines, want)
		}
		if got := of(t, findings, "front panel"); got.State != doctor.Good {
			t.Errorf("a pressed button: %+v", got)
		}
	})
}

// chattering is a board whose stop changes with each reading.
type chattering struct {
	*sim.Board
	reads int
}

func (c *chattering) EStop() (hal.EStop, error) { return c, nil }

func (c *chattering) Pressed() (bool, hal.Stamp, error) {
	c.reads++
	return c.reads%2 == 0, hal.Stamp{}, nil
}

func TestALooseWireIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		findings := doctor.Examine(t.Context(), &chattering{Board: newBoard(t, nil)}, doctor.Options{For: time.Second})
		if got := of(t, findings, "emergency stop"); got.State != doctor.Bad || !strings.Contains(got.Meaning, "loose wire") {
			t.Errorf("got %+v", got)
		}
	})
}
