package rpi

import (
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/spi"

	"github.com/carga-ev/carga/hal/rpi/pwm"
)

// Computer is what a board needs of the computer that it runs on.
type Computer struct {
	Chip
	// I2C and SPI open a bus by its name in a Config.
	I2C func(name string) (i2c.BusCloser, error)
	SPI func(name string) (spi.PortCloser, error)
	// PWM takes a channel of the PWM device.
	PWM func(pwm.OutputConfig) (pwm.Setter, error)
	// Watchdog opens and arms a watchdog.
	Watchdog func(device string, timeout time.Duration) (Countdown, error)
	// Sys is the folder of the kernel's objects: /sys.
	Sys string
}

// Lines is a set of lines requested together; *gpioioctl.LineSet is one. Bit i
// is the i-th line of the request.
type Lines interface {
	Out(bits, mask gpio.GPIOValue) error
	Read(mask gpio.GPIOValue) (gpio.GPIOValue, error)
	Close() error
}

// Chip requests lines by name.
type Chip interface {
	// Outputs requests lines as outputs; they drive low from then on.
	Outputs(names ...string) (Lines, error)
	// Inputs requests lines as inputs with pull-up.
	Inputs(names ...string) (Lines, error)
}
