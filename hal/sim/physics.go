package sim

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// physics is the whole board without clock and lock: the outlets and the
// dead-man device they share. step brings it to a time; every other method
// acts at the time of the last step.
type physics struct {
	cfg     Config
	outlets []*outlet
	trace   *trace

	now      time.Duration
	supplied bool          // the keeper feeds the coils
	lastKick time.Duration // the last kick
}

func newPhysics(cfg Config) *physics {
	p := &physics{cfg: cfg, trace: newTrace(cfg.Trace)}
	for n := range cfg.Connectors {
		p.outlets = append(p.outlets, newOutlet(charge.ConnectorID(n+1), &p.cfg, p.trace))
	}
	return p
}

// step lets everything happen up to and with now. A time in the past is taken
// as the present.
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

// advance moves all outlets on together, from one movement of a contact to the
// next, so that the trace is in the order of time.
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

func (p *physics) keeperFitted() bool { return p.cfg.Keeper > 0 }

// kick feeds the coils for another timeout. Those that the keeper has let go
// stay without until they are commanded anew.
func (p *physics) kick() {
	p.supplied, p.lastKick = true, p.now
	for _, o := range p.outlets {
		p.feed(o)
	}
}

func (p *physics) command(o *outlet, on bool) {
	o.commanded, o.latched = on, false
	p.feed(o)
}

func (p *physics) feed(o *outlet) {
	o.setCoil(o.commanded && !o.latched && (p.supplied || !p.keeperFitted()))
}

func (p *physics) openAll() {
	for _, o := range p.outlets {
		p.command(o, false)
	}
}

func (p *physics) pressed() bool {
	for _, o := range p.outlets {
		if o.faults.has(faultEStop) {
			return true
		}
	}
	return false
}
