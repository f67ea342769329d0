package pwm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"periph.io/x/conn/v3/conntest"
	"periph.io/x/conn/v3/spi/spitest"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// class is a folder as the kernel shows its PWM chips, each by its device; their
// channel 1 is exported.
func class(t *testing.T, devices ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, device := range devices {
		chip := filepath.Join(dir, "pwmchip"+string(rune('0'+i)))
		if err := errors.Join(
			os.MkdirAll(filepath.Join(chip, "pwm1"), 0o700),
			os.Symlink("../../devices/platform/soc/"+device, filepath.Join(chip, "device")),
			os.WriteFile(filepath.Join(chip, "export"), nil, 0o600),
			os.WriteFile(filepath.Join(chip, "pwm1", "duty_cycle"), []byte("77"), 0o600),
			os.WriteFile(filepath.Join(chip, "pwm1", "period"), []byte("99"), 0o600),
			os.WriteFile(filepath.Join(chip, "pwm1", "enable"), []byte("0"), 0o600),
		); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != value {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, value)
		}
	}
}

func TestOutputWritesTheKernelsFiles(t *testing.T) {
	dir := class(t, "fe20c800.pwm", "fe20c000.pwm")
	o, err := openOutput(dir, OutputConfig{Device: "fe20c000.pwm", Channel: 1})
	if err != nil {
		t.Fatal(err)
	}
	chip := filepath.Join(dir, "pwmchip1")
	wantFiles(t, chip, map[string]string{"export": "1", "pwm1/period": "1000000", "pwm1/duty_cycle": "1000000", "pwm1/enable": "1"})
	wantFiles(t, filepath.Join(dir, "pwmchip0"), map[string]string{"export": "", "pwm1/enable": "0"})
	for duty, want := range map[charge.Permille]string{0: "0", 100: "100000", 533: "533000", 1000: "1000000"} {
		if err := o.Set(duty); err != nil {
			t.Error(err)
		}
		wantFiles(t, chip, map[string]string{"pwm1/duty_cycle": want})
	}
	if err := errors.Join(o.Set(266), o.Close(), o.Close()); err != nil {
		t.Error(err)
	}
	wantFiles(t, chip, map[string]string{"pwm1/duty_cycle": "1000000", "pwm1/enable": "1"})
	if err := o.Set(266); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}
	for _, duty := range []charge.Permille{-1, 1001} {
		if err := o.Set(duty); err == nil {
			t.Errorf("a duty of %d is accepted", duty)
		}
	}
}

func TestAnInvertedOutputOffersNothingAtLow(t *testing.T) {
	dir := class(t, "1f00098000.pwm")
	o, err := openOutput(dir, OutputConfig{Channel: 1, Inverted: true})
	if err != nil {
		t.Fatal(err)
	}
	duty := func(want string) {
		t.Helper()
		wantFiles(t, filepath.Join(dir, "pwmchip0"), map[string]string{"pwm1/duty_cycle": want})
	}
	duty("0")
	if err := o.Set(266); err != nil {
		t.Error(err)
	}
	duty("734000")
}

func TestAChipThatIsNotThereIsNamed(t *testing.T) {
	for want, tc := range map[string]struct {
		class  string
		device string
	}{
		"add dtoverlay=pwm": {class(t), ""},
		`0 PWM chips are "1f.pwm"; name one of a.pwm, b.pwm`: {class(t, "a.pwm", "b.pwm"), "1f.pwm"},
		`2 PWM chips are ""; name one of a.pwm, b.pwm`:       {class(t, "a.pwm", "b.pwm"), ""},
	} {
		if _, err := openOutput(tc.class, OutputConfig{Device: tc.device, Channel: 1}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want an error with %q", err, want)
		}
	}
}

func TestConverterSpeaksAsTheDataSheet(t *testing.T) {
	port := &spitest.Playback{Playback: conntest.Playback{DontPanic: true, Ops: []conntest.IO{
		{W: []byte{0x01, 0x80, 0x00}, R: []byte{0xFF, 0xF8, 0x00}},
		{W: []byte{0x01, 0x90, 0x00}, R: []byte{0x00, 0x03, 0xFF}},
		{W: []byte{0x01, 0xB0, 0x00}, R: []byte{0x00, 0x02, 0x01}},
		{W: []byte{0x01, 0x80, 0x00}, R: []byte{0xFF, 0xFF, 0xFF}},
	}}}
	a, err := NewADC(port)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ channel, want int }{{0, 0}, {1, 1023}, {3, 513}} {
		if got, err := a.Convert(tc.channel); err != nil || got != tc.want {
			t.Errorf("channel %d: got %d, %v; want %d", tc.channel, got, err, tc.want)
		}
	}
	if _, err := a.Convert(0); !errors.Is(err, hal.ErrUnreadable) || !strings.Contains(err.Error(), "wiring") {
		t.Errorf("no chip: got %v; want unreadable", err)
	}
	if err := port.Close(); err != nil {
		t.Error(err)
	}
}
