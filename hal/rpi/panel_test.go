package rpi_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi"
)

// panelled is a board with lights and buttons: all on connector 1, a green lamp
// alone on connector 2.
func panelled(t *testing.T) (*bench, *rpi.Board, hal.FrontPanel) {
	t.Helper()
	cfg := wiring()
	cfg.Connectors[0].Lights = rpi.Lights{Red: "GPIO2", Green: "GPIO3", Blue: "GPIO4"}
	cfg.Connectors[0].Button = "GPIO6"
	cfg.Connectors[1].Lights.Green = "GPIO7"
	cfg.Connectors[1].Button = "GPIO8"
	b := newBench(t, cfg)
	board := mustNew(t, cfg, computer(b.chip))
	p, err := board.Panel()
	if err != nil {
		t.Fatal(err)
	}
	return b, board, p
}

func TestLightsShowAndBlink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, board, p := panelled(t)
		// seen is which lamps were on in each eighth of two seconds.
		seen := func() (lit string) {
			time.Sleep(10 * time.Millisecond)
			for range 8 {
				for i, pin := range []string{"GPIO2", "GPIO3", "GPIO4"} {
					if b.chip.Level(pin) {
						lit += "rgb"[i : i+1]
					}
				}
				lit += "."
				time.Sleep(250 * time.Millisecond)
			}
			return lit + lit // the phase is free
		}
		time.Sleep(time.Second)
		for light, want := range map[hal.Light]string{
			hal.LightOff:      "........",
			hal.LightReady:    "g.g.g.g.g.g.g.g.",
			hal.LightWaiting:  "b.b...b.b...",
			hal.LightCharging: "b.b.b.b.b.b.b.b.",
			hal.LightRefused:  "r..r..r..r..",
			hal.LightFault:    "r.r.r.r.r.r.r.r.",
			hal.LightIdentify: "rgb..rgb..rgb..rgb..",
		} {
			if err := p.Show(1, light); err != nil {
				t.Error(err)
			}
			if got := seen(); !strings.Contains(got, want) {
				t.Errorf("light %d: seen %s; want %s", light, got, want)
			}
		}
		// A connector shows what it has lamps for.
		if err := p.Show(2, hal.LightFault); err != nil || b.chip.Level("GPIO7") {
			t.Errorf("a fault on a green lamp: %v", err)
		}
		if err := p.Show(2, hal.LightReady); err != nil || !b.chip.Level("GPIO7") {
			t.Errorf("ready on a green lamp: %v", err)
		}
		if err := p.Show(3, hal.LightReady); err == nil {
			t.Error("a connector that is not there shows a light")
		}
		broken := errors.New("input/output error")
		b.chip.FailWrites("GPIO3", broken)
		_ = p.Show(1, hal.LightOff)
		if err := p.Show(1, hal.LightReady); !errors.Is(err, broken) {
			t.Errorf("a lamp that cannot be written: got %v", err)
		}
		b.chip.FailWrites("GPIO3", nil)
		if err := board.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAPressIsOfItsMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, board, p := panelled(t)
		b.chip.Drive("GPIO8", true)
		press := func(pin string) {
			for range 3 { // it bounces
				b.chip.Drive(pin, false)
				time.Sleep(4 * time.Millisecond)
				b.chip.Drive(pin, true)
				time.Sleep(4 * time.Millisecond)
			}
			b.chip.Drive(pin, false)
			time.Sleep(50 * time.Millisecond)
			b.chip.Drive(pin, true)
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		press("GPIO8")
		select {
		case got := <-p.Presses():
			if got.Connector != 2 || board.Mono()-got.Mono > 200*time.Millisecond {
				t.Errorf("got %+v at %v", got, board.Mono())
			}
		default:
			t.Error("a press was not reported")
		}
		select {
		case got := <-p.Presses():
			t.Errorf("one press was reported twice: %+v", got)
		case <-time.After(time.Second):
		}
		press("GPIO6")
		time.Sleep(2 * time.Second)
		select {
		case got := <-p.Presses():
			t.Errorf("an old press was reported: %+v", got)
		default:
		}
		if err := errors.Join(board.Close(), board.Close()); err != nil {
			t.Error(err)
		}
		if _, open := <-p.Presses(); open {
			t.Error("the channel is open after Close")
		}
	})
}

// TestAConnectorWithoutLampsHasNoLights: a person would look for what does not blink.
func TestAConnectorWithoutLampsHasNoLights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := wiring()
		cfg.Connectors[0].Button = "GPIO6"
		cfg.Connectors[1].Lights.Green = "GPIO7"
		board := mustNew(t, cfg, computer(newBench(t, cfg).chip))
		defer func() { _ = board.Close() }()
		p, err := board.Panel()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Show(1, hal.LightIdentify); !errors.Is(err, hal.ErrNotFitted) {
			t.Errorf("a button alone: got %v, want not fitted", err)
		}
		if err := p.Show(2, hal.LightIdentify); err != nil {
			t.Errorf("a green lamp alone: got %v", err)
		}
	})
}

func TestAButtonThatIsHeldAtTheStartIsNoPress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := wiring()
		cfg.Connectors[0].Button = "GPIO6"
		b := newBench(t, cfg)
		b.chip.Drive("GPIO6", false)
		board := mustNew(t, cfg, computer(b.chip))
		defer func() { _ = board.Close() }()
		p, err := board.Panel()
		if err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-p.Presses():
			t.Errorf("got %+v", got)
		case <-time.After(time.Second):
		}
	})
}

// TestAHeldButton: it is reported once when it is pressed, and once when it has been
// held.
func TestAHeldButton(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, board, p := panelled(t)
		defer func() { _ = board.Close() }()
		b.chip.Drive("GPIO8", true)
		time.Sleep(100 * time.Millisecond)
		for _, held := range []time.Duration{hal.HoldLasts - 100*time.Millisecond, 3 * hal.HoldLasts} {
			from := board.Mono()
			b.chip.Drive("GPIO8", false)
			var got []hal.Press
			for end := time.After(held); end != nil; {
				select {
				case press := <-p.Presses():
					got = append(got, press)
				case <-end:
					end = nil
				}
			}
			b.chip.Drive("GPIO8", true)
			time.Sleep(100 * time.Millisecond)
			want := 1
			if held > hal.HoldLasts {
				want = 2
			}
			if len(got) != want || got[0].Held || want == 2 && (!got[1].Held || got[1].Connector != 2 || got[1].Mono-from < hal.HoldLasts) {
				t.Errorf("held for %v: got %+v", held, got)
			}
		}
	})
}
