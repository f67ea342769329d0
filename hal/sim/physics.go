package sim

import (
	"time"

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
}

// newPhysics makes the outlets of a board, all open and without a vehicle.
func newPhysics(cfg Config) *physics {
	p := &physics{cfg: cfg, trace: newTrace(cfg.Trace)}
	for n := range cfg.Connectors {
		p.outlets = append(p.outlets, newOutlet(charge.ConnectorID(n+1), &p.cfg, p.trace))
	}
	return p
}

// step moves the board to now; the keeper trips at its exact time. A time in the
// past counts as the present.
func (p *physics) step(now time.Duration) {
	now = max(now, p.now)
	if trip := p.lastKick + p.cfg.Keeper; p.keeperFitted() && p.supplied && trip <= now {
		p.advance(trip)
		p.supplied = false
		for _, o := range p.outlets {
			o.latched = true
			o.setCoil(false)
		}
	}
	p.advance(now)
}

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
