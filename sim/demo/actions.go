package demo

import (
	"math/rand/v2"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/fleet"
)

// keyHelp lists the keys for people.
const keyHelp = "p plug in somewhere · u unplug · f fault · r repair · b bridge · k Kafka · m MQTT (cut, restore) · o page · q quit · ? help"

// handleKey performs the action of a key; it returns true for quitting. Unknown
// keys do nothing.
func (d *demo) handleKey(k rune) bool {
	switch k {
	// Each key acts on one charging point, or cuts one part.
	case 'q':
		return true
	case 'p':
		d.actOnPoint("nothing is free", isIdle, func(p *fleet.Point) (string, error) { return "a vehicle is plugged in at ", p.Plug(1) })
	case 'u':
		d.actOnPoint("nothing is plugged in", isPlugged, func(p *fleet.Point) (string, error) { return "the vehicle is unplugged at ", p.Unplug(1) })
	case 'f':
		fault := demoFaults()[rand.IntN(len(demoFaults()))]
		d.actOnPoint("every charging point has a fault already", hasNoFault, func(p *fleet.Point) (string, error) {
			return string(fault) + " at ", p.Inject(1, fault)
		})
	case 'r':
		d.actOnPoint("no charging point has a fault", hasFault, func(p *fleet.Point) (string, error) { return "repaired: ", p.Repair(1) })
	case 'b':
		d.toggle("bridge")
	case 'k':
		d.toggle("kafka")
	case 'm':
		d.toggle("mqtt")
	case 'o':
		if d.deps.Open != nil {
			d.deps.Open(d.link())
		}
	case '?', 'h':
		d.printf("  keys: %s", keyHelp)
	}
	return false
}

// toggle cuts or restores a part and prints an error.
func (d *demo) toggle(part string) {
	if err := d.breaker.toggle(part); err != nil {
		d.printf("  ! %v", err)
	}
}

// demoFaults are the faults that a key can inject: those that occur at a
// charging point in use. A welded contactor is not among them: it would deliver
// energy without a session.
func demoFaults() []charge.Fault {
	return []charge.Fault{
		charge.FaultEmergencyStop, charge.FaultGroundFault, charge.FaultOvercurrent, charge.FaultOvertemperature, charge.FaultOther,
	}
}

// actOnPoint performs an operation at a random charging point among those that
// fit; those that charge are preferred.
func (d *demo) actOnPoint(none string, fits func(*fleet.State) bool, do func(*fleet.Point) (string, error)) {
	var charging, others []*fleet.Point
	for _, p := range d.fleet.Points() {
		state := p.State()
		switch {
		case !fits(&state):
		case state.Power > 0:
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

// Conditions of the operations.
func isIdle(l *fleet.State) bool     { return !l.Plugged && len(l.Faults) == 0 }
func isPlugged(l *fleet.State) bool  { return l.Plugged }
func hasNoFault(l *fleet.State) bool { return len(l.Faults) == 0 }
func hasFault(l *fleet.State) bool   { return len(l.Faults) > 0 }
