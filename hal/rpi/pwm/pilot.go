package pwm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// Setter is what a Pilot drives: an Output.
type Setter interface {
	Set(duty charge.Permille) error
	Close() error
}

// Converter is what a Pilot measures with: an ADC.
type Converter interface {
	Convert(channel int) (int, error)
}

// PilotConfig is the measuring side of one pilot.
type PilotConfig struct {
	Channel int // of the converter, 0 to 3 (MCP3008: to 7)
	// AtZero and AtFull are the voltages of the pilot at which the converter shows 0
	// and its largest value: they describe the divider.
	AtZero, AtFull charge.MilliVolts
}

// maxChannel is the last channel of an MCP3008.
const maxChannel = 7

// Validate reports everything that is wrong, each by its field.
func (c PilotConfig) Validate() error {
	var errs []error
	if c.Channel < 0 || c.Channel > maxChannel {
		errs = append(errs, fmt.Errorf("channel: %d; use 0 to %d", c.Channel, maxChannel))
	}
	if c.AtZero > lowest || c.AtFull < highest {
		errs = append(errs, fmt.Errorf("at_zero, at_full: %d and %d mV do not cover the pilot; use a divider for %d to %d mV",
			c.AtZero, c.AtFull, lowest, highest))
	}
	return errors.Join(errs...)
}

const (
	// burst is how many conversions are one measurement: some ten periods.
	burst = 100
	// every is the time from one burst to the next: a tick of the safety loop.
	every = 10 * time.Millisecond
	// agree is how many bursts in a row must show a state before it counts.
	agree = 3
)

// Pilot is the control pilot of one connector.
type Pilot struct {
	cfg  PilotConfig
	out  Setter
	adc  Converter
	mono func() time.Duration

	set    sync.Mutex // one change of the output after another; guards what follows
	wanted bool       // an offer was asked for
	limit  charge.MilliAmps
	closed bool

	mu    sync.Mutex // guards what follows
	offer bool       // the PWM runs
	state charge.PilotState
	err   error // why there is no state
	stamp hal.Stamp
	next  finding // of the last bursts
	count int     // bursts in a row that found next
}

// finding is what a burst shows: a state, or a defect.
type finding struct {
	state charge.PilotState
	why   defect
}

var _ hal.Pilot = (*Pilot)(nil)

// NewPilot makes the pilot. It offers nothing, and its state is unknown until Run
// has measured it.
func NewPilot(cfg PilotConfig, out Setter, adc Converter, mono func() time.Duration) (*Pilot, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := &Pilot{cfg: cfg, out: out, adc: adc, mono: mono}
	p.err = fmt.Errorf("pilot: %w: not measured yet, or not steady", hal.ErrUnreadable)
	if err := out.Set(1000); err != nil {
		return nil, err
	}
	return p, nil
}

// Run measures until ctx ends.
func (p *Pilot) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		p.measure()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// State implements hal.Pilot: what the last bursts have shown.
func (p *Pilot) State() (charge.PilotState, hal.Stamp, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch age := p.mono() - p.stamp.Mono; {
	case p.err != nil:
		return charge.PilotUnknown, p.stamp, p.err
	case age > hal.MaxSafetyAge:
		return charge.PilotUnknown, p.stamp, fmt.Errorf("pilot: %w: not measured for %v", hal.ErrUnreadable, age)
	}
	return p.state, p.stamp, nil
}

// SetAvailable implements hal.Pilot. Withdrawing works on a closed pilot too.
func (p *Pilot) SetAvailable(offer bool) error {
	p.set.Lock()
	defer p.set.Unlock()
	if p.closed {
		if offer {
			return hal.ErrClosed
		}
		return nil
	}
	p.wanted = offer
	return p.apply()
}

// SetCurrent implements hal.Pilot. The limit is 0 at first, so an offer needs one.
func (p *Pilot) SetCurrent(limit charge.MilliAmps) error {
	p.set.Lock()
	defer p.set.Unlock()
	if p.closed {
		return hal.ErrClosed
	}
	p.limit = limit
	return p.apply()
}

// apply writes the output. The caller holds set. A burst meanwhile may show either
// setting; alone it counts nothing.
func (p *Pilot) apply() error {
	duty := charge.Permille(0)
	if p.wanted {
		duty = Duty(p.limit)
	}
	offer := duty > 0
	if !offer {
		duty = 1000 // +12 V without pauses
	}
	err := p.out.Set(duty)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offer = offer
	return err
}

// Close withdraws the offer and makes the state unreadable. Run is ended by its
// context. It may be repeated.
func (p *Pilot) Close() error {
	p.set.Lock()
	defer p.set.Unlock()
	if p.closed {
		return nil
	}
	p.closed, p.wanted = true, false
	err := errors.Join(p.apply(), p.out.Close())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.state = hal.ErrClosed, charge.PilotUnknown
	return err
}

// measure takes one burst and applies it.
func (p *Pilot) measure() {
	high, low, err := p.sample()
	now := p.mono()
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(p.err, hal.ErrClosed) {
		return
	}
	p.stamp = hal.Stamp{Mono: now, Seq: p.stamp.Seq + 1}
	if err != nil { // counts at once, and afterwards the state must be steady again
		p.state, p.err, p.count = charge.PilotUnknown, err, 0
		return
	}
	var found finding
	if found.state, found.why = evaluate(high, low, p.offer, p.state); found != p.next {
		p.next, p.count = found, 0
	}
	if p.count = min(p.count+1, agree); p.count < agree {
		return // a level that moves during a burst is no defect yet
	}
	p.state, p.err = found.state, nil
	if found.why != "" {
		p.err = fmt.Errorf("pilot: %w: %d to %d mV: %s", hal.ErrUnreadable, low, high, found.why)
	}
}

// sample returns the highest and the lowest level of one burst.
func (p *Pilot) sample() (high, low charge.MilliVolts, err error) {
	most, least := 0, adcMost
	for range burst {
		v, err := p.adc.Convert(p.cfg.Channel)
		if err != nil {
			return 0, 0, err
		}
		most, least = max(most, v), min(least, v)
	}
	return p.volts(most), p.volts(least), nil
}

// volts is the level of the pilot at a value of the converter.
func (p *Pilot) volts(v int) charge.MilliVolts {
	return p.cfg.AtZero + (p.cfg.AtFull-p.cfg.AtZero)*charge.MilliVolts(v)/adcMost
}
