package rpi_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/host/v3/gpioioctl"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/haltest"
	"github.com/carga-ev/carga/hal/rpi"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/need"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ rpi.Lines = (*gpioioctl.LineSet)(nil)

// fake lets the board request lines of a strict chip.
type fake struct{ *haltest.Chip }

func (f fake) Outputs(names ...string) (rpi.Lines, error) { return lines(f.Request(true, names...)) }
func (f fake) Inputs(names ...string) (rpi.Lines, error)  { return lines(f.Request(false, names...)) }

type strict struct{ set *haltest.Lines }

func lines(set *haltest.Lines, err error) (rpi.Lines, error) {
	if err != nil {
		return nil, err
	}
	return strict{set}, nil
}

func (s strict) Out(bits, mask gpio.GPIOValue) error { return s.set.Out(uint64(bits), uint64(mask)) }
func (s strict) Close() error                        { return s.set.Close() }

func (s strict) Read(mask gpio.GPIOValue) (gpio.GPIOValue, error) {
	v, err := s.set.Read(uint64(mask))
	return gpio.GPIOValue(v), err
}

func config() rpi.Config {
	return rpi.Config{
		RatedPower: 22_000, MaxCurrent: 32_000, Voltage: 230_000, Phases: 3,
		EStop: "GPIO5",
		Connectors: []rpi.Outlet{
			{Relay: "GPIO17", Feedback: "GPIO27", Plug: "GPIO22", Request: "GPIO23"},
			{Relay: "GPIO24", Feedback: "GPIO25", FeedbackMirror: true, Plug: "GPIO12", Request: "GPIO16"},
		},
	}
}

// bench is a board on a strict chip, with contactors behind the relays.
type bench struct {
	cfg  rpi.Config
	chip *haltest.Chip
	held [2]atomic.Int32 // 0 free, 1 welded, 2 stuck open
}

// contactDelay is how long a contact on the bench takes to move.
const contactDelay = 40 * time.Millisecond

func newBench(t *testing.T, cfg rpi.Config) *bench {
	t.Helper()
	var names []string
	for n := range 28 {
		names = append(names, fmt.Sprintf("GPIO%d", n))
	}
	b := &bench{cfg: cfg, chip: haltest.NewChip(t, names...)}
	if cfg.EStop != "" {
		b.chip.Drive(cfg.EStop, false) // closed: not pressed
	}
	for i, o := range cfg.Connectors {
		if o.RelayActiveLow {
			b.chip.ActiveLow(o.Relay)
		}
		b.show(i, false)
		b.chip.OnWrite(o.Relay, func(high bool) {
			time.AfterFunc(contactDelay, func() { b.show(i, high != o.RelayActiveLow) })
		})
	}
	return b
}

// show drives the feedback contact as the contactor stands.
func (b *bench) show(i int, closed bool) {
	o := b.cfg.Connectors[i]
	if o.Feedback == "" {
		return
	}
	switch b.held[i].Load() {
	case 1:
		closed = true
	case 2:
		closed = false
	}
	b.chip.Drive(o.Feedback, closed == o.FeedbackMirror) // a closed contact pulls low
}

func (b *bench) controls() haltest.Controls {
	outlet := func(n charge.ConnectorID) rpi.Outlet { return b.cfg.Connectors[n-1] }
	hold := func(n charge.ConnectorID, how int32) {
		b.held[n-1].Store(how)
		b.show(int(n-1), how == 1)
	}
	h := haltest.Controls{
		Plug: func(n charge.ConnectorID) {
			b.chip.Drive(outlet(n).Plug, false)
			b.chip.Drive(outlet(n).Request, false)
		},
		Unplug: func(n charge.ConnectorID) {
			b.chip.Drive(outlet(n).Plug, true)
			b.chip.Drive(outlet(n).Request, true)
		},
		SetUnreadable: func(_ charge.ConnectorID, blind bool) {
			if blind {
				b.chip.FailReads(errors.New("input/output error"))
				return
			}
			b.chip.FailReads(nil)
		},
		Closed: func(n charge.ConnectorID) bool {
			return b.chip.Level(outlet(n).Relay) != outlet(n).RelayActiveLow
		},
		Settle: hal.MaxContactorDelay,
	}
	if b.cfg.Connectors[0].Feedback != "" {
		h.Weld = func(n charge.ConnectorID) { hold(n, 1) }
		h.StickOpen = func(n charge.ConnectorID) { hold(n, 2) }
	}
	if b.cfg.EStop != "" {
		h.Stop = func(pressed bool) { b.chip.Drive(b.cfg.EStop, pressed) }
	}
	return h
}

