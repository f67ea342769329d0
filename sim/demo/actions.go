package demo

import (
	"math/rand/v2"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/fleet"
)

const keyHelp = "p plug in somewhere · u unplug · f fault · r repair · b bridge · k Kafka · m MQTT (cut, restore) · o page · q quit · ? help"

// handleKey does what a key means; it reports true for quitting.
func (d *demo) handleKey(k rune) bool {
	switch k {
	case 'q':
		return true
	case 'p':
		d.actOnPoint("nothing is free", isIdle, func(p *fleet.Point) (string, error) { return "a stranger plugs in at ", p.Plug(1) })
	case 'u':
		d.actOnPoint("nothing is plugged in", isPlugged, func(p *fleet.Point) (string, error) { return "somebody pulls the cable at ", p.Unplug(1) })
	case 'f':
		fault := demoFaults()[rand.IntN(len(demoFaults()))]
		d.actOnPoint("everything is broken already", hasNoFault, func(p *fleet.Point) (string, error) {
			return string(fault) + " at ", p.Inject(1, fault)
		})
	case 'r':
		d.actOnPoint("nothing is broken", hasFault, func(p *fleet.Point) (string, error) { return "repaired: ", p.Repair(1) })
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
		d.printf("  keys: %s", keyHelp)
	}
	return false
}

func (d *demo) toggle(part string) {
	if err := d.breaker.toggle(part); err != nil {
		d.printf("  ! %v", err)
	}
}

// demoFaults are those that a key may make: what trips at a charging point. A
// welded contactor would give power without a session.
func demoFaults() []charge.Fault {
	return []charge.Fault{
		charge.FaultEmergencyStop, charge.FaultGroundFault, charge.FaultOvercurrent, charge.FaultOvertemperature, charge.FaultOther,
	}
}

// actOnPoint does something at a charging point drawn from those that fit, first
// from those that charge.
func (d *demo) actOnPoint(none string, fits func(*fleet.State) bool, do func(*fleet.Point) (string, error)) {
	var charging, others []*fleet.Point
	for _, p := range d.fleet.Points() {
		look := p.State()
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
		d.printf("  %s", none)
		return
	}
	p := charging[rand.IntN(len(charging))]
	text, err := do(p)
	if err != nil {
		d.printf("  ! %s: %v", p.ID, err)
		return
	}
	d.printf("  %s%s", text, p.ID)
}

func isIdle(l *fleet.State) bool     { return !l.Plugged && len(l.Faults) == 0 }
func isPlugged(l *fleet.State) bool  { return l.Plugged }
func hasNoFault(l *fleet.State) bool { return len(l.Faults) == 0 }
func hasFault(l *fleet.State) bool   { return len(l.Faults) > 0 }
