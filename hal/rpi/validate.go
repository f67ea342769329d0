package rpi

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
)

// maxPower is the greatest rated power that a record can hold.
const maxPower charge.Watts = 10_000_000

// maxSamples bounds Config.Samples: more would see a pulled cable later than 100
// ms.
const maxSamples = 8

// Validate implements config.Validator: the problems have the place of their key
// in the file.
func (c *Config) Validate(p *config.Problems) { c.check(p.Addf) }

// err is everything that is wrong with a Config that came from no file.
func (c *Config) err() error {
	var errs []error
	c.check(func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("rpi: %s: %s", key, fmt.Sprintf(format, args...)))
	})
	return errors.Join(errs...)
}

// check calls bad for each problem, with the key that has it.
func (c *Config) check(bad func(key, format string, args ...any)) {
	v := validator{bad: bad, pins: map[int]claim{}, parts: map[string]claim{}, ports: map[string]claim{}}
	if n := len(c.Connectors); n < 1 || n > charge.MaxConnectors {
		bad("connectors", "%d of them; use 1 to %d", n, charge.MaxConnectors)
	}
	if c.RatedPower < 1 || c.RatedPower > maxPower {
		bad("rated_w", "%d W; use 1 to %d", c.RatedPower, maxPower)
	}
	v.positive("max_current_ma", int64(c.MaxCurrent))
	v.positive("voltage_mv", int64(c.Voltage))
	if c.Phases != 1 && c.Phases != 3 {
		bad("phases", "%d; use 1 or 3", c.Phases)
	}
	if c.Samples < 0 || c.Samples > maxSamples {
		bad("samples", "%d; use 1 to %d, or 0 for %d", c.Samples, maxSamples, defaultSamples)
	}
	v.pin("estop", c.EStop, false)
	v.safeOutput("keeper.pin", c.Keeper.Pin, false)
	if k := c.Keeper; k.Pin != "" && (k.Timeout < 200*time.Millisecond || k.Timeout > hal.MaxAgentGone) {
		bad("keeper.timeout", "%v; use 200ms to %v", k.Timeout, hal.MaxAgentGone)
	}
	v.device("watchdog.device", c.Watchdog.Device)
	if w := c.Watchdog; w.Device != "" && (w.Timeout < time.Second || w.Timeout > time.Minute || w.Timeout%time.Second != 0) {
		bad("watchdog.timeout", "%v; use whole seconds from 1s to 1m; a Raspberry Pi has at most 15s", w.Timeout)
	}
	v.device("rtc", c.RTC)
	v.reader(c.Reader)
	for i, o := range c.Connectors {
		v.outlet(fmt.Sprintf("connectors[%d].", i), o, c.TempLimit)
	}
}

// claim is what a pin, an address or a port is used for.
type claim struct {
	key   string // the first field that uses it
	owner string // parts with the same owner share it
}

// validator checks the fields of a Config against each other.
type validator struct {
	bad   func(key, format string, args ...any)
	pins  map[int]claim
	parts map[string]claim // by place, such as "i2c-1 0x48"
	ports map[string]claim // by serial port; the owner is its setting
}

func (v *validator) positive(key string, value int64) {
	if value < 1 {
		v.bad(key, "%d; use 1 or more", value)
	}
}

// oneOf checks the kind of a part and returns whether it is known.
func (v *validator) oneOf(key, kind string, kinds ...string) bool {
	if !slices.Contains(kinds, kind) {
		v.bad(key, "%q is unknown; use %s", kind, strings.Join(kinds, ", "))
		return false
	}
	return true
}

// device checks the path of a device file.
func (v *validator) device(key, file string) {
	if file != "" && (!strings.HasPrefix(file, "/dev/") || path.Clean(file) != file) {
		v.bad(key, "%q; use the path of a device, such as /dev/watchdog or /dev/rtc0", file)
	}
}

// pinNumber is the number in the name of a pin of the header.
func pinNumber(name string) (n int, ok bool) {
	digits, ok := strings.CutPrefix(name, "GPIO")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n >= 0 && n <= 27 && strconv.Itoa(n) == digits
}

