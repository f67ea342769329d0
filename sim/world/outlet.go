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
	w  *World
	a  *agent
	id charge.ConnectorID
	c  chance

	commanded, closed bool
	moves             int // so that an older movement is told

	plugged, offered, asking bool
	paused                   bool // the vehicle does not want for a while
	asks                     int  // so that an older decision of the vehicle is told
	visit                    int  // of the vehicle that is plugged in, counted
	left                     int64
	milliwatts               int64

	energy  int64 // through the meter, in microjoules
	flowing bool
	flows   int // so that an older end of it is told
	since   time.Duration

	broken hardwareFaults

	// What the checkers know of the present closure of the contact.
	closedFrom charge.WattHours
	owner      charge.SessionID
	permitted  charge.SessionID // for which the agent last permitted power
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
	return min(o.left, o.milliwatts*(o.w.now-o.since).Microseconds()/1000)
}

// settle adds up and finds out whether power flows from now on.
func (o *outlet) settle() {
	e := o.flowed()
	o.energy += e
	o.left -= e
	o.since = o.w.now
	o.flows++
	if o.left <= 0 && o.asking { // full
		o.asking = false
		o.asks++
		o.stir()
	}
	o.flowing = o.closed && o.plugged && o.asking && !o.broken.pilot
	if !o.flowing {
		return
	}
	n := o.flows
	o.w.after(time.Duration(o.left*1000/o.milliwatts+1)*time.Microsecond, "vehicle full", func() {
		if o.flows == n {
			o.settle()
		}
	})
}

func (o *outlet) pilot() charge.PilotState {
	switch {
	case o.broken.pilot:
		return charge.PilotE
	case !o.plugged:
		return charge.PilotA
	case o.asking:
		return charge.PilotC
	}
	return charge.PilotB
}

// stir has the control loop look again.
func (o *outlet) stir() {
	if b := o.a.run; b != nil {
		b.stir()
	}
}

// set commands the contactor, which follows in its time.
func (o *outlet) set(on bool) {
	o.commanded = on
	o.follow()
}

func (o *outlet) follow() {
	o.moves++
	move := o.moves
	if o.closed == o.commanded || o.broken.welded || o.broken.stuck {
		return
	}
	o.w.after(o.c.in(span{20 * time.Millisecond, 60 * time.Millisecond}), "contact", func() {
		if move == o.moves && !o.broken.welded && !o.broken.stuck {
			o.move(o.commanded)
		}
	})
}

// move is the contact itself.
func (o *outlet) move(closed bool) {
	if o.closed == closed {
		return
	}
	o.settle()
	o.closed = closed
	o.settle()
	if closed {
		o.closedFrom, o.owner = o.register(), o.permitted
		if o.broken.welded {
			o.owner = ""
		}
		o.w.checkClosing(o)
	} else {
		o.w.book(o, o.register()-o.closedFrom)
	}
	o.stir()
}

// offer tells the vehicle that it may ask, or may not.
func (o *outlet) offer(on bool) {
	o.offered = on
	o.decide()
}

// decide lets the vehicle ask or not, after its time.
func (o *outlet) decide() {
	o.asks++
	n := o.asks
	want := o.plugged && o.offered && !o.paused && o.left > 0
	if want == o.asking {
		return
	}
	o.w.after(o.c.in(span{200 * time.Millisecond, 800 * time.Millisecond}), "vehicle asks", func() {
		if n == o.asks {
			o.settle()
			o.asking = want
			o.settle()
			o.stir()
		}
	})
}

// plug connects a vehicle that takes so much; it reports false when another one
// stands there.
func (o *outlet) plug(need charge.WattHours, power charge.Watts) bool {
	if o.plugged {
		return false
	}
	o.settle()
	o.visit++
	o.plugged, o.paused, o.left, o.milliwatts = true, false, int64(need)*wattHour, int64(power)*1000
	o.decide()
	o.stir()
	return true
}

// unplug pulls the cable, under power too.
func (o *outlet) unplug() {
	o.settle()
	o.plugged, o.asking = false, false
	o.asks++
	o.visit++
	o.settle()
	o.stir()
}

// pause makes the vehicle stop asking, or ask again.
func (o *outlet) pause(on bool) {
	o.paused = on
	o.decide()
}

// breakDown injects a fault.
func (o *outlet) breakDown(f charge.Fault) {
	o.settle()
	b := &o.broken
	switch f { //nolint:exhaustive // the others trip the protection
	case charge.FaultContactorWelded:
		b.welded = true
	case charge.FaultContactorStuck:
		b.stuck = true
		o.move(false)
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
	o.settle()
	o.stir()
}

// repair mends everything.
func (o *outlet) repair() {
	o.settle()
	o.broken = hardwareFaults{}
	if o.commanded {
		o.follow()
	} else {
		o.move(false) // what replaces a welded contactor is open
	}
	o.decide()
	o.settle()
	if b := o.a.run; b != nil {
		b.machines[o.id-1].reset = true
	}
	o.stir()
}
