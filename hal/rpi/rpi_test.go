package rpi_test

import (
	"errors"
	"fmt"
	"path/filepath"
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

// computer is a computer with that chip and nothing else.
func computer(chip *haltest.Chip) rpi.Computer { return rpi.Computer{Chip: fake{chip}} }

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

func wiring() rpi.Config {
	cfg := rpi.DefaultConfig()
	cfg.EStop = "GPIO5"
	cfg.Connectors = []rpi.Outlet{
		{Relay: "GPIO17", Feedback: "GPIO27", Plug: "GPIO22", Request: "GPIO23"},
		{Relay: "GPIO24", Feedback: "GPIO25", FeedbackMirror: true, Plug: "GPIO12", Request: "GPIO16"},
	}
	return cfg
}

// bench is a board on a strict chip, with contactors behind the relays.
type bench struct {
	cfg  rpi.Config
	chip *haltest.Chip
	held [2]atomic.Int32 // 0 free, 1 welded, 2 stuck open

	bolt, jam, cause atomic.Bool // the bolt is locked, does not move; there is a ground fault

	supply  atomic.Bool // of the coils, through the monoflop of the keeper
	release *time.Timer // ends the supply
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
	b.supply.Store(cfg.Keeper.Pin == "")
	if cfg.Keeper.Pin != "" {
		b.chip.OnWrite(cfg.Keeper.Pin, func(bool) { b.trigger() })
	}
	for i, o := range cfg.Connectors {
		if o.RelayActiveLow {
			b.chip.ActiveLow(o.Relay)
		}
		if o.Protection.GroundFault != "" {
			b.chip.Drive(o.Protection.GroundFault, false) // closed: not tripped
		}
		b.show(i, false)
		b.chip.OnWrite(o.Relay, func(bool) { b.settle(i) })
		if o.Meter.Kind == rpi.MeterS0 {
			b.pulse(i, false)
		}
		b.fit(o)
	}
	return b
}

// fit connects the lock and the residual current device of a connector.
func (b *bench) fit(o rpi.Outlet) {
	for pin, locks := range map[string]bool{o.Lock.Pin: true, o.Lock.Unlock: false} {
		if o.Lock.Feedback == "" {
			break
		}
		b.chip.OnWrite(pin, func(high bool) {
			if !high || b.jam.Load() {
				return
			}
			time.AfterFunc(o.Lock.Move/2, func() {
				b.bolt.Store(locks)
				b.chip.Drive(o.Lock.Feedback, !locks)
			})
		})
	}
	if o.GroundFault.Reset != "" {
		b.chip.OnWrite(o.GroundFault.Test, func(high bool) {
			if high {
				time.AfterFunc(contactDelay, func() { b.chip.Drive(o.Protection.GroundFault, true) })
			}
		})
		b.chip.OnWrite(o.GroundFault.Reset, func(high bool) {
			if high && !b.cause.Load() {
				b.chip.Drive(o.Protection.GroundFault, false)
			}
		})
	}
}

// trigger gives the coils power until the monoflop drops.
func (b *bench) trigger() {
	b.supply.Store(true)
	if b.release == nil {
		b.release = time.AfterFunc(b.cfg.Keeper.Timeout, func() {
			b.supply.Store(false)
			for i := range b.cfg.Connectors {
				b.settle(i)
			}
		})
		return
	}
	if !b.release.Reset(b.cfg.Keeper.Timeout) {
		for i := range b.cfg.Connectors { // power is back
			b.settle(i)
		}
	}
}

// energised reports whether the coil of a contactor has power.
func (b *bench) energised(i int) bool {
	o := b.cfg.Connectors[i]
	return b.supply.Load() && b.chip.Level(o.Relay) != o.RelayActiveLow
}

// settle moves the contact as its coil demands, after contactDelay.
func (b *bench) settle(i int) {
	time.AfterFunc(contactDelay, func() { b.show(i, b.energised(i)) })
}

// pulse makes ten S0 pulses of 40 ms a second while the vehicle draws power.
func (b *bench) pulse(i int, high bool) {
	o := b.cfg.Connectors[i]
	flows := b.energised(i) && !b.chip.Level(o.Plug)
	b.chip.Drive(o.Meter.Pin, high || !flows)
	time.AfterFunc(map[bool]time.Duration{true: 60 * time.Millisecond, false: 40 * time.Millisecond}[high], func() { b.pulse(i, !high) })
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
		Closed: func(n charge.ConnectorID) bool { return b.energised(int(n - 1)) },
		Settle: hal.MaxContactorDelay,
	}
	if b.cfg.Connectors[0].Feedback != "" {
		h.Weld = func(n charge.ConnectorID) { hold(n, 1) }
		h.StickOpen = func(n charge.ConnectorID) { hold(n, 2) }
	}
	first := b.cfg.Connectors[0]
	if first.Lock.Kind != "" {
		h.Locked = func(charge.ConnectorID) bool { return b.bolt.Load() }
		h.Jam = func(_ charge.ConnectorID, on bool) { b.jam.Store(on) }
	}
	if first.GroundFault.Test != "" {
		h.Trip = func(_ charge.ConnectorID, on bool) {
			b.cause.Store(on)
			if on {
				b.chip.Drive(first.Protection.GroundFault, true)
			}
		}
	}
	if first.Button != "" {
		h.PressButton = func(charge.ConnectorID) {
			b.chip.Drive(first.Button, false)
			time.AfterFunc(50*time.Millisecond, func() { b.chip.Drive(first.Button, true) })
		}
	}
	if b.cfg.EStop != "" {
		h.Stop = func(pressed bool) { b.chip.Drive(b.cfg.EStop, pressed) }
	}
	return h
}

