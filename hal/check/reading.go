package check

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// readingRules only read, and command the contactors open.
func readingRules() []Rule {
	return []Rule{
		{
			Name: "the description is plausible", Check: description,
			Remedy: "the configuration of the hardware: rated power, voltage, phases",
		},
		{
			Name: "an unknown connector is refused with the range", Check: unknownConnector,
			Remedy: "this is a fault of the program; please report it",
		},
		{
			Name: "a device that is not fitted is an error, never nil", Check: absentDevices,
			Remedy: "this is a fault of the program; please report it",
		},
		{
			Name: "every contactor is open, and safe state repeats", Check: safeState,
			Remedy: "a contactor may be welded, or its feedback contact is configured the wrong way round",
		},
		{
			Name: "inputs are measured again and again, with fresh stamps", Check: freshStamps,
			Remedy: "the wires and the bus of the named input; is the computer too slow or overloaded?",
		},
		{
			Name: "the meter counts up and keeps its identity", Check: meterCounts,
			Remedy: "the meter's wires (A and B exchanged?), address, speed and type",
		},
		{
			Name: "a reading of the meter ends with its context", Check: meterContext,
			Remedy: "this is a fault of the program; please report it",
		},
		{
			Name: "temperatures are plausible", Check: temperatures,
			Remedy: "the wires and the address of the named sensor",
		},
		{
			Name: "the card reader answers", Check: readerAnswers,
			Remedy: "the reader's wires, its bus and its mode switches",
		},
		{
			Name: "the clock goes on", Check: clockGoesOn,
			Remedy: "the battery of the clock; set it once when the network has the time",
		},
	}
}

// description: what Info states is possible.
func description(p *Probe) error {
	i := p.Info()
	if i.Model == "" || i.Connectors < 1 || i.Connectors > charge.MaxConnectors || i.RatedPower <= 0 ||
		i.MaxCurrent <= 0 || i.Voltage <= 0 || i.Phases != 1 && i.Phases != 3 {
		return fmt.Errorf("info: got %+v", i)
	}
	if again := p.Info(); again != i {
		return fmt.Errorf("info changed: first %+v, then %+v", i, again)
	}
	return nil
}

// unknownConnector: a connector that does not exist is an error that names the
// range.
func unknownConnector(p *Probe) error {
	var errs []error
	last := p.Info().Connectors
	for _, n := range []charge.ConnectorID{-1, 0, charge.ConnectorID(last + 1)} {
		c, err := p.Connector(n)
		if err == nil || c != nil {
			errs = append(errs, fmt.Errorf("connector %d exists; want an error", n))
		} else if text := err.Error(); !strings.Contains(text, strconv.Itoa(last)) {
			errs = append(errs, fmt.Errorf("connector %d: %q does not name the range 1 to %d", n, text, last))
		}
	}
	return errors.Join(errs...)
}

