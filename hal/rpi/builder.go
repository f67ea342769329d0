package rpi

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/spi"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi/cards"
	"github.com/carga-ev/carga/hal/rpi/modbus"
	"github.com/carga-ev/carga/hal/rpi/pwm"
	"github.com/carga-ev/carga/hal/rpi/serial"
	"github.com/carga-ev/carga/internal/charge"
)

// builder makes the devices of a board. What it has made when it fails is known to
// the board, whose Close releases it.
type builder struct {
	b        *Board
	cfg      Config
	computer Computer
	ctx      context.Context //nolint:containedctx // of the board's goroutines, for the time of New

	contacts []string // pins of the contacts that callers read
	pulses   []string // pins of the contacts whose closings are counted
	closings []func(hal.Stamp)
	holds    []func(hal.Stamp) // nil: that a contact stays closed means nothing
	counted  []*s0
	buses    map[string]i2c.Bus
	ports    map[string]*modbus.Port
	adcs     map[string]*pwm.ADC
	workers  []func(context.Context)
}

// build makes everything. The goroutines start last, when nothing can fail any
// more.
func (m *builder) build() error {
	for i, o := range m.cfg.Connectors {
		relay, err := m.output(i, fmt.Sprintf("connectors[%d].relay", i), o.Relay, o.RelayActiveLow, "relay")
		if err != nil {
			return err
		}
		m.b.connectors = append(m.b.connectors, &connector{board: m.b, relay: relay, mirror: o.FeedbackMirror})
	}
	for _, step := range []func() error{m.shared, m.outlets, m.readContacts, m.watchPulses} {
		if err := step(); err != nil {
			return err
		}
	}
	for _, run := range m.workers {
		m.b.workers.Go(func() { run(m.ctx) })
	}
	return nil
}

// board is the place of a device that the connectors share, for output and contact.
const board = -1

// output requests a line and switches it off. An empty pin is nil: not fitted. i is
// the place of the connector, device what people call the part.
func (m *builder) output(i int, key, pin string, activeLow bool, device string) (*output, error) {
	if pin == "" {
		return nil, nil //nolint:nilnil // a missing part is no error
	}
	lines, err := m.computer.Outputs(pin)
	if err != nil {
		return nil, fmt.Errorf("rpi: %s: %w", key, err)
	}
	o := &output{name: key + " " + pin, lines: lines, activeLow: activeLow}
	m.b.outputs = append(m.b.outputs, o)
	m.wire(i, hal.Wire{Device: device, Line: pin}, o.wired)
	return o, o.set(false)
}

// contact adds a contact and returns its place among the inputs. closed and open
// are what its positions mean.
func (m *builder) contact(i int, pin, device, closed, open string) int {
	if pin == "" {
		return absent
	}
	place := len(m.contacts)
	m.contacts = append(m.contacts, pin)
	m.wire(i, hal.Wire{Device: device, Line: pin}, func() (string, string) {
		is, _, err := m.b.inputs.read(place)
		return contactWire(is, err, closed, open)
	})
	return place
}

// pulse adds a contact whose closings are counted. hold, if not nil, is called once it
// has been closed for hal.HoldLasts.
func (m *builder) pulse(i int, pin, device string, closing, hold func(hal.Stamp)) {
	place := len(m.pulses)
	m.pulses = append(m.pulses, pin)
	m.closings, m.holds = append(m.closings, closing), append(m.holds, hold)
	m.wire(i, hal.Wire{Device: device, Line: pin}, func() (string, string) {
		is, err := m.b.watched.read(place)
		return contactWire(is, err, "closed", "open")
	})
}

// wire adds a line of the wiring; look is its present level and what that means.
func (m *builder) wire(i int, w hal.Wire, look func() (level, meaning string)) {
	if i != board {
		w.Device = fmt.Sprintf("connector %d: %s", i+1, w.Device)
	}
	m.b.wires = append(m.b.wires, wire{Wire: w, look: look})
}

// shared makes the devices that the connectors share.
func (m *builder) shared() error {
	m.b.estop = m.contact(board, m.cfg.EStop, "emergency stop", "not pressed", "pressed, or a cut wire")
	pin, err := m.output(board, "keeper.pin", m.cfg.Keeper.Pin, false, "keeper")
	if err != nil {
		return err
	}
	if pin != nil {
		m.b.keeper = &keeper{board: m.b, pin: pin, timeout: m.cfg.Keeper.Timeout}
	}
	if w := m.cfg.Watchdog; w.Device != "" {
		name := filepath.Base(w.Device)
		if name == "watchdog" {
			name = "watchdog0" // the same device, by its old name
		}
		m.b.watchdog = &watchdog{
			open:   func() (Countdown, error) { return m.computer.Watchdog(w.Device, w.Timeout) },
			device: w.Device, timeout: w.Timeout,
			nowayout: filepath.Join(m.computer.Sys, "class/watchdog", name, "nowayout"),
		}
	}
	if m.cfg.RTC != "" {
		m.b.clock = rtc{device: m.cfg.RTC}
	}
	return m.reader()
}

