package rpi

import (
	"fmt"
	"slices"
	"strings"
)

// BootLines are the lines that config.txt of a Raspberry Pi needs for this wiring.
// What belongs to a part that only its owner knows, as the chip of a clock, is a
// line of comment.
func (c Config) BootLines() []string {
	lines := []string{"dtparam=strict_gpiod"}
	if pins := c.pwmPins(); len(pins) > 0 {
		lines = append(lines, "dtparam=audio=off", pwmOverlay(pins))
	}
	buses := c.buses()
	if slices.ContainsFunc(buses, func(b string) bool { return strings.HasPrefix(b, "spi0.") }) {
		lines = append(lines, "dtparam=spi=on")
	}
	if slices.ContainsFunc(buses, func(b string) bool { return strings.HasPrefix(b, "spi1.") }) {
		lines = append(lines, "dtoverlay=spi1-3cs")
	}
	if c.UsesI2C() {
		lines = append(lines, "dtparam=i2c_arm=on")
	}
	if c.UsesSerialHeader() {
		lines = append(lines, "enable_uart=1")
	}
	lines = append(lines, c.oneWire()...)
	if c.RTC != "" {
		lines = append(lines, "# "+c.RTC+": add the overlay of your clock, such as dtoverlay=i2c-rtc,ds3231")
	}
	return lines
}

// UsesI2C reports whether a part is on the I²C bus of the header, for which the
// kernel needs its module i2c-dev.
func (c Config) UsesI2C() bool { return slices.Contains(c.buses(), "i2c-1") }

// UsesSerialHeader reports whether a part is on the serial port of the header, on
// which no console may be.
func (c Config) UsesSerialHeader() bool {
	return onboardPort(c.Reader.Bus) || slices.ContainsFunc(c.Connectors, func(o Outlet) bool { return onboardPort(o.Meter.Port) })
}

// buses are the names of all buses and chip selects in use.
func (c Config) buses() []string {
	all := []string{c.Reader.Bus}
	for _, o := range c.Connectors {
		all = append(all, o.Pilot.ADC, o.Proximity.ADC)
		for _, s := range o.Temperature {
			all = append(all, s.Bus)
		}
	}
	return all
}

// pwmPins are the pins of the pilots by PWM.
func (c Config) pwmPins() (pins []int) {
	for _, o := range c.Connectors {
		if n, ok := pinNumber(o.Pilot.Pin); ok && o.Pilot.Kind == PilotPWM {
			pins = append(pins, n)
		}
	}
	return pins
}

// pwmOverlay is the overlay that connects the PWM to one pin or two.
func pwmOverlay(pins []int) string {
	function := func(pin int) int { // the alternative function that is the PWM
		if pin < 16 {
			return 4
		}
		return 2
	}
	if len(pins) == 1 {
		return fmt.Sprintf("dtoverlay=pwm,pin=%d,func=%d", pins[0], function(pins[0]))
	}
	slices.SortFunc(pins, func(a, b int) int { // channel 0 first
		x, _ := pwmChannel(a)
		y, _ := pwmChannel(b)
		return x - y
	})
	return fmt.Sprintf("dtoverlay=pwm-2chan,pin=%d,func=%d,pin2=%d,func2=%d", pins[0], function(pins[0]), pins[1], function(pins[1]))
}

// oneWire is a line for each pin with DS18B20 sensors.
func (c Config) oneWire() (lines []string) {
	for _, o := range c.Connectors {
		for _, s := range o.Temperature {
			if s.Kind != SensorDS18B20 {
				continue
			}
			pin := s.Pin
			if pin == "" {
				pin = oneWirePin
			}
			line := "dtoverlay=w1-gpio,gpiopin=" + strings.TrimPrefix(pin, "GPIO")
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
