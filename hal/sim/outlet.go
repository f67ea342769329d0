package sim

import (
	"math/rand/v2"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// change is one thing that will happen by itself at a known time.
type change struct {
	due bool
	at  time.Duration
	to  bool
}

// by tells whether it has happened by then.
func (c *change) by(then time.Duration) bool { return c.due && c.at <= then }

func (c *change) plan(at time.Duration, to bool) { *c = change{due: true, at: at, to: to} }

// outlet is the physics of one connector. It has one caller and knows no
// clock: advance brings it to a time, everything else acts at that time.
//
// Invariant: milliwatts > 0 only while closed ∧ plugged ∧ asking.
// Invariant: register never goes down.
type outlet struct {
	id          charge.ConnectorID
	cfg         *Config
	delayRand   *rand.Rand
	vehicleRand *rand.Rand
	trace       *trace

	now time.Duration

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
	asking  bool
	ask     change // of asking

	register   energy
	milliwatts int64

	faults faults
	meter  meterState
}

func newOutlet(n charge.ConnectorID, cfg *Config, tr *trace) *outlet {
	stream := func(purpose uint64) *rand.Rand {
		return rand.New(rand.NewPCG(cfg.Seed, uint64(n)<<8|purpose))
	}
	o := &outlet{id: n, cfg: cfg, delayRand: stream(1), vehicleRand: stream(2), trace: tr}
	first := between(stream(3), charge.WattHours(10_000), charge.WattHours(5_000_000))
	if i := int(n) - 1; i < len(cfg.Registers) {
		first = cfg.Registers[i]
	}
	o.register.whole = first
	return o
}

// advance lets everything happen that happens by itself up to and with to.
func (o *outlet) advance(to time.Duration) {
	for {
		next := to
		if o.move.due && o.move.at < next {
			next = o.move.at
		}
		if o.ask.due && o.ask.at < next {
			next = o.ask.at
		}
		if o.milliwatts > 0 {
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
		o.updatePower()
		if o.now >= to && !o.move.by(to) && !o.ask.by(to) {
			return
		}
	}
}

// flow moves energy at the present power until then.
func (o *outlet) flow(then time.Duration) {
	if d := then - o.now; d > 0 {
		o.register.add(o.milliwatts, d)
		o.battery.stored.add(o.milliwatts, d)
		o.now = then
	}
}

// updatePower computes the power from what holds now. Between two multiples of
// slice it changes only when a contact or the vehicle does, or else the times
// at which somebody looks would decide how much flows.
func (o *outlet) updatePower() {
	if o.now%maxStep == 0 && o.plugged && o.battery.full() {
		o.asking, o.ask.due = false, false
	}
	if !o.closed || !o.plugged || !o.asking || o.faults.has(faultPilot) {
		o.milliwatts = 0
		return
	}
	if o.milliwatts == 0 || o.now%maxStep == 0 {
		o.milliwatts = o.battery.draws(o.cfg.RatedPower)
	}
}

// setCoil feeds the coil or not; the contact follows after its delay, unless
// it is welded or stuck.
func (o *outlet) setCoil(on bool) {
	if o.coil == on {
		return
	}
	o.coil = on
	o.planMove()
}

// planMove plans the contact's movement towards where the coil and the faults
// want it.
func (o *outlet) planMove() {
	switch {
	case o.faults.has(faultWelded), o.faults.has(faultStuck), o.closed == o.coil:
		o.move.due = false
	default:
		o.move.plan(o.now+o.cfg.Contactor.Draw(o.delayRand), o.coil)
	}
}

func (o *outlet) setContact(closed bool) {
	if o.closed == closed {
		return
	}
	o.closed, o.since = closed, o.now
	o.trace.add(Switch{Mono: o.now, Connector: o.id, Closed: closed})
}

// plug connects a vehicle, which asks for power by itself.
func (o *outlet) plug(v Vehicle) {
	o.plugged, o.battery, o.asking = true, newBattery(v), false
	o.ask.due = false
	if o.offered || !o.cfg.PWM {
		o.planAsk(true)
	}
}

// unplug pulls the cable: the power ends with it, at once.
func (o *outlet) unplug() {
	o.plugged, o.asking, o.ask.due = false, false, false
	o.battery = battery{}
	o.updatePower()
}

// planAsk lets the vehicle begin or cease to ask after its delay.
func (o *outlet) planAsk(want bool) {
	if !o.plugged {
		return
	}
	o.ask.plan(o.now+o.cfg.Asks.Draw(o.vehicleRand), want)
}

func (o *outlet) offer(on bool) {
	if o.offered == on {
		return
	}
	o.offered = on
	if o.cfg.PWM {
		o.planAsk(on)
	}
}

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

func (o *outlet) current() charge.MilliAmps {
	if o.faults.has(faultOvercurrent) {
		return o.cfg.MaxCurrent * 3 / 2
	}
	return o.cfg.currentOf(o.milliwatts)
}

// The temperature of an idle outlet, and what full power adds, in m°C.
const (
	ambient = 22_000
	heating = 20_000
)

func (o *outlet) temperature() charge.MilliCelsius {
	if o.faults.has(faultHot) {
		return o.cfg.TempLimit + 15_000
	}
	return charge.MilliCelsius(ambient + o.milliwatts*heating/(int64(o.cfg.RatedPower)*1_000))
}
