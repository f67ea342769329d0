package rpi_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi"
)

// dog is a watchdog of the kernel: it remembers what was written.
type dog struct {
	opened, closed int
	written        strings.Builder
	broken         error
}

func (d *dog) Write(p []byte) (int, error) {
	if d.broken != nil {
		return 0, d.broken
	}
	return d.written.Write(p)
}

func (d *dog) Close() error { d.closed++; return nil }

// newDog is a board with a watchdog; nowayout is what the kernel's file holds.
func newDog(t *testing.T, nowayout string) (*dog, hal.Watchdog) {
	t.Helper()
	cfg := wiring()
	cfg.Watchdog.Device = "/dev/watchdog"
	b := newBench(t, cfg)
	c, d := computer(b.chip), &dog{}
	c.Sys = t.TempDir()
	if nowayout != "" {
		dir := filepath.Join(c.Sys, "class/watchdog/watchdog0")
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "nowayout"), []byte(nowayout), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	c.Watchdog = func(device string, timeout time.Duration) (rpi.Countdown, error) {
		if device != "/dev/watchdog" || timeout != 14*time.Second {
			t.Errorf("opened %s with %v", device, timeout)
		}
		d.opened++
		return d, d.broken
	}
	board := mustNew(t, cfg, c)
	t.Cleanup(func() {
		if err := board.Close(); err != nil {
			t.Error(err)
		}
	})
	w, err := board.Watchdog()
	if err != nil {
		t.Fatal(err)
	}
	return d, w
}

func TestAWatchdogIsArmedByItsFirstKick(t *testing.T) {
	d, w := newDog(t, "0\n")
	if d.opened > 0 {
		t.Error("armed before the first kick")
	}
	for range 3 {
		if err := w.Kick(); err != nil {
			t.Error(err)
		}
	}
	if d.opened != 1 || d.written.String() != "kkk" || w.Timeout() != 14*time.Second {
		t.Errorf("after three kicks: opened %d times, written %q, timeout %v", d.opened, d.written.String(), w.Timeout())
	}
	if err := w.Disarm(); err != nil {
		t.Error(err)
	}
	if d.closed != 1 || d.written.String() != "kkkV" {
		t.Errorf("disarmed: closed %d times, written %q; want the magic close", d.closed, d.written.String())
	}
	if err := errors.Join(w.Disarm(), w.Disarm()); err != nil || d.closed != 1 {
		t.Errorf("disarmed again: %v, closed %d times", err, d.closed)
	}
	if err := w.Kick(); !errors.Is(err, hal.ErrClosed) || d.opened != 1 {
		t.Errorf("a kick armed it again: %v", err)
	}
}

func TestAWatchdogThatWillResetTheComputerReportsIt(t *testing.T) {
	d, w := newDog(t, "1\n")
	if err := w.Kick(); err != nil {
		t.Fatal(err)
	}
	if err := w.Disarm(); err == nil || !strings.Contains(err.Error(), "nowayout") || d.closed != 1 {
		t.Errorf("got %v; want an error that names nowayout", err)
	}
	d, w = newDog(t, "")
	d.broken = errors.New("input/output error")
	if err := w.Kick(); !errors.Is(err, d.broken) || !strings.Contains(err.Error(), "/dev/watchdog") {
		t.Errorf("a device that cannot be opened: got %v", err)
	}
	d.broken = nil
	if err := w.Kick(); err != nil {
		t.Errorf("once it can be opened: got %v", err)
	}
	d.broken = errors.New("input/output error")
	if err := w.Kick(); !errors.Is(err, d.broken) {
		t.Errorf("a kick that is not written: got %v", err)
	}
	if err := w.Disarm(); !errors.Is(err, d.broken) || !strings.Contains(err.Error(), "will be reset") {
		t.Errorf("disarm that is not written: got %v", err)
	}
}
