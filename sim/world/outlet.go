package world

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// wattHour is a watt-hour in microjoules. Energy is counted in this unit so that
// integer arithmetic over short intervals loses nothing.
const wattHour = 3_600_000_000

// outlet is the hardware of one connector and the vehicle at its cable. It exists
// independently of the agent. Its state is the ground truth of the checks: the
// agent only sees it through the pilot, the contact and the meter.
//
// The fields ending in Gen are generation counters: a scheduled change compares
// the counter with its value at scheduling, and is dropped if it moved on.
type outlet struct {
	w     *World
	agent *agent
	id    charge.ConnectorID
	rng   random

	// The limit of the core, and those before, while the vehicle may follow them.
	limit  charge.MilliAmps
	before []pastLimit

	commanded, closed bool // the contactor's coil, and its contact
	moveGen           int  // of movements of the contact

	plugged    bool
	offered    bool // the pilot offers power (PWM)
	requesting bool // the vehicle requests power (pilot C)
	// The vehicle does not want power for now.
	paused     bool
	requestGen int // of decisions of the vehicle
	// Of vehicles: changes with each plug and unplug.
	vehicleGen int
	// What the vehicle still needs, in microjoules.
	remaining  int64
	milliwatts int64 // the vehicle's power while it flows

	// Through the meter until flowSince, in microjoules.
	energy    int64
	flowing   bool
	flowGen   int // of intervals of constant power
	flowSince time.Duration

	broken hardwareFaults
	// It was repaired while the agent did not run: its latched faults are to be reset.
	resetDue bool

	// For the checks: the present closure of the contact.
	closedFrom charge.WattHours // register when it closed
	// Session for which it closed; "" if it was welded.
	closedFor charge.SessionID
	// Session for which the agent last permitted power.
	permittedFor charge.SessionID
}

// hardwareFaults is what is broken now.
type hardwareFaults struct {
	// The contact does not open, does not close.
	welded, stuck bool
	meter         bool // the meter does not answer
	pilot         bool // the pilot shows E
	input         bool // the safety inputs cannot be read
	tripped       charge.Fault
	pressed       bool // emergency stop
}

// initialRegister is what every meter shows at the beginning of a run.
const initialRegister charge.WattHours = 1_000_000

// register is what the meter shows. It is always right; a broken meter does not answer.
func (o *outlet) register() charge.WattHours {
	return initialRegister + charge.WattHours((o.energy+o.flowed())/wattHour)
}

// flowed returns the energy since flowSince, in microjoules, at most what the vehicle needs.
func (o *outlet) flowed() int64 {
	if !o.flowing {
		return 0
	}
	return min(o.remaining, o.milliwatts*(o.w.now-o.flowSince).Microseconds()/1000)
}

// integrate adds up the energy until now, and decides whether power flows from now
// on. It is called before and after every change that influences the flow.
func (o *outlet) integrate() {
	e := o.flowed()
	o.energy += e
	o.remaining -= e
	o.flowSince = o.w.now
	o.flowGen++
	if o.remaining <= 0 && o.requesting { // full
		o.requesting = false
		o.requestGen++
		o.wakeControlLoop()
	}
	// The pilot in state E stops the vehicle as well.
	o.flowing = o.closed && o.plugged && o.requesting && !o.broken.pilot
	if !o.flowing {
		return
	}
	n := o.flowGen
	// The moment at which the vehicle is full ends the flow.
	o.w.after(time.Duration(o.remaining*1000/o.milliwatts+1)*time.Microsecond, "vehicle full", func() {
		if o.flowGen == n {
			o.integrate()
		}
	})
}

// pilot returns the state of the control pilot.
func (o *outlet) pilot() charge.PilotState {
	switch {
	case o.broken.pilot:
		return charge.PilotE
	case !o.plugged:
		return charge.PilotA
	case o.requesting:
		return charge.PilotC
	}
	return charge.PilotB
}

// wakeControlLoop makes the agent's control loop evaluate the changed hardware.
func (o *outlet) wakeControlLoop() {
	if b := o.agent.run; b != nil {
		b.wakeControlLoop()
	}
}