// reader makes the card reader, which has a goroutine of its own.
func (m *builder) reader() error {
	var r *cards.Reader
	switch bus := m.cfg.Reader.Bus; {
	case m.cfg.Reader.Kind == "":
		return nil
	case m.cfg.Reader.Kind == ReaderMFRC522:
		port, err := m.spi(bus)
		if err != nil {
			return fmt.Errorf("rpi: reader.bus: %w", err)
		}
		if r, err = cards.NewMFRC522(port, m.b.Mono); err != nil {
			return fmt.Errorf("rpi: reader: %w", err)
		}
	case strings.HasPrefix(bus, "/dev/"):
		r = cards.NewPN532UART(func() (serial.Line, error) {
			return serial.Open(serial.Config{Device: bus, Baud: cards.PN532Baud})
		}, m.b.Mono)
	default:
		wires, err := m.i2c(bus)
		if err != nil {
			return fmt.Errorf("rpi: reader.bus: %w", err)
		}
		r = cards.NewPN532I2C(wires, m.b.Mono)
	}
	m.b.reader = r
	m.wire(board, hal.Wire{Device: "card reader", Line: m.cfg.Reader.Bus}, func() (string, string) {
		if err := r.Healthy(); err != nil {
			return unreadable, err.Error()
		}
		return "ready", m.cfg.Reader.Kind + " answers"
	})
	m.workers = append(m.workers, r.Run)
	return nil
}

// outlets makes the devices of all connectors.
func (m *builder) outlets() error {
	lights := make([]lamps, len(m.cfg.Connectors))
	fitted, blinking := false, false
	for i, o := range m.cfg.Connectors {
		c, at := m.b.connectors[i], fmt.Sprintf("connectors[%d].", i)
		on, off := "the contactor is closed", "the contactor is open"
		if o.FeedbackMirror {
			on, off = off, on
		}
		c.feedback = m.contact(i, o.Feedback, "contactor feedback", on, off)
		trip := func(pin, device string) int {
			return m.contact(i, pin, device, "not tripped", "tripped, or a cut wire")
		}
		c.trips = trips{
			groundFault:     trip(o.Protection.GroundFault, "residual current device"),
			overcurrent:     trip(o.Protection.Overcurrent, "circuit breaker"),
			overtemperature: trip(o.Protection.Overtemperature, "thermal cut-out"),
		}
		for _, step := range []func(int, string, Outlet, *connector) error{m.pilot, m.proximity, m.lock, m.groundFault, m.thermal, m.meter} {
			if err := step(i, at, o, c); err != nil {
				return err
			}
		}
		for _, lamp := range []struct {
			to       **output
			key, pin string
		}{{&lights[i].red, "red", o.Lights.Red}, {&lights[i].green, "green", o.Lights.Green}, {&lights[i].blue, "blue", o.Lights.Blue}} {
			var err error
			if *lamp.to, err = m.output(i, at+"lights."+lamp.key, lamp.pin, false, lamp.key+" light"); err != nil {
				return err
			}
			blinking = blinking || lamp.pin != ""
		}
		fitted = fitted || blinking || o.Button != ""
	}
	if fitted {
		m.panel(lights, blinking)
	}
	return nil
}

// panel makes the buttons and lights.
func (m *builder) panel(lights []lamps, blinking bool) {
	p := &panel{presses: hal.NewMoments[hal.Press](), lamps: lights}
	m.b.panel = p
	m.b.closers = append(m.b.closers, func() error { p.presses.Close(); return nil })
	if blinking {
		m.workers = append(m.workers, p.run)
	}
	for i, o := range m.cfg.Connectors {
		if o.Button != "" {
			n := charge.ConnectorID(i + 1)
			m.pulse(i, o.Button, "button",
				func(s hal.Stamp) { p.presses.Add(hal.Press{Stamp: s, Connector: n}) },
				func(s hal.Stamp) { p.presses.Add(hal.Press{Stamp: s, Connector: n, Held: true}) })
		}
	}
}