func TestConformance(t *testing.T) {
	bare := config()
	bare.EStop, bare.Connectors = "", []rpi.Outlet{{Relay: "GPIO6", RelayActiveLow: true, Plug: "GPIO22", Request: "GPIO23"}}
	for name, cfg := range map[string]rpi.Config{"full": config(), "bare and active low": bare} {
		t.Run(name, func(t *testing.T) {
			haltest.Run(t, func(t *testing.T) (hal.Board, haltest.Controls) {
				t.Helper()
				b := newBench(t, cfg)
				board, err := rpi.New(cfg, fake{b.chip})
				if err != nil {
					t.Fatal(err)
				}
				return board, b.controls()
			})
		})
	}
}

func TestRelayIsOffFromTheRequestToTheRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config())
		board, err := rpi.New(b.cfg, fake{b.chip})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := b.chip.History("GPIO17"), []bool{false, false}; !slices.Equal(got, want) {
			t.Errorf("after New the relay's pin has driven %v; want %v: requested, then written", got, want)
		}
		c, _ := board.Connector(1)
		if err := c.Contactor().Set(true); err != nil {
			t.Fatal(err)
		}
		if err := board.Close(); err != nil {
			t.Fatal(err)
		}
		if got, want := b.chip.History("GPIO17"), []bool{false, false, true, false}; !slices.Equal(got, want) {
			t.Errorf("after Close the relay's pin has driven %v; want %v", got, want)
		}
		if n := b.chip.InUse(); n != 0 {
			t.Errorf("%d lines are still in use after Close", n)
		}
	})
}

func TestFailedWriteIsAnErrorAndTheOthersOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config())
		board, err := rpi.New(b.cfg, fake{b.chip})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 2 {
			c, _ := board.Connector(charge.ConnectorID(n + 1))
			if err := c.Contactor().Set(true); err != nil {
				t.Fatal(err)
			}
		}
		broken := errors.New("input/output error")
		b.chip.FailWrites("GPIO17", broken)
		if err := board.SafeState(); !errors.Is(err, broken) || !strings.Contains(err.Error(), "GPIO17") {
			t.Errorf("safe state: got %v; want the write error of GPIO17", err)
		}
		if b.chip.Level("GPIO24") {
			t.Error("a broken relay kept the other one closed")
		}
		b.chip.FailWrites("GPIO17", nil)
		if err := board.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestFailedNewGivesEverythingBack(t *testing.T) {
	for name, breakIt := range map[string]func(*haltest.Chip){
		"second relay does not write": func(c *haltest.Chip) { c.FailWrites("GPIO24", errors.New("broken")) },
		"inputs do not read":          func(c *haltest.Chip) { c.FailReads(errors.New("broken")) },
		"an input is in use": func(c *haltest.Chip) {
			if _, err := c.Request(false, "GPIO22"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, config())
				breakIt(b.chip)
				before := b.chip.InUse()
				if board, err := rpi.New(b.cfg, fake{b.chip}); err == nil || board != nil {
					t.Fatalf("got %v, %v; want an error", board, err)
				}
				if n := b.chip.InUse() - before; n != 0 {
					t.Errorf("%d lines are kept", n)
				}
			})
		})
	}
}

func TestAChatteringContactCountsOnceItIsSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config())
		board, err := rpi.New(b.cfg, fake{b.chip})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = board.Close() }()
		c, _ := board.Connector(1)
		state := func() charge.PilotState {
			time.Sleep(10 * time.Millisecond)
			s, _, err := c.Pilot().State()
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		for i := range 20 { // never three alike in a row
			b.chip.Drive("GPIO22", i%3 == 0)
			if got := state(); got != charge.PilotA {
				t.Fatalf("sample %d of a chattering plug: got %v, want A", i, got)
			}
		}
		b.chip.Drive("GPIO22", false)
		var seen []charge.PilotState
		for range 4 {
			seen = append(seen, state())
		}
		if seen[3] != charge.PilotB || !slices.Contains(seen[:2], charge.PilotA) {
			t.Errorf("steady plug: got %v; want A, then B", seen)
		}
	})
}

func TestALevelAfterAPauseIsNotTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config())
		board, err := rpi.New(b.cfg, fake{b.chip})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = board.Close() }()
		e, _ := board.EStop()
		time.Sleep(time.Second)
		if pressed, _, err := e.Pressed(); err != nil || pressed {
			t.Errorf("unchanged after a pause: got %v, %v", pressed, err)
		}
		time.Sleep(time.Second)
		b.chip.Drive("GPIO5", true)
		if pressed, _, err := e.Pressed(); !errors.Is(err, hal.ErrUnreadable) || !pressed {
			t.Errorf("changed during a pause: got %v, %v; want unsafe", pressed, err)
		}
	})
}

func TestConfigIsRefusedByField(t *testing.T) {
	for want, change := range map[string]func(*rpi.Config){
		"connectors: 0 of them":                        func(c *rpi.Config) { c.Connectors = nil },
		"rated_power: 0":                               func(c *rpi.Config) { c.RatedPower = 0 },
		"max_current: -1":                              func(c *rpi.Config) { c.MaxCurrent = -1 },
		"voltage: 0":                                   func(c *rpi.Config) { c.Voltage = 0 },
		"phases: 2":                                    func(c *rpi.Config) { c.Phases = 2 },
		"samples: 9":                                   func(c *rpi.Config) { c.Samples = 9 },
		`estop: "GPIO28" is no pin`:                    func(c *rpi.Config) { c.EStop = "GPIO28" },
		`estop: "17" is no pin`:                        func(c *rpi.Config) { c.EStop = "17" },
		`estop: "GPIO07" is no pin`:                    func(c *rpi.Config) { c.EStop = "GPIO07" },
		"connectors[0].relay: is missing":              func(c *rpi.Config) { c.Connectors[0].Relay = "" },
		"connectors[1].plug: is missing":               func(c *rpi.Config) { c.Connectors[1].Plug = "" },
		"connectors[0].relay: GPIO8 is pulled up":      func(c *rpi.Config) { c.Connectors[0].Relay = "GPIO8" },
		"connectors[0].relay: GPIO17 is not pulled up": func(c *rpi.Config) { c.Connectors[0].RelayActiveLow = true },
		"connectors[1].plug: GPIO22 is used by connectors[0].plug": func(c *rpi.Config) { c.Connectors[1].Plug = "GPIO22" },
		"connectors[0].feedback_mirror: is set": func(c *rpi.Config) {
			c.Connectors[0].Feedback, c.Connectors[0].FeedbackMirror = "", true
		},
	} {
		cfg := config()
		change(&cfg)
		chip := haltest.NewChip(t)
		if _, err := rpi.New(cfg, fake{chip}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want an error with %q", err, want)
		}
	}
	if err := config().Validate(); err != nil {
		t.Errorf("a good config: %v", err)
	}
}

func TestOpenWithoutGPIOIsAnError(t *testing.T) {
	need.That(t, len(gpioioctl.Chips) == 0, "a machine without GPIO chips, whose pins may be connected", "run it on a laptop or a server")
	board, err := rpi.Open(config())
	if err == nil {
		_ = board.Close()
		t.Fatal("opened pins on a machine without any")
	}
	if !strings.Contains(err.Error(), "GPIO") {
		t.Errorf("got %v; want an error that names what is missing", err)
	}
}

func TestAfterAFailedReadingOneGoodOneIsNotEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, config())
		board, err := rpi.New(b.cfg, fake{b.chip})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = board.Close() }()
		e, _ := board.EStop()
		broken := errors.New("input/output error")
		b.chip.FailReads(broken)
		time.Sleep(10 * time.Millisecond)
		if pressed, _, err := e.Pressed(); !errors.Is(err, broken) || !errors.Is(err, hal.ErrUnreadable) || !pressed {
			t.Errorf("failed reading: got %v, %v; want unsafe", pressed, err)
		}
		b.chip.FailReads(nil)
		var unsafe int
		for range 5 {
			time.Sleep(10 * time.Millisecond)
			if _, _, err := e.Pressed(); err != nil {
				unsafe++
			}
		}
		if unsafe != 2 {
			t.Errorf("%d readings were refused after the failure; want 2, so that three must agree", unsafe)
		}
	})
}
