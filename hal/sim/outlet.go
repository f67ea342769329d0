package sim

import (
	"math/rand/v2"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// change is a change of a boolean that happens at a known time.
type change struct {
	due bool
	at  time.Duration
	to  bool
}

// by reports whether it is due by then.
func (c *change) by(then time.Duration) bool { return c.due && c.at <= then }

// plan replaces the change by another one.
func (c *change) plan(at time.Duration, to bool) { *c = change{due: true, at: at, to: to} }

// outlet is the physics of one connector. It is for one caller and reads no
// clock: advance moves it to a time, all other methods act at that time.
//
// Invariant: milliwatts > 0 only while closed ∧ plugged ∧ asking.
// Invariant: register never goes down.
type outlet struct {
	id          charge.ConnectorID
	cfg         *Config
	delayRand   *rand.Rand
	vehicleRand *rand.Rand
	boltRand    *rand.Rand
	trace       *trace

	now time.Duration // all fields are as of this time

	// The contactor: the last command, whether the coil is fed, the contact.
	commanded bool
	latched   bool // tripped by the keeper: needs a new Set(true)
	coil      bool
	closed    bool
	since     time.Duration // of closed
	move      change        // of closed

	// The vehicle.
	plugged bool
	battery battery
	offered bool
	limit   charge.MilliAmps // per phase, as the pilot signals it
	asking  bool
	ask     change // of asking

	register   energy
	milliwatts int64
	heat       charge.MilliCelsius // of the contacts

	lock  lock
	light hal.Light

	faults  faults
	defects []Defect
	meter   meterState
}

// newOutlet makes the outlet of connector n. Each purpose has a random source of its
// own, so that one more delay does not change the vehicles.
func newOutlet(n charge.ConnectorID, cfg *Config, tr *trace) *outlet {
	stream := func(purpose uint64) *rand.Rand {
		return rand.New(rand.NewPCG(cfg.Seed, uint64(n)<<8|purpose))
	}
	o := &outlet{
		id: n, cfg: cfg, delayRand: stream(1), vehicleRand: stream(2), boltRand: stream(4), trace: tr,
		limit: cfg.MaxCurrent, heat: cfg.Ambient, lock: lock{state: hal.LockOpen},
	}
	first := between(stream(3), charge.WattHours(10_000), charge.WattHours(5_000_000))
	if i := int(n) - 1; i < len(cfg.Registers) {
		first = cfg.Registers[i]
	}
	o.register.whole = first
	return o
}

// advance moves the outlet to a time, from one change to the next, including
// those that are due at that time.
func (o *outlet) advance(to time.Duration) {
	for {
		next := to
		if o.move.due && o.move.at < next {
			next = o.move.at
		}
		if o.ask.due && o.ask.at < next {
			next = o.ask.at
		}
		if o.lock.move.due && o.lock.move.at < next {
			next = o.lock.move.at
		}
		if o.milliwatts > 0 || o.heat != o.warmsTo() {
			next = min(next, o.now-o.now%maxStep+maxStep)
		}
		o.flow(next)
		if o.move.by(o.now) {
			o.move.due = false
			o.setContact(o.move.to)
		}
		if o.ask.by(o.now) {
			o.ask.due = false
			o.asking = o.ask.to && o.plugged && !o.battery.full()
		}
		if o.lock.move.by(o.now) {
			o.lock.arrive()
		}
		o.updatePower()
		o.warm()
		if o.now >= to && !o.move.by(to) && !o.ask.by(to) && !o.lock.move.by(to) {
			return
		}
	}
}

// flow moves energy at the present power until then, into register and battery.
func (o *outlet) flow(then time.Duration) {
	if d := then - o.now; d > 0 {
		o.register.add(o.milliwatts, d)
		o.battery.stored.add(o.milliwatts, d)
		o.now = then
	}
}

// updatePower computes the power from the present state. Between two multiples of
// maxStep it changes only when a contact or the vehicle does. Otherwise the times
// of the calls would decide how much energy flows.
func (o *outlet) updatePower() {
	if o.now%maxStep == 0 && o.plugged && o.battery.full() {
		o.asking, o.ask.due = false, false
	}
	if !o.closed || !o.plugged || !o.asking || o.faults.has(faultPilot) {
		o.milliwatts = 0
		return
	}
	if o.milliwatts == 0 || o.now%maxStep == 0 {
		o.milliwatts = o.battery.draws(o.permitted())
	}
}

// permitted is the power, in milliwatts, that the board and its pilot permit.
func (o *outlet) permitted() int64 {
	rated := int64(o.cfg.RatedPower) * 1_000
	switch {
	case !o.cfg.Steered:
		return rated
	case o.limit < hal.MinOffer:
		return 0
	}
	return min(rated, o.cfg.powerAt(o.limit))
}

// setCoil switches the coil; the contact follows after its delay, unless it is
// welded or stuck.
func (o *outlet) setCoil(on bool) {
	if o.coil == on {
		return
	}
	o.coil = on
	o.planMove()
}

// planMove plans the movement of the contact towards its coil. A welded or stuck
// contact does not move.
func (o *outlet) planMove() {
	switch {
	case o.faults.has(faultWelded), o.faults.has(faultStuck), o.closed == o.coil:
		o.move.due = false
	default:
		o.move.plan(o.now+o.cfg.Contactor.Draw(o.delayRand), o.coil)
	}
}

// setContact moves the contact now and adds that to the trace.
func (o *outlet) setContact(closed bool) {
	if o.closed == closed {
		return
	}
	o.closed, o.since = closed, o.now
	o.trace.add(Switch{Mono: o.now, Connector: o.id, Closed: closed})
}

// plug connects a vehicle, which requests power after a delay; with PWM only once
// it is offered.
func (o *outlet) plug(v Vehicle) {
	o.plugged, o.battery, o.asking = true, newBattery(v), false
	o.ask.due = false
	if o.offers() || !o.cfg.PWM {
		o.planAsk(true)
	}
}

// unplug pulls the cable, which ends the power at once.
func (o *outlet) unplug() {
	o.plugged, o.asking, o.ask.due = false, false, false
	o.battery = battery{}
	o.updatePower()
}

// planAsk lets the vehicle begin or stop to request power after its delay.
func (o *outlet) planAsk(want bool) {
	if !o.plugged {
		return
	}
	o.ask.plan(o.now+o.cfg.Asks.Draw(o.vehicleRand), want)
}

// offers reports whether the pilot offers power: below hal.MinOffer there is no
// offer.
func (o *outlet) offers() bool { return o.offered && (!o.cfg.Steered || o.limit >= hal.MinOffer) }

// offer makes or withdraws the offer of power.
func (o *outlet) offer(on bool) { o.signal(on, o.limit) }

// setLimit sets the current that the pilot signals; the vehicle follows at once.
func (o *outlet) setLimit(limit charge.MilliAmps) {
	if !o.cfg.Steered {
		return
	}
	o.signal(o.offered, min(limit, o.cfg.MaxCurrent))
	o.milliwatts = 0
	o.updatePower()
}

// signal changes what the pilot signals. A vehicle that follows it requests power
// when an offer begins, and ends that when the offer ends.
func (o *outlet) signal(offered bool, limit charge.MilliAmps) {
	before := o.offers()
	o.offered, o.limit = offered, limit
	if o.offers() != before && (o.cfg.PWM || o.cfg.Steered) {
		o.planAsk(o.offers())
	}
}

// pilot is the state of the control pilot by IEC 61851. There is no D.
func (o *outlet) pilot() charge.PilotState {
	switch {
	case o.faults.has(faultPilot):
		return charge.PilotE
	case !o.plugged:
		return charge.PilotA
	case o.asking:
		return charge.PilotC
	}
	return charge.PilotB
}

// current is the current per phase as the meter shows it.
func (o *outlet) current() charge.MilliAmps {
	if o.faults.has(faultOvercurrent) {
		return o.cfg.MaxCurrent * 3 / 2
	}
	return o.cfg.currentOf(o.milliwatts)
}
