package rpi_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/hal/rpi"
	"github.com/carga-ev/carga/internal/config"
)

// A sample that lists lines of config.txt lists those that its wiring needs.
func TestBootLinesOfTheSamples(t *testing.T) {
	want := map[string][]string{
		"bench-contacts.yaml": {"dtparam=strict_gpiod", "enable_uart=1"},
		"pzem-socket.yaml":    {"dtparam=strict_gpiod"},
		"hat-pwm.yaml":        nil, // in its comments
	}
	for name, lines := range want {
		file := filepath.Join("../../configs/boards", name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			comment, _, _ := strings.Cut(strings.TrimPrefix(line, "#"), "#")
			if comment = strings.TrimSpace(comment); strings.HasPrefix(comment, "dt") {
				lines = append(lines, comment)
			}
		}
		cfg := rpi.DefaultConfig()
		if err := config.Load(&cfg, config.Options{Path: file}); err != nil {
			t.Fatal(err)
		}
		got := cfg.BootLines()
		for _, line := range lines {
			if !slices.Contains(got, line) {
				t.Errorf("%s: got %q, want %s in it", name, got, line)
			}
		}
		for _, line := range got {
			if !slices.Contains(lines, line) && line != "enable_uart=1" {
				t.Errorf("%s: got %s, which the sample does not list", name, line)
			}
		}
	}
}

func TestBootLinesOfTwoPilotsAndOtherBuses(t *testing.T) {
	cfg := rpi.Config{
		RTC: "/dev/rtc0", Reader: rpi.Reader{Kind: rpi.ReaderMFRC522, Bus: "spi1.0"},
		Connectors: []rpi.Outlet{
			{Pilot: rpi.Pilot{Kind: rpi.PilotPWM, Pin: "GPIO13"}},
			{Pilot: rpi.Pilot{Kind: rpi.PilotPWM, Pin: "GPIO12"}},
		},
	}
	want := []string{
		"dtparam=strict_gpiod", "dtparam=audio=off", "dtoverlay=pwm-2chan,pin=12,func=4,pin2=13,func2=4",
		"dtoverlay=spi1-3cs", "# /dev/rtc0: add the overlay of your clock, such as dtoverlay=i2c-rtc,ds3231",
	}
	if got := cfg.BootLines(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
