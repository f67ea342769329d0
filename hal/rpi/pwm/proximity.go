package pwm

import (
	"fmt"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// ProximityConfig is the measuring side of a socket's proximity contact: a
// resistor from the converter's reference to the contact, which the plug's
// resistor pulls to ground.
type ProximityConfig struct {
	Channel int   // of the converter
	PullUp  int64 // in ohms
}

// Validate reports everything that is wrong, each by its field.
func (c ProximityConfig) Validate() error {
	switch {
	case c.Channel < 0 || c.Channel > maxChannel:
		return fmt.Errorf("channel: %d; use 0 to %d", c.Channel, maxChannel)
	case c.PullUp < 100 || c.PullUp > 10_000:
		return fmt.Errorf("pull_up: %d ohms; use 100 to 10000, best about 1000", c.PullUp)
	}
	return nil
}

// Proximity reads the coding resistor of a cable.
type Proximity struct {
	cfg  ProximityConfig
	adc  Converter
	mono func() time.Duration

	mu  sync.Mutex // guards seq
	seq uint64
}

var _ hal.Proximity = (*Proximity)(nil)

// NewProximity makes the proximity contact of one connector.
func NewProximity(cfg ProximityConfig, adc Converter, mono func() time.Duration) (*Proximity, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Proximity{cfg: cfg, adc: adc, mono: mono}, nil
}

// proximitySamples is how many conversions are one measurement, and steady how far
// they may lie apart: a plug that is being moved has no resistance yet.
const (
	proximitySamples = 8
	steady           = 20
)

// CableLimit implements hal.Proximity. It takes some conversions of the bus.
func (p *Proximity) CableLimit() (charge.MilliAmps, hal.Stamp, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	stamp := hal.Stamp{Mono: p.mono(), Seq: p.seq + 1}
	sum, most, least := 0, 0, adcMost
	for range proximitySamples {
		v, err := p.adc.Convert(p.cfg.Channel)
		if err != nil {
			return 0, stamp, err
		}
		sum, most, least = sum+v, max(most, v), min(least, v)
	}
	if most-least > steady {
		return 0, stamp, fmt.Errorf("proximity: %w: the contact is not steady", hal.ErrUnreadable)
	}
	p.seq++
	mean := int64(sum / proximitySamples)
	if mean >= adcMost {
		return 0, stamp, nil // nothing is connected
	}
	limit, err := cable(p.cfg.PullUp * mean / (adcMost - mean))
	return limit, stamp, err
}

// cable is the current that a cable with that resistance may carry. The borders lie
// between the resistors of IEC 61851-1 Annex B (1500, 680, 220 and 100 Ω). What
// is no resistor of a cable is never the largest cable.
func cable(ohms int64) (charge.MilliAmps, error) {
	switch {
	case ohms >= 4_500:
		return 0, nil // no plug
	case ohms >= 2_500:
	case ohms >= 1_000:
		return 13_000, nil
	case ohms >= 330:
		return 20_000, nil
	case ohms >= 150:
		return 32_000, nil
	case ohms >= 75:
		return 63_000, nil
	}
	return 0, fmt.Errorf("proximity: %w: %d ohms is no cable: check the contact and the plug", hal.ErrUnreadable, ohms)
}
