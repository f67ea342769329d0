package rpi

import (
	"fmt"

	"periph.io/x/conn/v3/driver/driverreg"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/host/v3/gpioioctl"

	"github.com/carga-ev/carga/hal/rpi/pwm"
)

// Open makes the board on this computer.
func Open(cfg Config) (*Board, error) {
	if err := cfg.err(); err != nil {
		return nil, err
	}
	if err := checkAudio("/", cfg); err != nil {
		return nil, err
	}
	if _, err := driverreg.Init(); err != nil {
		return nil, fmt.Errorf("rpi: GPIO driver: %w", err)
	}
	return New(cfg, Computer{Chip: kernel{}, I2C: openI2C, SPI: openSPI, PWM: openPWM, Watchdog: openWatchdog, Sys: "/sys"})
}

// openPWM takes a channel of the kernel's PWM device.
func openPWM(cfg pwm.OutputConfig) (pwm.Setter, error) {
	out, err := pwm.OpenOutput(cfg)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// kernel is the GPIO chips of the kernel. The header's lines are all on one of
// them, whose number differs between models.
type kernel struct{}

// Outputs implements Chip.
func (kernel) Outputs(names ...string) (Lines, error) {
	return request(gpioioctl.LineOutput, gpio.PullNoChange, names)
}

// Inputs implements Chip.
func (kernel) Inputs(names ...string) (Lines, error) {
	return request(gpioioctl.LineInput, gpio.PullUp, names)
}

// request requests lines of the chip that has the first one.
func request(dir gpioioctl.LineDir, pull gpio.Pull, names []string) (Lines, error) {
	for _, chip := range gpioioctl.Chips {
		if chip.ByName(names[0]) == nil {
			continue
		}
		set, err := chip.LineSet(dir, gpio.NoEdge, pull, names...)
		if err != nil {
			return nil, fmt.Errorf("chip %s: %w", chip.Label(), err)
		}
		return set, nil
	}
	return nil, fmt.Errorf("no GPIO chip of this machine (of %d) has a line %s", len(gpioioctl.Chips), names[0])
}