// pin checks a name and that no other field has it. It returns the number, or
// -1.
func (v *validator) pin(key, name string, needed bool) int {
	if name == "" {
		if needed {
			v.bad(key, `is missing; name a pin, such as "GPIO17"`)
		}
		return -1
	}
	n, ok := pinNumber(name)
	if !ok {
		v.bad(key, `%q is no pin of the header; use "GPIO0" to "GPIO27"`, name)
		return -1
	}
	v.claimPin(n, claim{key: key})
	return n
}

// claimPin refuses a pin that is used already, but by the same owner.
func (v *validator) claimPin(n int, c claim) {
	first, used := v.pins[n]
	switch {
	case !used:
		v.pins[n] = c
	case c.owner == "":
		v.bad(c.key, "GPIO%d is used by %s already; use another pin", n, first.key)
	case c.owner != first.owner:
		v.bad(c.key, "GPIO%d is a pin of %s and is used by %s already; use another pin there", n, c.owner, first.key)
	}
}

// claimPart refuses a second part in the same place.
func (v *validator) claimPart(key, place string) {
	if first, used := v.parts[place]; used {
		v.bad(key, "%s is used by %s already; give each part a place of its own", place, first.key)
		return
	}
	v.parts[place] = claim{key: key}
}

// safeOutput checks a pin whose level before the agent runs matters: it must be
// low from reset on.
func (v *validator) safeOutput(key, name string, needed bool) {
	switch n := v.pin(key, name, needed); {
	case n < 0:
	case n <= 8:
		v.bad(key, "%s is pulled up at reset and would switch on; use GPIO9 to GPIO13 or GPIO16 to GPIO27", name)
	case n == 14 || n == 15:
		v.bad(key, "%s is driven by the serial console during boot; use GPIO9 to GPIO13 or GPIO16 to GPIO27", name)
	}
}

// relay checks that the pin's level at reset leaves the relay off.
func (v *validator) relay(key string, o Outlet) {
	if !o.RelayActiveLow {
		v.safeOutput(key, o.Relay, true)
		return
	}
	if n := v.pin(key, o.Relay, true); n >= 0 && (n < 2 || n > 8) {
		v.bad(key, "%s is not pulled up at reset or is not free, and an active-low relay would be on; "+
			"use GPIO2 to GPIO8, or better an active-high driver on GPIO9 to GPIO27", o.Relay)
	}
}

// outlet checks one connector, whose keys begin with at.
func (v *validator) outlet(at string, o Outlet, limit charge.MilliCelsius) {
	v.relay(at+"relay", o)
	v.pin(at+"feedback", o.Feedback, false)
	if o.FeedbackMirror && o.Feedback == "" {
		v.bad(at+"feedback_mirror", "is set, but feedback has no pin; name the pin of the mirror contact")
	}
	v.pilot(at, o)
	if o.Proximity.ADC != "" {
		v.adc(at+"proximity.", o.Proximity.ADCInput)
		v.adopt(at+"proximity.", o.Proximity.config().Validate())
	}
	v.meter(at+"meter.", o.Meter)
	v.lock(at+"lock.", o.Lock)
	v.pin(at+"protection.ground_fault", o.Protection.GroundFault, false)
	v.pin(at+"protection.overcurrent", o.Protection.Overcurrent, false)
	v.pin(at+"protection.overtemperature", o.Protection.Overtemperature, false)
	v.safeOutput(at+"ground_fault.test", o.GroundFault.Test, false)
	v.safeOutput(at+"ground_fault.reset", o.GroundFault.Reset, false)
	switch {
	case o.GroundFault.Test != "" && o.Protection.GroundFault == "":
		v.bad(at+"ground_fault.test", "a test needs the contact that shows the trip; set protection.ground_fault")
	case o.GroundFault.Reset != "" && o.GroundFault.Test == "":
		v.bad(at+"ground_fault.reset", "a device that is reset from here must be tested from here; set ground_fault.test")
	}
	if len(o.Temperature) > 0 && (limit < 30_000 || limit > 110_000) {
		v.bad("temp_limit_mc", "%d; use 30000 to 110000 (thousandths of a degree) for the sensors of a connector", limit)
	}
	for i, s := range o.Temperature {
		v.sensor(fmt.Sprintf("%stemperature[%d].", at, i), s, o.Temperature[:i])
	}
	v.pin(at+"button", o.Button, false)
	v.pin(at+"lights.red", o.Lights.Red, false)
	v.pin(at+"lights.green", o.Lights.Green, false)
	v.pin(at+"lights.blue", o.Lights.Blue, false)
}

