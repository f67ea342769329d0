package rpi_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/hal/rpi"
)

// root is a folder with these files.
func root(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestStrictGPIODIsWhatTheDriverHas(t *testing.T) {
	const (
		bcm    = "sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs"
		rp1    = "sys/module/pinctrl_rp1/parameters/persist_gpio_outputs"
		model  = "proc/device-tree/compatible"
		config = "boot/firmware/config.txt"
		pi5    = "raspberrypi,5-model-b\x00brcm,bcm2712\x00"
	)
	for name, row := range map[string]struct {
		files map[string]string
		want  bool
		err   string
	}{
		"kept":                     {files: map[string]string{bcm: "Y\n"}},
		"released":                 {files: map[string]string{bcm: "N\n"}, want: true},
		"the driver, not the file": {files: map[string]string{bcm: "Y\n", config: "dtparam=strict_gpiod\n"}},
		"Pi 5 has its own driver":  {files: map[string]string{model: pi5, bcm: "Y\n", rp1: "N\n"}, want: true},
		"Pi 5 keeps":               {files: map[string]string{model: pi5, bcm: "N\n", rp1: "Y\n"}},
		"an old kernel":            {files: map[string]string{config: "# dtparam=strict_gpiod\ndtparam=audio=on\n"}},
		"configured":               {files: map[string]string{config: "dtparam=i2c_arm=on,strict_gpiod # for Carga\n"}, want: true},
		"configured, old place":    {files: map[string]string{"boot/config.txt": "dtparam=strict_gpiod=on"}, want: true},
		"switched off below":       {files: map[string]string{config: "dtparam=strict_gpiod\ndtparam=strict_gpiod=off\n"}},
		"for another model":        {files: map[string]string{config: "[pi3]\ndtparam=strict_gpiod\n[all]\ndtparam=spi=on\n"}},
		"for all again":            {files: map[string]string{config: "[pi3]\ndtparam=spi=on\n[all]\ndtparam=strict_gpiod\n"}, want: true},
		"no Raspberry Pi":          {err: "config.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := rpi.StrictGPIODAt(root(t, row.files))
			if got != row.want || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Errorf("got %v, %v; want %v, %q", got, err, row.want, row.err)
			}
		})
	}
}

func TestAudioAndAPWMPilotExcludeEachOther(t *testing.T) {
	with := rpi.Config{Connectors: []rpi.Outlet{{Pilot: rpi.Pilot{Kind: rpi.PilotPWM, Pin: "GPIO18"}}}}
	audio := root(t, map[string]string{"boot/firmware/config.txt": "dtparam=audio=on\n"})
	if err := rpi.CheckAudio(audio, with); err == nil || !strings.Contains(err.Error(), "set dtparam=audio=off in "+audio) {
		t.Errorf("got %v; want the line to change", err)
	}
	for name, err := range map[string]error{
		"no PWM":    rpi.CheckAudio(audio, wiring()),
		"audio off": rpi.CheckAudio(root(t, map[string]string{"boot/firmware/config.txt": "dtparam=audio=off\n"}), with),
		"no Pi":     rpi.CheckAudio(root(t, nil), with),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
