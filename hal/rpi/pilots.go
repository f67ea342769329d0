package rpi

import (
	"cmp"
	"fmt"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi/pwm"
)

// The defaults of the front end of a pilot.
const (
	defaultAtZero = -15_000
	defaultAtFull = 15_000
	defaultPullUp = 1_000
)

// pilot makes the pilot of a connector.
func (m *builder) pilot(i int, at string, o Outlet, c *connector) error {
	if o.Pilot.Kind != PilotPWM {
		c.pilot = contactPilot{
			board:   m.b,
			plug:    m.contact(i, o.Plug, "plug contact", "a vehicle is plugged in", "no vehicle, or a cut wire"),
			request: m.contact(i, o.Request, "request contact", "the vehicle requests power", "no request, or a cut wire"),
		}
		return nil
	}
	n, _ := pinNumber(o.Pilot.Pin)
	channel, _ := pwmChannel(n)
	out, err := m.computer.PWM(pwm.OutputConfig{Device: o.Pilot.Device, Channel: channel, Inverted: o.Pilot.Inverted})
	if err != nil {
		return fmt.Errorf("rpi: %spilot.pin: %s: %w", at, o.Pilot.Pin, err)
	}
	m.b.closers = append(m.b.closers, out.Close)
	adc, err := m.adc(o.Pilot.ADC)
	if err != nil {
		return fmt.Errorf("rpi: %spilot.adc: %w", at, err)
	}
	p, err := pwm.NewPilot(o.Pilot.config(), out, adc, m.b.Mono)
	if err != nil {
		return fmt.Errorf("rpi: %spilot: %w", at, err)
	}
	c.pilot = p
	m.wire(i, hal.Wire{Device: "pilot", Line: o.Pilot.Pin + ", " + o.Pilot.ADC}, func() (string, string) {
		state, _, err := p.State()
		if err != nil {
			return unreadable, err.Error()
		}
		return "state " + string(state), "control pilot"
	})
	m.b.closers = append(m.b.closers, p.Close)
	m.workers = append(m.workers, p.Run)
	return nil
}

// proximity makes the proximity contact of a connector.
func (m *builder) proximity(_ int, at string, o Outlet, c *connector) error {
	if o.Proximity.ADC == "" {
		return nil
	}
	adc, err := m.adc(o.Proximity.ADC)
	if err != nil {
		return fmt.Errorf("rpi: %sproximity.adc: %w", at, err)
	}
	p, err := pwm.NewProximity(o.Proximity.config(), adc, m.b.Mono)
	if err != nil {
		return fmt.Errorf("rpi: %sproximity: %w", at, err)
	}
	c.proximity = p
	return nil
}

// adc makes a converter once for all its channels.
func (m *builder) adc(name string) (*pwm.ADC, error) {
	if adc, ok := m.adcs[name]; ok {
		return adc, nil
	}
	port, err := m.spi(name)
	if err != nil {
		return nil, err
	}
	adc, err := pwm.NewADC(port)
	if err != nil {
		return nil, err
	}
	if m.adcs == nil {
		m.adcs = map[string]*pwm.ADC{}
	}
	m.adcs[name] = adc
	return adc, nil
}

// config is the measuring side of the pilot.
func (p Pilot) config() pwm.PilotConfig {
	return pwm.PilotConfig{Channel: p.Channel, AtZero: cmp.Or(p.AtZero, defaultAtZero), AtFull: cmp.Or(p.AtFull, defaultAtFull)}
}

// config is the measuring side of the contact.
func (p Proximity) config() pwm.ProximityConfig {
	return pwm.ProximityConfig{Channel: p.Channel, PullUp: cmp.Or(p.PullUp, defaultPullUp)}
}