// pilot checks the two profiles, of which a connector has one.
func (v *validator) pilot(at string, o Outlet) {
	switch p := o.Pilot; p.Kind {
	case "", PilotContacts:
		v.pin(at+"plug", o.Plug, true)
		v.pin(at+"request", o.Request, true)
		if p.Pin != "" || p.ADC != "" {
			v.bad(at+"pilot.kind", "a pin or an ADC is set; use kind: pwm for them")
		}
	case PilotPWM:
		if o.Plug != "" || o.Request != "" {
			v.bad(at+"pilot.kind", "plug and request are set; remove them, since the pilot shows both, or use kind: contacts")
		}
		n := v.pin(at+"pilot.pin", p.Pin, true)
		if channel, ok := pwmChannel(n); ok {
			v.claimPart(at+"pilot.pin", fmt.Sprintf("PWM channel %d", channel))
		} else if n >= 0 {
			v.bad(at+"pilot.pin", "%s has no PWM; use GPIO12, GPIO13, GPIO18 or GPIO19", p.Pin)
		}
		v.adc(at+"pilot.", p.ADCInput)
		v.adopt(at+"pilot.", p.config().Validate())
	default:
		v.oneOf(at+"pilot.kind", p.Kind, PilotContacts, PilotPWM)
	}
}

// pwmChannel is the channel of the PWM device that a pin shows.
func pwmChannel(pin int) (int, bool) {
	switch pin {
	case 12, 18:
		return 0, true
	case 13, 19:
		return 1, true
	}
	return 0, false
}

// adc checks a channel of an ADC. Several parts may use channels of the same one.
func (v *validator) adc(at string, c ADCInput) {
	if !v.spi(at+"adc", c.ADC, "an ADC") {
		return
	}
	if chip, used := v.parts[c.ADC]; used && chip.owner != "ADC" {
		v.bad(at+"adc", "%s is used by %s already; give each part a chip select of its own", c.ADC, chip.key)
		return
	}
	v.parts[c.ADC] = claim{key: at + "adc", owner: "ADC"}
	v.claimPart(at+"channel", fmt.Sprintf("channel %d of %s", c.Channel, c.ADC))
}

// spiPins are the pins of each chip select: the lines of the bus, and its own.
func spiPins(name string) (bus string, lines []int, chip int, ok bool) {
	switch name {
	case "spi0.0":
		return "spi0", []int{9, 10, 11}, 8, true
	case "spi0.1":
		return "spi0", []int{9, 10, 11}, 7, true
	case "spi1.0":
		return "spi1", []int{19, 20, 21}, 18, true
	case "spi1.1":
		return "spi1", []int{19, 20, 21}, 17, true
	case "spi1.2":
		return "spi1", []int{19, 20, 21}, 16, true
	}
	return "", nil, 0, false
}

// spi checks a chip select and claims its pins.
func (v *validator) spi(key, name, part string) bool {
	bus, lines, chip, ok := spiPins(name)
	if !ok {
		v.bad(key, "%q is no SPI chip select, which %s needs; use spi0.0, spi0.1, spi1.0, spi1.1 or spi1.2", name, part)
		return false
	}
	for _, n := range lines {
		v.claimPin(n, claim{key: key, owner: bus})
	}
	v.claimPin(chip, claim{key: key, owner: name})
	return true
}

