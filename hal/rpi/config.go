package rpi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
)

// Config is the wiring. Pins are named "GPIO0" to "GPIO27"; an empty name means
// that the device is not fitted.
type Config struct {
	Serial     string
	RatedPower charge.Watts // per connector
	MaxCurrent charge.MilliAmps
	Voltage    charge.MilliVolts
	Phases     int
	Vent       bool // the installation is ventilated

	EStop      string // a normally closed contact
	Connectors []Outlet

	// Samples is how many readings in a row, at least 5 ms apart, must agree
	// before a contact counts; 0 means 3. With a safety loop of 10 ms a change
	// counts after Samples ticks.
	Samples int
}

// Outlet is the pins of one connector.
type Outlet struct {
	Relay          string
	RelayActiveLow bool   // the relay switches on when its pin is low
	Feedback       string // a contact that closes with the contactor
	FeedbackMirror bool   // Feedback is a mirror contact: closed while the contactor is open
	Plug           string // closed while a vehicle is plugged in
	Request        string // closed while the vehicle requests power
}

// maxPower is the greatest rated power that a record can hold.
const maxPower charge.Watts = 10_000_000

// The bounds of Config.Samples: fewer would be no debounce, more would see a
// pulled cable later than 100 ms.
const (
	defaultSamples = 3
	maxSamples     = 8
)

// Validate reports everything that is wrong, each by its field.
func (c Config) Validate() error {
	v := validator{used: map[string]string{}}
	if n := len(c.Connectors); n < 1 || n > charge.MaxConnectors {
		v.bad("connectors", "%d of them; use 1 to %d", n, charge.MaxConnectors)
	}
	if c.RatedPower < 1 || c.RatedPower > maxPower {
		v.bad("rated_power", "%d W; use 1 to %d", c.RatedPower, maxPower)
	}
	v.positive("max_current", int64(c.MaxCurrent))
	v.positive("voltage", int64(c.Voltage))
	if c.Phases != 1 && c.Phases != 3 {
		v.bad("phases", "%d; use 1 or 3", c.Phases)
	}
	if c.Samples < 0 || c.Samples > maxSamples {
		v.bad("samples", "%d; use 1 to %d, or 0 for %d", c.Samples, maxSamples, defaultSamples)
	}
	v.pin("estop", c.EStop, false)
	for i, o := range c.Connectors {
		field := func(name string) string { return fmt.Sprintf("connectors[%d].%s", i, name) }
		v.relay(field("relay"), o)
		v.pin(field("feedback"), o.Feedback, false)
		v.pin(field("plug"), o.Plug, true)
		v.pin(field("request"), o.Request, true)
		if o.FeedbackMirror && o.Feedback == "" {
			v.bad(field("feedback_mirror"), "is set, but feedback has no pin")
		}
	}
	return errors.Join(v.errs...)
}

// validator collects the errors of a Config.
type validator struct {
	used map[string]string // pin → the field that has it
	errs []error
}

func (v *validator) bad(field, format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf("rpi: %s: %s", field, fmt.Sprintf(format, args...)))
}

func (v *validator) positive(field string, value int64) {
	if value < 1 {
		v.bad(field, "%d; use 1 or more", value)
	}
}

// pin checks a name and that no other field has it. It returns the number, or
// -1.
func (v *validator) pin(field, name string, needed bool) int {
	if name == "" {
		if needed {
			v.bad(field, `is missing; name a pin, such as "GPIO17"`)
		}
		return -1
	}
	number, ok := strings.CutPrefix(name, "GPIO")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 0 || n > 27 || strconv.Itoa(n) != number {
		v.bad(field, `%q is no pin of the header; use "GPIO0" to "GPIO27"`, name)
		return -1
	}
	if other, used := v.used[name]; used {
		v.bad(field, "%s is used by %s already", name, other)
	}
	v.used[name] = field
	return n
}

// relay checks that the pin's pull at reset leaves the relay off.
func (v *validator) relay(field string, o Outlet) {
	n := v.pin(field, o.Relay, true)
	switch {
	case n < 0:
	case !o.RelayActiveLow && n <= 8:
		v.bad(field, "%s is pulled up at reset and would switch the relay on; use GPIO9 to GPIO27", o.Relay)
	case o.RelayActiveLow && (n < 2 || n > 8):
		v.bad(field, "%s is not pulled up at reset or is not free, and an active-low relay would be on; "+
			"use GPIO2 to GPIO8, or better an active-high driver on GPIO9 to GPIO27", o.Relay)
	}
}
