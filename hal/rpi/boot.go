package rpi

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// StrictGPIOD reports whether the kernel makes a released output an input again.
// Without it the relay of a process that was killed stays as it was, so the agent
// warns. It asks the driver of the pins, and the boot configuration where the
// driver has no such setting; an error means that neither is there, as on a
// computer that is no Raspberry Pi.
func StrictGPIOD() (bool, error) { return strictGPIOD("/") }

// strictGPIOD is StrictGPIOD below a root folder.
func strictGPIOD(root string) (bool, error) {
	driver := "pinctrl_bcm2835"
	if model, err := os.ReadFile(filepath.Join(root, "proc/device-tree/compatible")); err == nil && bytes.Contains(model, []byte("bcm2712")) {
		driver = "pinctrl_rp1" // Raspberry Pi 5
	}
	persist, err := os.ReadFile(filepath.Join(root, "sys/module", driver, "parameters/persist_gpio_outputs"))
	switch value := strings.TrimSpace(string(persist)); {
	case err == nil && value == "N":
		return true, nil
	case err == nil && value == "Y":
		return false, nil
	}
	b, bootErr := readBoot(root)
	if bootErr != nil {
		return false, fmt.Errorf("strict_gpiod: %w", errors.Join(err, bootErr))
	}
	return b.on("strict_gpiod"), nil
}

// boot is the boot configuration of a Raspberry Pi.
type boot struct {
	file   string
	params []string // of its dtparam lines, in order
}

// readBoot reads config.txt, where it is today or was before Bookworm. Lines
// under a filter other than [all] do not count: whether it applies to this
// computer is not known here.
func readBoot(root string) (boot, error) {
	var errs error
	for _, name := range []string{"boot/firmware/config.txt", "boot/config.txt"} {
		b := boot{file: filepath.Join(root, name)}
		text, err := os.ReadFile(b.file)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		section := "[all]"
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "[") {
				section = line
			}
			if params, ok := strings.CutPrefix(line, "dtparam="); ok && section == "[all]" {
				b.params = append(b.params, strings.Split(params, ",")...)
			}
		}
		return b, nil
	}
	return boot{}, errs
}

// on reports whether a parameter is switched on; the last line decides.
func (b boot) on(name string) bool {
	on := false
	for _, p := range b.params {
		key, value, given := strings.Cut(strings.TrimSpace(p), "=")
		if key == name {
			on = !given || slices.Contains([]string{"on", "true", "yes", "1"}, value)
		}
	}
	return on
}

// checkAudio refuses a PWM pilot beside analogue audio, which drives both channels
// of the PWM device.
func checkAudio(root string, cfg Config) error {
	b, err := readBoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // not started by this kind of configuration
	}
	if err != nil {
		return fmt.Errorf("rpi: boot configuration: %w", err)
	}
	for i, o := range cfg.Connectors {
		if o.Pilot.Kind == PilotPWM && b.on("audio") {
			return fmt.Errorf("rpi: connectors[%d].pilot.pin: %s: analogue audio uses the PWM; set dtparam=audio=off in %s and restart",
				i, o.Pilot.Pin, b.file)
		}
	}
	return nil
}
