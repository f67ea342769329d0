package check

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
)

// switchingRules switch outputs, one connector after another.
func switchingRules() []Rule {
	rules := []Rule{
		{
			Name: "a contactor closes and opens in time, alone", Check: contactorMoves,
			Remedy: "the relay's wire, the supply of the coil, the feedback contact; are two relays exchanged?",
		},
		{
			Name: "opening waits for nothing", Check: promptOpening,
			Remedy: "is the computer too slow or overloaded?",
		},
		{
			Name: "a missed kick opens, and only a new command closes", Check: missedKick,
			Remedy: "the dead-man device: its wire, its timeout; the coil's supply must pass through it",
		},
		{
			Name: "the lock moves both ways in time, and moves no contactor", Check: lockMoves,
			Remedy: "the lock's supply, its wires and end contacts, the time of its pulse",
		},
		{
			Name: "the residual current device passes its self-test", Check: selfTest,
			Remedy: "the test wire, the trip contact, the wiring of the residual current device",
		},
		{
			Name: "the pilot offers power and limits", Check: pilotOffers,
			Remedy: "the PWM pin and its overlay in config.txt",
		},
		{
			Name: "the lights show every state", Check: lightsShow,
			Remedy: "the pins of the lights",
		},
	}
	for i := range rules {
		rules[i].Switches = true
		check := rules[i].Check
		// Whatever fails, the contactors are open afterwards.
		rules[i].Check = func(p *Probe) error {
			err := check(p)
			open := p.SafeState()
			if err == nil && open == nil {
				return nil
			}
			if open == nil {
				return err // hal.ErrNotFitted as it is
			}
			return errors.Join(err, open)
		}
	}
	return rules
}

// close commands a contactor closed and waits until it must be.
func (p *Probe) close(c *connector) error {
	if err := p.kick(); err != nil { // no contactor closes before the first kick
		return err
	}
	if err := c.Contactor().Set(true); err != nil {
		return fmt.Errorf("set true: %w", err)
	}
	return p.pass(hal.MaxContactorDelay)
}

// measured reports an error for a contactor whose contact is not measured.
func measured(c *connector) error {
	if _, _, err := c.Contactor().Feedback(); errors.Is(err, hal.ErrNotFitted) {
		return err
	}
	return nil
}

// contactorMoves: a contactor closes and opens within hal.MaxContactorDelay,
// several times, while all others stay open; the description stays.
func contactorMoves(p *Probe) error {
	info := p.Info()
	return p.each(func(c *connector) error {
		if err := measured(c); err != nil {
			return err
		}
		for range 3 { // a latch could allow the first one only
			if err := p.close(c); err != nil {
				return err
			}
			if !c.Contactor().Commanded() {
				return errors.New("not commanded closed after Set(true)")
			}
			err := p.each(func(other *connector) error {
				if other.n == c.n {
					return contact(other, hal.ContactClosed)
				}
				return contact(other, hal.ContactOpen)
			})
			if err != nil {
				return fmt.Errorf("%v after Set(true): %w", hal.MaxContactorDelay, err)
			}
			if err := p.open(c); err != nil {
				return err
			}
		}
		if again := p.Info(); again != info {
			return fmt.Errorf("info changed: first %+v, then %+v", info, again)
		}
		return nil
	})
}

// open commands a contactor open and checks that it is, in time.
func (p *Probe) open(c *connector) error {
	if err := c.Contactor().Set(false); err != nil {
		return fmt.Errorf("set false: %w", err)
	}
	if c.Contactor().Commanded() {
		return errors.New("commanded closed after Set(false)")
	}
	if err := p.pass(hal.MaxContactorDelay); err != nil {
		return err
	}
	if err := contact(c, hal.ContactOpen); err != nil {
		return fmt.Errorf("%v after Set(false): %w", hal.MaxContactorDelay, err)
	}
	return nil
}