// i2c checks a bus, claims its pins and the address.
func (v *validator) i2c(key, name, part string, address Address) {
	if name != "i2c-1" {
		v.bad(key, "%q is no I²C bus of the header, which %s needs; use i2c-1", name, part)
		return
	}
	if address < 0x08 || address > 0x77 {
		v.bad(strings.TrimSuffix(key, "bus")+"address", "%#02x; use 0x08 to 0x77", uint16(address))
	}
	v.claimPin(2, claim{key: key, owner: name})
	v.claimPin(3, claim{key: key, owner: name})
	v.claimPart(key, fmt.Sprintf("%s address %#02x", name, uint16(address)))
}

// onboardPort reports whether a serial port is the one on the header. Others are
// on USB, or on pins that an overlay of the boot configuration decides.
func onboardPort(file string) bool {
	return slices.Contains([]string{"/dev/serial0", "/dev/ttyAMA0", "/dev/ttyS0", "/dev/ttyS1"}, file)
}

// port checks a serial port. All parts on it have the same setting.
func (v *validator) port(key, file, setting string) bool {
	if !strings.HasPrefix(file, "/dev/") || path.Clean(file) != file {
		v.bad(key, "%q is no serial port; use its path, such as /dev/serial0 or /dev/serial/by-id/…", file)
		return false
	}
	first, used := v.ports[file]
	switch {
	case !used:
		v.ports[file] = claim{key: key, owner: setting}
	case first.owner != setting:
		v.bad(key, "%s has another setting here than in %s; a port has one speed, parity and gap", file, first.key)
		return false
	}
	if onboardPort(file) {
		v.claimPin(14, claim{key: key, owner: file})
		v.claimPin(15, claim{key: key, owner: file})
	}
	return true
}

// reader checks the card reader.
func (v *validator) reader(r Reader) {
	if r.Kind == "" {
		if r.Bus != "" {
			v.bad("reader.kind", "is missing; use %s or %s", ReaderPN532, ReaderMFRC522)
		}
		return
	}
	if !v.oneOf("reader.kind", r.Kind, ReaderPN532, ReaderMFRC522) {
		return
	}
	switch {
	case r.Kind == ReaderMFRC522:
		if v.spi("reader.bus", r.Bus, "an MFRC522") {
			v.claimPart("reader.bus", r.Bus)
		}
	case strings.HasPrefix(r.Bus, "/dev/"):
		if v.port("reader.bus", r.Bus, "PN532") {
			v.claimPart("reader.bus", r.Bus)
		}
	default:
		v.i2c("reader.bus", r.Bus, "a PN532 without a serial port", pn532Address)
	}
}

// pn532Address is where a PN532 is on its bus; it has no other.
const pn532Address Address = 0x24

// meter checks one meter.
func (v *validator) meter(at string, m Meter) {
	switch {
	case m.Kind == "":
		if m.Port != "" || m.Pin != "" {
			v.bad(at+"kind", "is missing; use %s", strings.Join(meterKinds(), ", "))
		}
		return
	case !v.oneOf(at+"kind", m.Kind, meterKinds()...):
		return
	case m.Kind == MeterS0:
		v.pin(at+"pin", m.Pin, true)
		if m.PulsesPerKWh < 1 || m.PulsesPerKWh > 100_000 {
			v.bad(at+"pulses_per_kwh", "%d; use 1 to 100000, as printed on the meter", m.PulsesPerKWh)
		}
		if m.Register == "" {
			v.bad(at+"register", "is missing; name a file in a folder that the agent may write")
		}
		if m.SaveEvery < 0 || m.SaveEvery > 10_000 {
			v.bad(at+"save_wh", "%d; use 1 to 10000, or 0 for %d", m.SaveEvery, defaultSave)
		}
		v.claimPart(at+"register", "the file "+m.Register)
		return
	}
	if least, most := 1, m.lastAddress(); m.Address < least || m.Address > most {
		v.bad(at+"address", "%d; use %d to %d, as set on the meter", m.Address, least, most)
	}
	port := m.port()
	if v.port(at+"port", m.Port, fmt.Sprint(port)) {
		v.claimPart(at+"address", fmt.Sprintf("address %d on %s", m.Address, m.Port))
		v.adopt(at, port.Validate())
	}
	if m.Kind == MeterCustom {
		kind := m.modbus()
		v.adopt(at+"map.", kind.Validate())
	} else if !reflect.ValueOf(m.Map).IsZero() {
		v.bad(at+"map", "%s has a map of its own; remove this one, or use kind: custom", m.Kind)
	}
}

