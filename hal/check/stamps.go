package check

import (
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/hal"
)

// input is one measured input: how to read its stamp, and its greatest age.
type input struct {
	name string
	age  time.Duration
	read func() (hal.Stamp, error)
}

// inputs are all measured inputs of the board; a device that is not fitted is left
// out.
func (p *Probe) inputs() (all []input) {
	add := func(name string, age time.Duration, read func() (hal.Stamp, error)) {
		if _, err := read(); !errors.Is(err, hal.ErrNotFitted) {
			all = append(all, input{name, age, read})
		}
	}
	_ = p.each(func(c *connector) error { // the connectors exist
		name := func(device string) string { return fmt.Sprintf("connector %d: %s", c.n, device) }
		add(name("pilot"), hal.MaxSafetyAge, func() (hal.Stamp, error) { _, s, err := c.Pilot().State(); return s, err })
		add(name("feedback"), hal.MaxSafetyAge, func() (hal.Stamp, error) { _, s, err := c.Contactor().Feedback(); return s, err })
		if d, ok := c.Connector.(hal.Protection); ok {
			add(name("protection"), hal.MaxSafetyAge, func() (hal.Stamp, error) { _, s, err := d.Tripped(); return s, err })
		}
		if d, err := c.Lock(); err == nil {
			add(name("lock"), hal.MaxSafetyAge, func() (hal.Stamp, error) { _, s, err := d.State(); return s, err })
		}
		if d, err := c.Proximity(); err == nil {
			add(name("proximity"), hal.MaxSafetyAge, func() (hal.Stamp, error) { _, s, err := d.CableLimit(); return s, err })
		}
		if d, err := c.Thermal(); err == nil {
			add(name("temperature"), hal.MaxThermalAge, func() (hal.Stamp, error) { _, s, err := d.Hottest(); return s, err })
		}
		return nil
	})
	if e, err := p.EStop(); err == nil {
		add("emergency stop", hal.MaxSafetyAge, func() (hal.Stamp, error) { _, s, err := e.Pressed(); return s, err })
	}
	return all
}

// freshStamps: stamps never go back and are never of the future, no value is older
// than its greatest age, each number belongs to one measurement, and a safety input
// is measured again and again.
func freshStamps(p *Probe) error {
	// Twenty ticks are longer than hal.MaxSafetyAge: a safety input that is never
	// measured again becomes stale.
	var errs []error
	for _, in := range p.inputs() {
		errs = append(errs, p.watch(in, 20))
	}
	return errors.Join(errs...)
}

// watch reads an input in a number of ticks.
func (p *Probe) watch(in input, ticks int) error {
	last, err := in.read()
	if err != nil {
		return fmt.Errorf("%s: %w", in.name, err)
	}
	first := last.Seq
	for range ticks {
		if err := p.pass(Tick); err != nil {
			return err
		}
		stamp, err := in.read()
		now := p.Mono()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", in.name, err)
		case stamp.Mono < last.Mono || stamp.Seq < last.Seq:
			return fmt.Errorf("%s: stamp went back from %+v to %+v", in.name, last, stamp)
		case stamp.Mono > now || now-stamp.Mono > in.age:
			return fmt.Errorf("%s: measured at %v, read at %v; want an age of 0 to %v", in.name, stamp.Mono, now, in.age)
		case stamp.Seq == last.Seq && stamp.Mono != last.Mono:
			return fmt.Errorf("%s: two times for measurement %d: %v and %v", in.name, stamp.Seq, last.Mono, stamp.Mono)
		}
		last = stamp
	}
	if last.Seq == first && in.age <= hal.MaxSafetyAge {
		return fmt.Errorf("%s: nothing newly measured in %d ticks", in.name, ticks)
	}
	return nil
}