// promptOpening: opening takes less than a tick while the meters are being read.
func promptOpening(p *Probe) error {
	ctx, cancel := context.WithCancel(p.ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	return p.each(func(c *connector) error {
		if err := p.close(c); err != nil {
			return err
		}
		reading.Go(func() { _, _ = c.Meter().Read(ctx) })
		if err := p.hang(time.Millisecond); err != nil {
			return err
		}
		begin := p.Mono()
		err := errors.Join(c.Contactor().Set(false), p.SafeState())
		if took := p.Mono() - begin; took > Tick {
			err = errors.Join(err, fmt.Errorf("opening took %v while the meter was read", took))
		}
		return err
	})
}

// missedKick: with kicks the contactor stays closed; without them it opens within
// hal.MaxAgentGone and closes again only by a new Set(true).
func missedKick(p *Probe) error {
	if p.keeper == nil {
		return hal.ErrNotFitted
	}
	return p.each(func(c *connector) error {
		if err := measured(c); err != nil {
			return err
		}
		if err := p.close(c); err != nil {
			return err
		}
		if err := p.pass(2 * hal.MaxAgentGone); err != nil {
			return err
		}
		if err := contact(c, hal.ContactClosed); err != nil {
			return fmt.Errorf("although the keeper was kicked: %w", err)
		}
		if err := p.hang(hal.MaxAgentGone); err != nil {
			return err
		}
		if err := p.pass(2 * hal.MaxContactorDelay); err != nil {
			return err
		}
		if err := contact(c, hal.ContactOpen); err != nil {
			return fmt.Errorf("after %v without a kick: %w", hal.MaxAgentGone, err)
		}
		if err := p.close(c); err != nil {
			return err
		}
		if err := contact(c, hal.ContactClosed); err != nil {
			return fmt.Errorf("a new Set(true) after a trip: %w", err)
		}
		return p.open(c)
	})
}

// lockMoves: the bolt reaches each end within hal.MaxLockDelay, and every contactor
// stays open.
func lockMoves(p *Probe) error {
	return p.each(func(c *connector) error {
		l, err := c.Lock()
		if err != nil {
			return err
		}
		for _, want := range []hal.LockState{hal.LockLocked, hal.LockOpen, hal.LockLocked, hal.LockOpen} {
			for range 2 { // repeating a command is harmless
				if err := l.Set(want == hal.LockLocked); err != nil {
					return fmt.Errorf("lock: set: %w", err)
				}
			}
			arrived := func() bool { got, _, err := l.State(); return err == nil && got == want }
			if err := p.passUntil(hal.MaxLockDelay, arrived); err != nil {
				return err
			}
			if got, _, err := l.State(); err != nil || got != want {
				return fmt.Errorf("lock: %v after the command it is %v, error %q; want %v", hal.MaxLockDelay, got, fmt.Sprint(err), want)
			}
			if err := contact(c, hal.ContactOpen); err != nil {
				return fmt.Errorf("the lock moved: %w", err)
			}
		}
		return nil
	})
}

// selfTestLimit is the longest time that a self-test may take.
const selfTestLimit = 5 * time.Second

// selfTest: the residual current device trips in its test, which Protection does not
// report, and is reset afterwards.
func selfTest(p *Probe) error {
	return p.each(func(c *connector) error {
		g, err := c.GroundFault()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(p.ctx, selfTestLimit)
		defer cancel()
		if err := g.SelfTest(ctx); err != nil {
			return fmt.Errorf("self-test: %w", err)
		}
		if err := p.pass(hal.MaxContactorDelay); err != nil {
			return err
		}
		if d, ok := c.Connector.(hal.Protection); ok {
			if fault, _, err := d.Tripped(); err != nil || fault != "" {
				return fmt.Errorf("after the self-test the protection reports %q, error %q", fault, fmt.Sprint(err))
			}
		}
		return contact(c, hal.ContactOpen)
	})
}

// pilotOffers: an offer is made, limited and withdrawn without an error, and closes
// nothing.
func pilotOffers(p *Probe) error {
	return p.each(func(c *connector) error {
		defer func() { _ = c.Pilot().SetAvailable(false) }()
		for _, err := range []error{
			c.Pilot().SetCurrent(hal.MinOffer), c.Pilot().SetAvailable(true),
			c.Pilot().SetCurrent(0), c.Pilot().SetCurrent(p.Info().MaxCurrent),
		} {
			if err != nil {
				return fmt.Errorf("pilot: %w", err)
			}
		}
		if err := p.pass(hal.MaxContactorDelay); err != nil {
			return err
		}
		if err := contact(c, hal.ContactOpen); err != nil {
			return fmt.Errorf("with an offer: %w", err)
		}
		return c.Pilot().SetAvailable(false)
	})
}

// lightsShow: every light can be shown, the next one soon after the last.
func lightsShow(p *Probe) error {
	panel, err := p.Panel()
	if err != nil {
		return err
	}
	return p.each(func(c *connector) error {
		for l := hal.LightOff; l <= hal.LightIdentify; l++ {
			if err := panel.Show(c.n, l); err != nil {
				return fmt.Errorf("light %v: %w", l, err)
			}
			if err := p.pass(10 * Tick); err != nil {
				return err
			}
		}
		return panel.Show(c.n, hal.LightOff)
	})
}
