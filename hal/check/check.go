// Package check holds the rules of package hal that can be checked with nothing but
// the board: no simulated vehicle, no fault to inject. The agent runs them on site
// (agent hal-test), and hal/haltest runs them on every implementation, so both mean
// the same.
//
// Rules that switch outputs are marked. They close contactors for a moment, so they
// are for a board without a vehicle; Unplugged checks that. All other rules only
// read, and SafeState.
//
// The package knows no testing. A Probe is for one goroutine at a time.
package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// Rule is one promise of package hal.
type Rule struct {
	// Name states the rule.
	Name string
	// Remedy is what a person checks on site when the rule is broken.
	Remedy string
	// Switches is true for a rule that switches outputs.
	Switches bool
	// Check returns what contradicts the rule, nil, or hal.ErrNotFitted where the
	// board has no device that the rule is about. It leaves every contactor open.
	Check func(*Probe) error
}

// Rules lists all rules, those that only read first.
func Rules() []Rule {
	return append(readingRules(), switchingRules()...)
}

// Tick is the period of the safety loop.
const Tick = 10 * time.Millisecond

// Probe is a board under check.
type Probe struct {
	hal.Board
	ctx    context.Context //nolint:containedctx // a probe is one visit, which ctx ends; every rule waits
	keeper hal.Keeper      // nil: not fitted
}

// NewProbe puts a board under check. The end of ctx ends each wait.
func NewProbe(ctx context.Context, b hal.Board) *Probe {
	p := &Probe{Board: b, ctx: ctx}
	if k, err := b.Keeper(); err == nil {
		p.keeper = k
	}
	return p
}

// Unplugged returns why contactors must not be closed for a check: a vehicle that is
// plugged in, an emergency stop that is pressed, or one of them that cannot be read.
func (p *Probe) Unplugged() error {
	var errs []error
	errs = append(errs, p.each(func(c *connector) error {
		switch state, _, err := c.Pilot().State(); {
		case err != nil:
			return fmt.Errorf("the pilot cannot be read: %w", err)
		case state != charge.PilotA:
			return fmt.Errorf("pilot %v: a vehicle is plugged in; unplug it", state)
		}
		return nil
	}))
	e, err := p.EStop()
	if errors.Is(err, hal.ErrNotFitted) {
		return errors.Join(errs...)
	}
	if err == nil {
		var pressed bool
		if pressed, _, err = e.Pressed(); err == nil && pressed {
			err = errors.New("it is pressed; release it")
		}
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("emergency stop: %w", err))
	}
	return errors.Join(errs...)
}

// connector is the devices of one outlet with its number.
type connector struct {
	hal.Connector
	n charge.ConnectorID
}

// each calls do for every connector and joins the errors, each with its number.
// hal.ErrNotFitted is the result only if no connector has the device.
func (p *Probe) each(do func(*connector) error) error {
	var errs []error
	missing := 0
	for i := range p.Info().Connectors {
		n := charge.ConnectorID(i + 1)
		c, err := p.Connector(n)
		if err == nil {
			err = do(&connector{c, n})
		}
		switch {
		case errors.Is(err, hal.ErrNotFitted):
			missing++
		case err != nil:
			errs = append(errs, fmt.Errorf("connector %d: %w", n, err))
		}
	}
	if len(errs) == 0 && missing == p.Info().Connectors {
		return hal.ErrNotFitted
	}
	return errors.Join(errs...)
}

// pass lets time pass with a working safety loop, which reads the inputs and kicks
// the keeper. A kick that fails once is repeated in the next tick, as in the agent.
func (p *Probe) pass(d time.Duration) error {
	var kick error
	for end := p.Mono() + d; p.Mono() < end; {
		// Reading matters: a board may sample its inputs only when they are read.
		for i := range p.Info().Connectors {
			if c, err := p.Connector(charge.ConnectorID(i + 1)); err == nil {
				_, _, _ = c.Contactor().Feedback()
				_, _, _ = c.Pilot().State()
			}
		}
		kick = p.kick()
		if err := p.hang(Tick); err != nil {
			return err
		}
	}
	return kick
}

// passUntil lets time pass until done, for d at most.
func (p *Probe) passUntil(d time.Duration, done func() bool) error {
	for end := p.Mono() + d; p.Mono() < end && !done(); {
		if err := p.pass(Tick); err != nil {
			return err
		}
	}
	return nil
}

// hang lets time pass without any call, as a hung process does.
func (p *Probe) hang(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// kick kicks the keeper, where one is fitted.
func (p *Probe) kick() error {
	if p.keeper == nil {
		return nil
	}
	if err := p.keeper.Kick(); err != nil {
		return fmt.Errorf("kick: %w", err)
	}
	return nil
}