// there checks one optional device: there is one, or its error is
// hal.ErrNotFitted.
func there(name string, missing bool, err error) error {
	switch {
	case err == nil && missing:
		return fmt.Errorf("%s: nil without an error", name)
	case err != nil && !missing:
		return fmt.Errorf("%s: a device with the error %q", name, err.Error())
	case err != nil && !errors.Is(err, hal.ErrNotFitted):
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// absentDevices: every device is there, or its error is hal.ErrNotFitted.
func absentDevices(p *Probe) error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	e, err := p.EStop()
	add(there("emergency stop", e == nil, err))
	k, err := p.Keeper()
	add(there("keeper", k == nil, err))
	if k != nil && (k.Timeout() <= 0 || k.Timeout() > hal.MaxAgentGone) {
		add(fmt.Errorf("keeper: timeout %v; want above 0 and at most %v", k.Timeout(), hal.MaxAgentGone))
	}
	r, err := p.Reader()
	add(there("reader", r == nil, err))
	if r != nil {
		if tokens := r.Tokens(); tokens == nil || tokens != r.Tokens() {
			add(errors.New("reader: its channel is nil or changes"))
		}
	}
	f, err := p.Panel()
	add(there("front panel", f == nil, err))
	if f != nil {
		if presses := f.Presses(); presses == nil || presses != f.Presses() {
			add(errors.New("front panel: its channel is nil or changes"))
		}
	}
	w, err := p.Watchdog()
	add(there("watchdog", w == nil, err))
	if w != nil && w.Timeout() <= 0 {
		add(fmt.Errorf("watchdog: timeout %v", w.Timeout()))
	}
	c, err := p.Clock()
	add(there("clock", c == nil, err))
	add(p.each(func(c *connector) error { return absentOf(p.ctx, c) }))
	return errors.Join(errs...)
}

// absentOf is absentDevices of one connector.
func absentOf(ctx context.Context, c *connector) error {
	l, lockErr := c.Lock()
	x, cableErr := c.Proximity()
	g, groundErr := c.GroundFault()
	t, heatErr := c.Thermal()
	errs := []error{
		there("lock", l == nil, lockErr), there("proximity", x == nil, cableErr),
		there("ground fault", g == nil, groundErr), there("thermal", t == nil, heatErr),
	}
	if t != nil && len(t.Sensors()) == 0 {
		errs = append(errs, errors.New("thermal: no sensor has a name"))
	}
	if state, _, err := c.Contactor().Feedback(); err != nil && state != hal.ContactUnknown {
		errs = append(errs, fmt.Errorf("feedback with error %w: got %v, want unknown", err, state))
	}
	// A meter is fitted for both of its methods or for none.
	_, err := c.Meter().Read(ctx)
	if _, idErr := c.Meter().Identity(); errors.Is(err, hal.ErrNotFitted) != errors.Is(idErr, hal.ErrNotFitted) {
		errs = append(errs, fmt.Errorf("meter: read returns %q, identity %q", fmt.Sprint(err), fmt.Sprint(idErr)))
	}
	return errors.Join(errs...)
}

// safeState: SafeState may be repeated, and every contactor is measured open after
// it.
func safeState(p *Probe) error {
	for range 2 {
		if err := p.SafeState(); err != nil {
			return fmt.Errorf("safe state: %w", err)
		}
	}
	if err := p.pass(hal.MaxContactorDelay); err != nil {
		return err
	}
	return p.each(func(c *connector) error {
		if c.Contactor().Commanded() {
			return errors.New("commanded closed after safe state")
		}
		return contact(c, hal.ContactOpen)
	})
}

// contact checks what is measured at a contact; without feedback nothing is.
func contact(c *connector, want hal.ContactState) error {
	got, _, err := c.Contactor().Feedback()
	switch {
	case errors.Is(err, hal.ErrNotFitted):
		return nil
	case err != nil:
		return fmt.Errorf("feedback: %w", err)
	case got != want:
		return fmt.Errorf("feedback shows %v, want %v", got, want)
	}
	return nil
}

// meterCounts: the register never goes down, each reading is a new one, and the
// meter keeps its name. At rest no power flows.
func meterCounts(p *Probe) error {
	return p.each(func(c *connector) error {
		identity, err := c.Meter().Identity()
		if err != nil {
			return fmt.Errorf("identity: %w", err)
		}
		last, err := c.Meter().Read(p.ctx)
		if err != nil {
			return fmt.Errorf("meter: %w", err)
		}
		for range 3 {
			if err := p.pass(10 * Tick); err != nil {
				return err
			}
			got, err := c.Meter().Read(p.ctx)
			switch {
			case err != nil:
				return fmt.Errorf("meter: %w", err)
			case got.Import < last.Import || got.Mono < last.Mono || got.Seq <= last.Seq:
				return fmt.Errorf("meter went back from %+v to %+v", last, got)
			case got.Import < 0 || got.Import > charge.MaxRegister || got.Power > 2*p.Info().RatedPower || got.Mono > p.Mono():
				return fmt.Errorf("meter shows what cannot be: %+v", got)
			}
			last = got
		}
		if again, err := c.Meter().Identity(); err != nil || again != identity {
			return fmt.Errorf("identity: first %+v, then %+v, error %q", identity, again, fmt.Sprint(err))
		}
		return nil
	})
}

// meterContext: a reading whose context has ended is an error of that context.
func meterContext(p *Probe) error {
	ctx, cancel := context.WithCancel(p.ctx)
	cancel()
	return p.each(func(c *connector) error {
		_, err := c.Meter().Read(ctx)
		switch {
		case errors.Is(err, hal.ErrNotFitted):
			return err
		case !errors.Is(err, context.Canceled):
			return fmt.Errorf("cancelled reading: got %q, want %w", fmt.Sprint(err), context.Canceled)
		}
		return nil
	})
}

// temperatures: every sensor shows what a charging point can have.
func temperatures(p *Probe) error {
	return p.each(func(c *connector) error {
		t, err := c.Thermal()
		if err != nil {
			return err
		}
		hottest, _, err := t.Hottest()
		if err != nil {
			return fmt.Errorf("sensors %v: %w", t.Sensors(), err)
		}
		if hottest < -45_000 || hottest > 130_000 {
			return fmt.Errorf("sensors %v: %d m°C cannot be; is a sensor cut or shorted?", t.Sensors(), hottest)
		}
		return nil
	})
}

// readerAnswers: the reader is there and answers.
func readerAnswers(p *Probe) error {
	r, err := p.Reader()
	if err != nil || r == nil { // a nil is what absentDevices reports
		return err
	}
	return r.Healthy()
}

// clockGoesOn: the clock has a time, and a later one later.
func clockGoesOn(p *Probe) error {
	c, err := p.Clock()
	if err != nil {
		return err
	}
	first, err := c.Now()
	if err != nil {
		return err
	}
	if err := p.hang(10 * Tick); err != nil {
		return err
	}
	switch then, err := c.Now(); {
	case err != nil:
		return err
	case then.Before(first):
		return fmt.Errorf("it went back from %v to %v", first, then)
	}
	return nil
}
