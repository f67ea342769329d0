package pwm_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi/pwm"
	"github.com/carga-ev/carga/internal/charge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// frontEnd is the amplifier, the divider and a vehicle: a PWM goes in, conversions
// come out.
type frontEnd struct {
	mu      sync.Mutex // guards all
	duty    charge.Permille
	closed  bool
	vehicle charge.MilliVolts // the level that it sets
	diode   bool
	broken  error
	phase   int
	history []charge.Permille
}

func newFrontEnd() *frontEnd { return &frontEnd{vehicle: 12_000, diode: true} }

func (f *frontEnd) Set(d charge.Permille) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.duty = d
	f.history = append(f.history, d)
	return nil
}

func (f *frontEnd) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// Convert is of channel 2; the divider shows -15 V as 0 and +15 V as 1023.
func (f *frontEnd) Convert(channel int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return 0, f.broken
	}
	if channel != 2 {
		return 0, nil
	}
	f.phase = (f.phase + 97) % 1000 // conversions and periods are not in step
	level := f.vehicle
	if charge.Permille(f.phase) >= f.duty {
		if level = -12_000; !f.diode {
			level = -f.vehicle
		}
	}
	return int((level + 15_000) * 1023 / 30_000), nil
}

func (f *frontEnd) plug(level charge.MilliVolts, diode bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.vehicle, f.diode = level, diode
}

func (f *frontEnd) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = err
}

func (f *frontEnd) offered() charge.Permille {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.duty
}

func config() pwm.PilotConfig {
	return pwm.PilotConfig{Channel: 2, AtZero: -15_000, AtFull: 15_000}
}

// newPilot makes a pilot, which measures until the test ends.
func newPilot(t *testing.T, f *frontEnd) *pwm.Pilot {
	t.Helper()
	start := time.Now()
	p, err := pwm.NewPilot(config(), f, f, func() time.Duration { return time.Since(start) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

// wantState checks the state that is measured a while after a change.
func wantState(t *testing.T, p *pwm.Pilot, after time.Duration, want charge.PilotState) {
	t.Helper()
	time.Sleep(after)
	if got, _, err := p.State(); err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// limit is the time within which a change must be measured: the contactor opens
// 100 ms after it.
const limit = 50 * time.Millisecond

func TestPilotFollowsTheVehicle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFrontEnd()
		p := newPilot(t, f)
		if got, _, err := p.State(); !errors.Is(err, hal.ErrUnreadable) || got != charge.PilotUnknown {
			t.Errorf("before the first burst: got %v, %v", got, err)
		}
		wantState(t, p, limit, charge.PilotA)
		f.plug(9_000, true)
		wantState(t, p, limit, charge.PilotB)
		if err := p.SetCurrent(16_000); err != nil {
			t.Fatal(err)
		}
		if err := p.SetAvailable(true); err != nil {
			t.Fatal(err)
		}
		wantState(t, p, limit, charge.PilotB)
		f.plug(6_000, true)
		wantState(t, p, limit, charge.PilotC)
		f.plug(3_000, true)
		wantState(t, p, limit, charge.PilotD)
		f.plug(6_000, true)
		wantState(t, p, limit, charge.PilotC)
		f.plug(12_000, true)
		wantState(t, p, limit, charge.PilotA)
		if err := p.SetAvailable(false); err != nil {
			t.Fatal(err)
		}
		f.plug(6_000, true)
		wantState(t, p, limit, charge.PilotC) // without an offer, as a vehicle may
	})
}

func TestAMissingDiodeIsStateE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFrontEnd()
		p := newPilot(t, f)
		_ = p.SetCurrent(16_000)
		_ = p.SetAvailable(true)
		f.plug(6_000, true)
		wantState(t, p, limit, charge.PilotC)
		f.plug(6_000, false)
		wantState(t, p, limit, charge.PilotE)
		f.plug(6_000, true)
		wantState(t, p, limit, charge.PilotC)
	})
}

func TestTheOfferIsTheCurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFrontEnd()
		p := newPilot(t, f)
		if f.offered() != 1000 {
			t.Errorf("at the start: %d permille; want +12 V without pauses", f.offered())
		}
		for _, step := range []struct {
			do   func() error
			want charge.Permille
		}{
			{func() error { return p.SetAvailable(true) }, 1000}, // no current yet
			{func() error { return p.SetCurrent(16_000) }, 266},
			{func() error { return p.SetCurrent(32_000) }, 533},
			{func() error { return p.SetCurrent(5_000) }, 1000}, // below the least offer
			{func() error { return p.SetCurrent(6_000) }, 100},
			{func() error { return p.SetAvailable(false) }, 1000},
			{func() error { return p.SetCurrent(20_000) }, 1000}, // not offered
			{func() error { return p.SetAvailable(true) }, 333},
			{p.Close, 1000},
		} {
			if err := step.do(); err != nil || f.offered() != step.want {
				t.Errorf("got %d permille, %v; want %d", f.offered(), err, step.want)
			}
		}
	})
}