// lock makes the lock of the cable.
func (m *builder) lock(i int, at string, o Outlet, c *connector) error {
	if o.Lock.Kind == "" {
		return nil
	}
	bolt, err := m.output(i, at+"lock.pin", o.Lock.Pin, false, "lock")
	if err != nil {
		return err
	}
	unbolt, err := m.output(i, at+"lock.unlock", o.Lock.Unlock, false, "unlock")
	if err != nil {
		return err
	}
	c.lock = &lock{board: m.b, bolt: bolt, unbolt: unbolt, move: o.Lock.Move, feedback: m.contact(i, o.Lock.Feedback, "lock feedback", "locked", "not locked")}
	return nil
}

// groundFault makes the test of the residual current device.
func (m *builder) groundFault(i int, at string, o Outlet, c *connector) error {
	test, err := m.output(i, at+"ground_fault.test", o.GroundFault.Test, false, "ground fault test")
	if err != nil || test == nil {
		return err
	}
	reset, err := m.output(i, at+"ground_fault.reset", o.GroundFault.Reset, false, "ground fault reset")
	if err != nil {
		return err
	}
	c.rcd = &groundFault{connector: c, test: test, reset: reset, token: make(chan struct{}, 1)}
	return nil
}

// thermal makes the temperature sensors.
func (m *builder) thermal(_ int, at string, o Outlet, c *connector) error {
	if len(o.Temperature) == 0 {
		return nil
	}
	t := &thermal{board: m.b, last: make([]heat, len(o.Temperature))}
	for k, s := range o.Temperature {
		t.names = append(t.names, s.Name)
		if s.Kind == SensorDS18B20 {
			t.sensors = append(t.sensors, ds18b20(m.computer.Sys, s.ID))
			continue
		}
		bus, err := m.i2c(s.Bus)
		if err != nil {
			return fmt.Errorf("rpi: %stemperature[%d].bus: %w", at, k, err)
		}
		read := tmp102
		if s.Kind == SensorMCP9808 {
			read = mcp9808
		}
		t.sensors = append(t.sensors, read(bus, uint16(s.address())))
	}
	c.thermal = t
	m.workers = append(m.workers, t.run)
	return nil
}

// i2c opens a bus once for all its parts.
func (m *builder) i2c(name string) (i2c.Bus, error) {
	if bus, ok := m.buses[name]; ok {
		return bus, nil
	}
	bus, err := m.computer.I2C(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (is dtparam=i2c_arm=on set in config.txt?)", name, err)
	}
	if m.buses == nil {
		m.buses = map[string]i2c.Bus{}
	}
	m.buses[name] = bus
	m.b.closers = append(m.b.closers, bus.Close)
	return bus, nil
}

// spi opens a chip select.
func (m *builder) spi(name string) (spi.Port, error) {
	port, err := m.computer.SPI(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (is dtparam=spi=on set in config.txt?)", name, err)
	}
	m.b.closers = append(m.b.closers, port.Close)
	return port, nil
}

// readContacts requests the contacts that callers read, and reads them a few
// times.
func (m *builder) readContacts() error {
	if len(m.contacts) == 0 {
		return nil
	}
	lines, err := m.computer.Inputs(m.contacts...)
	if err != nil {
		return fmt.Errorf("rpi: inputs %s: %w", strings.Join(m.contacts, ", "), err)
	}
	m.b.inputs = newInputs(lines, len(m.contacts), m.cfg.Samples, m.b.start)
	return m.b.inputs.fill()
}

// watchPulses requests the contacts whose closings are counted.
func (m *builder) watchPulses() error {
	if len(m.pulses) == 0 {
		return nil
	}
	lines, err := m.computer.Inputs(m.pulses...)
	if err != nil {
		return fmt.Errorf("rpi: inputs %s: %w", strings.Join(m.pulses, ", "), err)
	}
	w := &watched{lines: lines, mask: 1<<len(m.pulses) - 1, start: m.b.start, closings: m.closings, holds: m.holds, closedAt: make([]time.Duration, len(m.pulses))}
	for i := range m.pulses {
		w.contacts = append(w.contacts, contact{bit: gpio.GPIOValue(1) << i})
	}
	m.b.watched = w
	m.b.closers = append(m.b.closers, w.close)
	for _, s := range m.counted {
		s.failed = w.failed
	}
	for range pulseSamples { // so that the first change counts
		w.sample()
		time.Sleep(samplePeriod)
	}
	m.workers = append(m.workers, w.run)
	return nil
}