// command switches the coil; the contact follows within 60 ms.
func (o *outlet) command(on bool) {
	o.commanded = on
	o.actuate()
}

// actuate moves the contact towards the command, if it can move.
func (o *outlet) actuate() {
	o.moveGen++
	move := o.moveGen
	// A movement in the other direction that was scheduled is obsolete now.
	if o.closed == o.commanded || o.broken.welded || o.broken.stuck {
		return
	}
	o.w.after(o.rng.between(span{20 * time.Millisecond, 60 * time.Millisecond}), "contact", func() {
		if move == o.moveGen && !o.broken.welded && !o.broken.stuck {
			o.moveContact(o.commanded)
		}
	})
}

// moveContact opens or closes the contact, and accounts the energy of a closure
// to the session for which it closed.
func (o *outlet) moveContact(closed bool) {
	if o.closed == closed {
		return
	}
	o.integrate()
	o.closed = closed
	o.integrate()
	if closed {
		// All energy until the contact opens belongs to this session.
		o.closedFrom, o.closedFor = o.register(), o.permittedFor
		if o.broken.welded {
			o.closedFor = ""
		}
		o.w.checkClosing(o)
	} else {
		o.w.addEnergy(o, o.register()-o.closedFrom)
	}
	o.wakeControlLoop()
}

// offer switches the offer of power on the pilot.
func (o *outlet) offer(on bool) {
	o.offered = on
	o.updateRequest()
}

// updateRequest lets the vehicle decide whether it requests power; it needs up to
// 800 ms for it.
func (o *outlet) updateRequest() {
	o.requestGen++
	n := o.requestGen
	// The decision is made now and takes effect later, unless another one is made
	// meanwhile.
	want := o.plugged && o.offered && !o.paused && o.remaining > 0
	if want == o.requesting {
		return
	}
	o.w.after(o.rng.between(span{200 * time.Millisecond, 800 * time.Millisecond}), "vehicle decides", func() {
		if n == o.requestGen {
			o.integrate()
			o.requesting = want
			o.integrate()
			o.wakeControlLoop()
		}
	})
}

// plug connects a vehicle with a need and a power. It reports false if another
// vehicle is connected.
func (o *outlet) plug(need charge.WattHours, power charge.Watts) bool {
	if o.plugged {
		return false
	}
	o.integrate()
	o.vehicleGen++
	o.plugged, o.paused, o.remaining, o.milliwatts = true, false, int64(need)*wattHour, int64(power)*1000
	o.updateRequest()
	o.wakeControlLoop()
	return true
}

// unplug pulls the cable, even under power.
func (o *outlet) unplug() {
	o.integrate()
	o.plugged, o.requesting = false, false
	o.requestGen++
	o.vehicleGen++
	o.integrate()
	o.wakeControlLoop()
}

// setPaused makes the vehicle stop requesting power, or request it again.
func (o *outlet) setPaused(on bool) {
	o.paused = on
	o.updateRequest()
}

// breakDown injects a hardware fault.
func (o *outlet) breakDown(f charge.Fault) {
	o.integrate()
	b := &o.broken
	switch f { //nolint:exhaustive // the others trip the protection
	case charge.FaultContactorWelded:
		b.welded = true
	case charge.FaultContactorStuck:
		b.stuck = true
		o.moveContact(false)
	case charge.FaultMeter:
		b.meter = true
	case charge.FaultPilot:
		b.pilot = true
	case charge.FaultSafetyInput:
		b.input = true
	case charge.FaultEmergencyStop:
		b.pressed = true
	default:
		b.tripped = f
	}
	o.integrate()
	o.wakeControlLoop()
}

// repair repairs everything. A welded contactor is replaced, so it is open unless
// it is commanded to close.
func (o *outlet) repair() {
	o.integrate()
	o.broken = hardwareFaults{}
	if o.commanded {
		o.actuate()
	} else {
		o.moveContact(false)
	}
	o.updateRequest()
	o.integrate()
	// A repair includes a reset of the latched faults: at once, or when the agent runs.
	if b := o.agent.run; b != nil && b.ready {
		b.connectors[o.id-1].reset = true
	} else {
		o.resetDue = true
	}
	o.wakeControlLoop()
}
