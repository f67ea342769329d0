package world

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// wattHour in microjoules.
const wattHour = 3_600_000_000

// outlet is the hardware of one connector and the vehicle on its cable. It
// outlives the agent; what it says is the truth.
type outlet struct {
	w     *World
	agent *agent
	id    charge.ConnectorID
	rng   random

	commanded, closed bool
	moveGen           int // so that an older movement is told

	plugged, offered, requesting bool
	paused                       bool // the vehicle does not want for a while
	requestGen                   int  // so that an older decision of the vehicle is told
	vehicleGen                   int  // of the vehicle that is plugged in, counted
	remaining                    int64
	milliwatts                   int64

	energy    int64 // through the meter, in microjoules
	flowing   bool
	flowGen   int // so that an older end of it is told
	flowSince time.Duration

	broken hardwareFaults

	// What the checkers know of the present closure of the contact.
	closedFrom   charge.WattHours
	closedFor    charge.SessionID
	permittedFor charge.SessionID // for which the agent last permitted power
}

// hardwareFaults is what is broken.
type hardwareFaults struct {
	welded, stuck, meter, pilot, input bool
	tripped                            charge.Fault
	pressed                            bool
}

func (h hardwareFaults) any() bool { return h != hardwareFaults{} }

const initialRegister charge.WattHours = 1_000_000

// register is what the meter shows, which is the truth.
func (o *outlet) register() charge.WattHours {
	return initialRegister + charge.WattHours((o.energy+o.flowed())/wattHour)
}

// flowed is what flowed since it was last added up.
func (o *outlet) flowed() int64 {
	if !o.flowing {
		return 0
	}
	return min(o.remaining, o.milliwatts*(o.w.now-o.flowSince).Microseconds()/1000)
}

// integrate adds up and finds out whether power flows from now on.
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
	o.flowing = o.closed && o.plugged && o.requesting && !o.broken.pilot
	if !o.flowing {
		return
	}
	n := o.flowGen
	o.w.after(time.Duration(o.remaining*1000/o.milliwatts+1)*time.Microsecond, "vehicle full", func() {
		if o.flowGen == n {
			o.integrate()
		}
	})
}

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

// wakeControlLoop has the control loop look again.
func (o *outlet) wakeControlLoop() {
	if b := o.agent.run; b != nil {
		b.wakeControlLoop()
	}
}

// command commands the contactor, which follows in its time.
func (o *outlet) command(on bool) {
	o.commanded = on
	o.actuate()
}

func (o *outlet) actuate() {
	o.moveGen++
	move := o.moveGen
	if o.closed == o.commanded || o.broken.welded || o.broken.stuck {
		return
	}
	o.w.after(o.rng.between(span{20 * time.Millisecond, 60 * time.Millisecond}), "contact", func() {
		if move == o.moveGen && !o.broken.welded && !o.broken.stuck {
			o.moveContact(o.commanded)
		}
	})
}

// moveContact is the contact itself.
func (o *outlet) moveContact(closed bool) {
	if o.closed == closed {
		return
	}
	o.integrate()
	o.closed = closed
	o.integrate()
	if closed {
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

// offer tells the vehicle that it may ask, or may not.
func (o *outlet) offer(on bool) {
	o.offered = on
	o.updateRequest()
}

// updateRequest lets the vehicle ask or not, after its time.
func (o *outlet) updateRequest() {
	o.requestGen++
	n := o.requestGen
	want := o.plugged && o.offered && !o.paused && o.remaining > 0
	if want == o.requesting {
		return
	}
	o.w.after(o.rng.between(span{200 * time.Millisecond, 800 * time.Millisecond}), "vehicle asks", func() {
		if n == o.requestGen {
			o.integrate()
			o.requesting = want
			o.integrate()
			o.wakeControlLoop()
		}
	})
}

// plug connects a vehicle that takes so much; it reports false when another one
// stands there.
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

// unplug pulls the cable, under power too.
func (o *outlet) unplug() {
	o.integrate()
	o.plugged, o.requesting = false, false
	o.requestGen++
	o.vehicleGen++
	o.integrate()
	o.wakeControlLoop()
}

// setPaused makes the vehicle stop asking, or ask again.
func (o *outlet) setPaused(on bool) {
	o.paused = on
	o.updateRequest()
}

// breakDown injects a fault.
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

// repair mends everything.
func (o *outlet) repair() {
	o.integrate()
	o.broken = hardwareFaults{}
	if o.commanded {
		o.actuate()
	} else {
		o.moveContact(false) // what replaces a welded contactor is open
	}
	o.updateRequest()
	o.integrate()
	if b := o.agent.run; b != nil {
		b.machines[o.id-1].reset = true
	}
	o.wakeControlLoop()
}