func TestAChangeOfTheOfferIsNoDefect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFrontEnd()
		p := newPilot(t, f)
		_ = p.SetCurrent(16_000)
		f.plug(9_000, true)
		wantState(t, p, limit, charge.PilotB)
		for i := range 100 {
			if err := p.SetAvailable(i%2 == 0); err != nil {
				t.Fatal(err)
			}
			wantState(t, p, 7*time.Millisecond, charge.PilotB)
		}
	})
}

func TestWhatCannotBeMeasuredIsUnsafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFrontEnd()
		p := newPilot(t, f)
		wantUnreadable := func(when, text string) {
			t.Helper()
			if got, _, err := p.State(); !errors.Is(err, hal.ErrUnreadable) || got != charge.PilotUnknown || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: got %v, %v; want unreadable with %q", when, got, err, text)
			}
		}
		wantState(t, p, limit, charge.PilotA)
		f.fail(hal.ErrUnreadable)
		time.Sleep(11 * time.Millisecond)
		wantUnreadable("the bus fails", "unreadable")
		f.fail(nil)
		time.Sleep(11 * time.Millisecond)
		wantUnreadable("one good burst after it", "unreadable")
		wantState(t, p, limit, charge.PilotA)

		_ = p.SetCurrent(16_000)
		_ = p.SetAvailable(true)
		f.mu.Lock()
		f.duty = 1000 // the PWM does not reach the pilot
		f.mu.Unlock()
		time.Sleep(limit)
		wantUnreadable("no PWM", "-12 V")
		_ = p.SetAvailable(false)
		wantState(t, p, limit, charge.PilotA)

		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if got, _, err := p.State(); !errors.Is(err, hal.ErrClosed) || got != charge.PilotUnknown {
			t.Errorf("after Close: got %v, %v", got, err)
		}
		time.Sleep(limit)
		if _, _, err := p.State(); !errors.Is(err, hal.ErrClosed) || !f.closed {
			t.Errorf("a while after Close: got %v, output closed %v", err, f.closed)
		}
		if err := p.SetAvailable(true); !errors.Is(err, hal.ErrClosed) {
			t.Errorf("an offer after Close: got %v", err)
		}
		if err := errors.Join(p.SetAvailable(false), p.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestAPilotThatIsNotMeasuredIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFrontEnd()
		start := time.Now()
		p, err := pwm.NewPilot(config(), f, f, func() time.Duration { return time.Since(start) })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { p.Run(ctx) })
		wantState(t, p, limit, charge.PilotA)
		_, first, _ := p.State()
		wantState(t, p, limit, charge.PilotA)
		if _, later, _ := p.State(); later.Seq <= first.Seq || later.Mono <= first.Mono {
			t.Errorf("stamps %+v, then %+v; want newer ones", first, later)
		}
		cancel()
		run.Wait()
		time.Sleep(hal.MaxSafetyAge + time.Millisecond)
		if got, _, err := p.State(); !errors.Is(err, hal.ErrUnreadable) || got != charge.PilotUnknown {
			t.Errorf("got %v, %v; want unreadable, since it is stale", got, err)
		}
	})
}

func TestWhatIsWrongWithAPilotIsNamed(t *testing.T) {
	f := newFrontEnd()
	_, err := pwm.NewPilot(pwm.PilotConfig{Channel: 8, AtZero: -10_000, AtFull: 15_000}, f, f, nil)
	for _, want := range []string{"channel: 8", "at_zero, at_full: -10000 and 15000 mV"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want an error with %q", err, want)
		}
	}
	if len(f.history) != 0 {
		t.Error("a pilot that is refused has written its output")
	}
	for _, cfg := range []pwm.ProximityConfig{{Channel: -1, PullUp: 1_000}, {PullUp: 99}} {
		if _, err := pwm.NewProximity(cfg, f, nil); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

// socket is the proximity contact of a test.
type socket struct {
	ohms, swing int
	n           int
	broken      error
}

func (s *socket) Convert(channel int) (int, error) {
	s.n++
	if s.ohms < 0 {
		return 1023, s.broken
	}
	return 1023*s.ohms/(s.ohms+1_000) + s.swing*(s.n%2), s.broken
}

func TestProximityReadsTheCable(t *testing.T) {
	for ohms, want := range map[int]charge.MilliAmps{-1: 0, 100: 63_000, 220: 32_000, 680: 20_000, 1_500: 13_000} {
		p, err := pwm.NewProximity(pwm.ProximityConfig{Channel: 3, PullUp: 1_000}, &socket{ohms: ohms}, func() time.Duration { return 7 })
		if err != nil {
			t.Fatal(err)
		}
		if got, stamp, err := p.CableLimit(); err != nil || got != want || stamp != (hal.Stamp{Mono: 7, Seq: 1}) {
			t.Errorf("%d ohms: got %d mA, %+v, %v; want %d", ohms, got, stamp, err, want)
		}
	}
	broken := errors.New("input/output error")
	for name, s := range map[string]*socket{
		"a short": {ohms: 10}, "a plug that moves": {ohms: 680, swing: 50}, "the bus": {ohms: 680, broken: broken},
	} {
		p, _ := pwm.NewProximity(pwm.ProximityConfig{PullUp: 1_000}, s, func() time.Duration { return 7 })
		if got, _, err := p.CableLimit(); err == nil || got != 0 {
			t.Errorf("%s: got %d mA, %v; want an error", name, got, err)
		}
	}
}
