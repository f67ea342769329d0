package demo

import (
	"math/rand/v2"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/fleet"
)

const keyHelp = "p plug in somewhere · u unplug · f fault · r repair · b bridge · k Kafka · m MQTT (cut, restore) · o page · q quit · ? help"

// press does what a key means; it reports true for quitting.
func (d *demo) press(k rune) bool {
	switch k {
	case 'q':
		return true
	case 'p':
		d.hand("nothing is free", idle, func(p *fleet.Point) (string, error) { return "a stranger plugs in at ", p.Plug(1) })
	case 'u':
		d.hand("nothing is plugged in", plugged, func(p *fleet.Point) (string, error) { return "somebody pulls the cable at ", p.Unplug(1) })
	case 'f':
		fault := demoFaults()[rand.IntN(len(demoFaults()))]
		d.hand("everything is broken already", sound, func(p *fleet.Point) (string, error) {
			return string(fault) + " at ", p.Inject(1, fault)
		})
	case 'r':
		d.hand("nothing is broken", broken, func(p *fleet.Point) (string, error) { return "repaired: ", p.Repair(1) })
	case 'b':
		d.toggle("bridge")
	case 'k':
		d.toggle("kafka")
	case 'm':
		d.toggle("mqtt")
	case 'o':
		if d.deps.Open != nil {
			d.deps.Open(d.page())
		}
	case '?', 'h':
		d.say("  keys: %s", keyHelp)
	}
	return false
}

func (d *demo) toggle(part string) {
	if err := d.breaker.toggle(part); err != nil {
		d.say("  ! %v", err)
	}
}

// demoFaults are those that a key may make: what trips at a charging point. A
// welded contactor would give power without a session.
func demoFaults() []charge.Fault {
	return []charge.Fault{
		charge.FaultEmergencyStop, charge.FaultGroundFault, charge.FaultOvercurrent, charge.FaultOvertemperature, charge.FaultOther,
	}
}

// hand does something at a charging point drawn from those that fit, first
// from those that charge.
func (d *demo) hand(none string, fits func(*fleet.Look) bool, do func(*fleet.Point) (string, error)) {
	var charging, others []*fleet.Point
	for _, p := range d.fleet.Points() {
		look := p.Look()
		switch {
		case !fits(&look):
		case look.Power > 0:
			charging = append(charging, p)
		default:
			others = append(others, p)
		}
	}
	if len(charging) == 0 {
		charging = others
	}
	if len(charging) == 0 {
		d.say("  %s", none)
		return
	}
	p := charging[rand.IntN(len(charging))]
	text, err := do(p)
	if err != nil {
		d.say("  ! %s: %v", p.ID, err)
		return
	}
	d.say("  %s%s", text, p.ID)
}

func idle(l *fleet.Look) bool    { return !l.Plugged && len(l.Faults) == 0 }
func plugged(l *fleet.Look) bool { return l.Plugged }
func sound(l *fleet.Look) bool   { return len(l.Faults) == 0 }
func broken(l *fleet.Look) bool  { return len(l.Faults) > 0 }
