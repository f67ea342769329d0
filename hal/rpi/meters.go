package rpi

import (
	"fmt"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi/modbus"
	"github.com/carga-ev/carga/hal/rpi/serial"
)

// meter makes the meter of a connector.
func (m *builder) meter(i int, at string, o Outlet, c *connector) error {
	switch o.Meter.Kind {
	case "":
		c.meter = noMeter{}
		return nil
	case MeterS0:
		return m.pulseMeter(i, at, o, c)
	}
	meter, err := modbus.NewMeter(m.port(o.Meter), byte(o.Meter.Address), o.Meter.modbus(), m.b.Mono)
	if err != nil {
		return fmt.Errorf("rpi: %smeter: %w", at, err)
	}
	c.meter = meter
	m.wire(i, hal.Wire{Device: "meter", Line: fmt.Sprintf("%s, address %d", o.Meter.Port, o.Meter.Address)}, func() (string, string) {
		return meterWire(meter)
	})
	return nil
}

// port makes a serial line once for all its meters. It is opened by the first
// reading, so that a missing adapter is a fault of the meter and not of the board.
func (m *builder) port(o Meter) *modbus.Port {
	if p, ok := m.ports[o.Port]; ok {
		return p
	}
	p := modbus.NewPort(o.port())
	if m.ports == nil {
		m.ports = map[string]*modbus.Port{}
	}
	m.ports[o.Port] = p
	m.b.closers = append(m.b.closers, p.Close)
	return p
}

// pulseMeter makes an S0 meter.
func (m *builder) pulseMeter(i int, at string, o Outlet, c *connector) error {
	file, pulses, err := openRegister(o.Meter.Register)
	if err != nil {
		return fmt.Errorf("rpi: %smeter.register: %w", at, err)
	}
	s := &s0{
		board: m.b, relay: c.relay, file: file, perKWh: int64(o.Meter.PulsesPerKWh), save: o.Meter.SaveEvery,
		pulses: pulses, saved: pulses,
	}
	c.meter = s
	m.counted = append(m.counted, s)
	m.pulse(i, o.Meter.Pin, "meter pulse", s.pulse, nil)
	m.b.closers = append(m.b.closers, s.close)
	return nil
}

// port is the serial line of a Modbus meter.
func (m Meter) port() modbus.PortConfig {
	baud := m.Baud
	if baud == 0 {
		baud = factoryBaud(m.Kind)
	}
	return modbus.PortConfig{Serial: serial.Config{Device: m.Port, Baud: baud, Parity: serial.Parity(m.Parity)}, Gap: m.Gap}
}

// factoryBaud is the speed at which a meter leaves the factory.
func factoryBaud(kind string) int {
	if kind == MeterSDM120 {
		return 2_400
	}
	return 9_600
}

// lastAddress is the highest address of a meter on its bus.
func (m Meter) lastAddress() int {
	if m.Kind == MeterPZEM004T {
		return 248 // any of them, where it is alone
	}
	return 247
}

// modbus is the registers of the meter.
func (m Meter) modbus() modbus.Map {
	if known, ok := modbus.Maps()[m.Kind]; ok {
		return known
	}
	return modbus.Map{
		Maker: m.Map.Maker, Model: m.Map.Model, Function: modbus.Function(m.Map.Function),
		LowWordFirst: m.Map.LowWordFirst, LittleEndian: m.Map.LittleEndian, Span: m.Map.Span, Wrap: m.Map.Wrap,
		Import: m.Map.Import.modbus(), Power: m.Map.Power.modbus(), Voltage: m.Map.Voltage.modbus(),
		Current: m.Map.Current.modbus(), Temperature: m.Map.Temperature.modbus(), Serial: m.Map.Serial.modbus(),
	}
}

// modbus is the same quantity.
func (q Quantity) modbus() modbus.Quantity {
	out := modbus.Quantity{Type: modbus.Type(q.Type), Exp: q.Exp, Function: modbus.Function(q.Function)}
	for _, at := range q.At {
		out.At = append(out.At, uint16(at))
	}
	return out
}
