package sim

import (
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// physics is the whole board without clock and lock: the outlets and the dead-man
// device they share. step moves it to a time; all other methods act at the time
// of the last step.
type physics struct {
	cfg     Config
	outlets []*outlet
	trace   *trace

	now      time.Duration
	supplied bool          // the keeper supplies the coils; false before the first kick
	lastKick time.Duration // time of the last kick

	// The watchdog of the computer counts down from its first kick on.
	armed     bool
	resetAt   time.Duration
	resets    int
	wallClock wallClock
}

// newPhysics makes the outlets of a board, all open and without a vehicle.
func newPhysics(cfg Config) *physics {
	p := &physics{cfg: cfg, trace: newTrace(cfg.Trace), wallClock: wallClock{base: cfg.ClockTime}}
	for n := range cfg.Connectors {
		p.outlets = append(p.outlets, newOutlet(charge.ConnectorID(n+1), &p.cfg, p.trace))
	}
	return p
}

// step moves the board to now; keeper and watchdog expire at their exact times. A
// time in the past counts as the present.
func (p *physics) step(now time.Duration) {
	now = max(now, p.now)
	for p.expire(now) {
	}
	p.advance(now)
}

// expire advances to what expires first until now, and applies it; false: nothing
// does.
func (p *physics) expire(now time.Duration) bool {
	trip, reset := p.lastKick+p.cfg.Keeper, p.resetAt
	trips := p.keeperFitted() && p.supplied && trip <= now
	resets := p.armed && reset <= now
	switch {
	case resets && (!trips || reset < trip):
		p.advance(reset)
		p.reset()
	case trips:
		p.advance(trip)
		p.trip()
	}
	return trips || resets
}

// trip ends the supply of the coils: the keeper was not kicked.
func (p *physics) trip() {
	p.supplied = false
	for _, o := range p.outlets {
		o.latched = true
		o.setCoil(false)
	}
}

// reset is what the watchdog does to the computer, as far as the board observes
// it: all outputs fall.
func (p *physics) reset() {
	p.armed = false
	p.resets++
	p.openAll()
	for _, o := range p.outlets {
		o.offer(false)
		o.light = hal.LightOff
	}
}

// pet kicks the watchdog, and arms it.
func (p *physics) pet() { p.armed, p.resetAt = true, p.now+p.cfg.Watchdog }

// advance moves all outlets together, from one movement of a contact to the next,
// so that the trace is in the order of time.
func (p *physics) advance(to time.Duration) {
	for p.now < to {
		next := to
		for _, o := range p.outlets {
			if o.move.due {
				next = min(next, max(o.move.at, p.now))
			}
		}
		p.now = next
		for _, o := range p.outlets {
			o.advance(next)
		}
	}
}

// keeperFitted reports whether the board has a dead-man device.
func (p *physics) keeperFitted() bool { return p.cfg.Keeper > 0 }

// kick supplies the coils for another timeout. Those that the keeper has released
// stay off until they are commanded again.
func (p *physics) kick() {
	p.supplied, p.lastKick = true, p.now
	for _, o := range p.outlets {
		p.feed(o)
	}
}

// command sets the command of a contactor, which also ends the latch of a trip.
func (p *physics) command(o *outlet, on bool) {
	o.commanded, o.latched = on, false
	p.feed(o)
}

// feed switches a coil by its command, its latch and the keeper.
func (p *physics) feed(o *outlet) {
	o.setCoil(o.commanded && !o.latched && (p.supplied || !p.keeperFitted()))
}

// openAll commands every contactor open.
func (p *physics) openAll() {
	for _, o := range p.outlets {
		p.command(o, false)
	}
}

// pressed reports whether the emergency stop is pressed, by a fault of any
// connector.
func (p *physics) pressed() bool {
	for _, o := range p.outlets {
		if o.faults.has(faultEStop) {
			return true
		}
	}
	return false
}

// readerDead reports whether the card reader does not answer.
func (p *physics) readerDead() bool {
	for _, o := range p.outlets {
		if o.broken(ReaderDead) {
			return true
		}
	}
	return false
}

// wallClock is the clock that runs without power; the zero base has lost its time.
type wallClock struct {
	base time.Time
	at   time.Duration // of base
}

// now is the time of the clock; false if it has lost it.
func (w wallClock) now(mono time.Duration) (time.Time, bool) {
	return w.base.Add(mono - w.at), !w.base.IsZero()
}