// adopt reports the problems of a part that another package validates: one line
// each, beginning with its name of the field.
func (v *validator) adopt(at string, err error) {
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		field, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch field {
		case "at_zero, at_full":
			field = "at_zero_mv"
		case "pull_up":
			field = "pull_up_ohm"
		case "wrap":
			field = "wrap_wh"
		case "device":
			field = "port"
		}
		v.bad(at+field, "%s", text)
	}
}

func meterKinds() []string {
	return []string{MeterSDM120, MeterSDM630, MeterPZEM004T, MeterCustom, MeterS0}
}

// lock checks the lock of the cable.
func (v *validator) lock(at string, l Lock) {
	if l.Kind == "" {
		if l.Pin != "" || l.Unlock != "" {
			v.bad(at+"kind", "is missing; use %s or %s", LockMotor, LockSolenoid)
		}
		return
	}
	if !v.oneOf(at+"kind", l.Kind, LockMotor, LockSolenoid) {
		return
	}
	v.safeOutput(at+"pin", l.Pin, true)
	v.safeOutput(at+"unlock", l.Unlock, l.Kind == LockMotor)
	if l.Kind == LockSolenoid && l.Unlock != "" {
		v.bad(at+"unlock", "a solenoid unlocks without power; remove the pin, or use kind: motor")
	}
	if l.Move < 0 || l.Move > 5*time.Second {
		v.bad(at+"move", "%v; use 10ms to 5s, or 0s for %v", l.Move, defaultMove)
	}
	v.pin(at+"feedback", l.Feedback, false)
}

// isSensorID reports whether id is the name of a DS18B20 in the kernel's list of
// 1-wire devices.
func isSensorID(id string) bool {
	digits, ok := strings.CutPrefix(id, "28-")
	return ok && len(digits) == 12 && strings.Trim(digits, "0123456789abcdef") == ""
}

// sensor checks one temperature sensor; others are those before it.
func (v *validator) sensor(at string, s Sensor, others []Sensor) {
	if s.Name == "" {
		v.bad(at+"name", "is missing; name what it measures, such as plug")
	}
	if slices.ContainsFunc(others, func(o Sensor) bool { return o.Name == s.Name }) {
		v.bad(at+"name", "%q is the name of another sensor; use another one", s.Name)
	}
	if !v.oneOf(at+"kind", s.Kind, SensorDS18B20, SensorTMP102, SensorMCP9808) {
		return
	}
	switch s.Kind {
	case SensorDS18B20:
		if !isSensorID(s.ID) {
			v.bad(at+"id", "%q; use the name below /sys/bus/w1/devices, such as 28-0000071c6d2f", s.ID)
			return
		}
		v.claimPart(at+"id", s.ID)
		name := s.Pin
		if name == "" {
			name = oneWirePin
		}
		if n, ok := pinNumber(name); ok {
			v.claimPin(n, claim{key: at + "pin", owner: "the 1-wire bus"})
		} else {
			v.bad(at+"pin", `%q is no pin of the header; use "GPIO0" to "GPIO27"`, name)
		}
	case SensorTMP102:
		v.i2c(at+"bus", s.Bus, "a TMP102", s.address())
	case SensorMCP9808:
		v.i2c(at+"bus", s.Bus, "an MCP9808", s.address())
	}
}

// address is the configured one, or that of the chip without bridges.
func (s Sensor) address() Address {
	switch {
	case s.Address != 0:
		return s.Address
	case s.Kind == SensorTMP102:
		return 0x48
	}
	return 0x18
}