func TestConformance(t *testing.T) {
	bare := wiring()
	bare.EStop, bare.Connectors = "", []rpi.Outlet{{Relay: "GPIO6", RelayActiveLow: true, Plug: "GPIO22", Request: "GPIO23"}}
	guarded := wiring()
	guarded.Keeper.Pin = "GPIO26"
	guarded.Connectors = guarded.Connectors[:1]
	guarded.Connectors[0].Protection.GroundFault = "GPIO6"
	guarded.Connectors[0].GroundFault = rpi.GroundFault{Test: "GPIO20", Reset: "GPIO21"}
	guarded.Connectors[0].Lock = rpi.Lock{Kind: rpi.LockMotor, Pin: "GPIO18", Unlock: "GPIO19", Move: 400 * time.Millisecond, Feedback: "GPIO7"}
	guarded.Connectors[0].Button = "GPIO8"
	guarded.Connectors[0].Meter = rpi.Meter{Kind: rpi.MeterS0, Pin: "GPIO13", PulsesPerKWh: 1_000, SaveEvery: 1}
	for name, cfg := range map[string]rpi.Config{"full": wiring(), "bare and active low": bare, "all that pins can do": guarded} {
		t.Run(name, func(t *testing.T) {
			haltest.Run(t, func(t *testing.T) (hal.Board, haltest.Controls) {
				t.Helper()
				cfg := cfg
				cfg.Connectors = slices.Clone(cfg.Connectors)
				if m := &cfg.Connectors[0].Meter; m.Kind == rpi.MeterS0 {
					m.Register = filepath.Join(t.TempDir(), "register")
				}
				b := newBench(t, cfg)
				return mustNew(t, cfg, computer(b.chip)), b.controls()
			})
		})
	}
}

// mustNew makes a board.
func mustNew(t *testing.T, cfg rpi.Config, c rpi.Computer) *rpi.Board {
	t.Helper()
	board, err := rpi.New(cfg, c)
	if err != nil {
		t.Fatal(err)
	}
	return board
}

func TestRelayIsOffFromTheRequestToTheRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, wiring())
		board, err := rpi.New(b.cfg, computer(b.chip))
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
		b := newBench(t, wiring())
		board, err := rpi.New(b.cfg, computer(b.chip))
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
				b := newBench(t, wiring())
				breakIt(b.chip)
				before := b.chip.InUse()
				if board, err := rpi.New(b.cfg, computer(b.chip)); err == nil || board != nil {
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
		b := newBench(t, wiring())
		board, err := rpi.New(b.cfg, computer(b.chip))
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

// TestHowLongAContactMustLast: read each 10 ms, as the control loop does, a change of
// less than 20 ms is never an event, one of more than 30 ms always is, at every phase.
func TestHowLongAContactMustLast(t *testing.T) {
	for lasts, want := range map[time.Duration]charge.PilotState{20*time.Millisecond - 1: charge.PilotA, 30*time.Millisecond + 1: charge.PilotB} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, wiring())
			board := mustNew(t, b.cfg, computer(b.chip))
			defer func() { _ = board.Close() }()
			c, _ := board.Connector(1)
			for phase := range 40 {
				time.AfterFunc(100*time.Millisecond+time.Duration(phase)*250*time.Microsecond, func() {
					b.chip.Drive("GPIO22", false)
					time.AfterFunc(lasts, func() { b.chip.Drive("GPIO22", true) })
				})
				got := charge.PilotA
				for range 20 {
					time.Sleep(10 * time.Millisecond)
					s, _, err := c.Pilot().State()
					if err != nil {
						t.Fatal(err)
					}
					if s != charge.PilotA {
						got = s
					}
				}
				if got != want {
					t.Errorf("%v at phase %d: got %v, want %v", lasts, phase, got, want)
				}
			}
		})
	}
}

func TestALevelAfterAPauseIsNotTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, wiring())
		board, err := rpi.New(b.cfg, computer(b.chip))
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

func TestOpenWithoutGPIOIsAnError(t *testing.T) {
	need.That(t, len(gpioioctl.Chips) == 0, "a machine without GPIO chips, whose pins may be connected", "run it on a laptop or a server")
	board, err := rpi.Open(wiring())
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
		b := newBench(t, wiring())
		board, err := rpi.New(b.cfg, computer(b.chip))
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
