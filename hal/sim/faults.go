package sim

import (
	"fmt"

	"github.com/carga-ev/carga/internal/charge"
)

// faults is the set of injected faults of one connector.
type faults uint16

// The faults. Those that trip a protection device come first, the most severe one
// at the top.
const (
	faultGround faults = 1 << iota
	faultOvercurrent
	faultHot
	faultOther
	faultEStop
	faultWelded
	faultStuck
	faultMeter
	faultPilot
	faultInput
)

func (f faults) has(one faults) bool { return f&one != 0 }

// faultOf converts a fault of package charge; an error if hardware cannot have
// it.
func faultOf(f charge.Fault) (faults, error) {
	switch f {
	case charge.FaultEmergencyStop:
		return faultEStop, nil
	case charge.FaultGroundFault:
		return faultGround, nil
	case charge.FaultOvercurrent:
		return faultOvercurrent, nil
	case charge.FaultOvertemperature:
		return faultHot, nil
	case charge.FaultContactorWelded:
		return faultWelded, nil
	case charge.FaultContactorStuck:
		return faultStuck, nil
	case charge.FaultMeter:
		return faultMeter, nil
	case charge.FaultPilot:
		return faultPilot, nil
	case charge.FaultSafetyInput:
		return faultInput, nil
	case charge.FaultOther:
		return faultOther, nil
	case charge.FaultLock, charge.FaultSelfTest: // Inject breaks the device instead, see defectOf
		return 0, fmt.Errorf("fault %q is a defect of its device", f)
	case charge.FaultJournal:
		return 0, fmt.Errorf("fault %q is of the agent's storage, not of the hardware", f)
	}
	return 0, fmt.Errorf("fault %q is unknown; use one of %q", f, charge.Faults())
}

// tripped is the most severe fault that tripped a protection device; empty
// without one.
func (f faults) tripped() charge.Fault {
	switch {
	case f.has(faultGround):
		return charge.FaultGroundFault
	case f.has(faultOvercurrent):
		return charge.FaultOvercurrent
	case f.has(faultHot):
		return charge.FaultOvertemperature
	case f.has(faultOther):
		return charge.FaultOther
	}
	return ""
}

// names lists the faults as those of package charge.
func (f faults) names() []charge.Fault {
	var out []charge.Fault
	for _, name := range charge.Faults() {
		if one, err := faultOf(name); err == nil && f.has(one) {
			out = append(out, name)
		}
	}
	return out
}

// inject makes faults appear now. A welded or stuck contact moves at once.
func (o *outlet) inject(f faults) {
	o.faults |= f
	if f.has(faultWelded) || f.has(faultStuck) {
		o.move.due = false
		o.setContact(o.faults.has(faultWelded)) // a weld wins over a stuck coil
	}
	o.updatePower()
}

// repair removes every fault and defect; a contact that was held follows its coil
// again, a jammed bolt its command. A replaced meter stays.
func (o *outlet) repair() {
	if o.defects = nil; !o.lock.move.due {
		o.planBolt()
	}
	o.faults, o.meter = 0, meterState{replaced: o.meter.replaced, offset: o.meter.offset}
	if o.closed != o.coil && !o.move.due {
		o.planMove()
	}
	o.updatePower()
}

// MeterFault is a way in which a meter shows wrong values. A meter that does not
// answer is charge.FaultMeter.
type MeterFault int

// The faults of a meter. All but MeterReplaced end with Repair; a replaced meter
// stays.
const (
	MeterStuck     MeterFault = iota + 1 // the same values for ever, each newly measured
	MeterBackwards                       // one kilowatt-hour less than before
	MeterJump                            // one megawatt-hour more
	MeterReplaced                        // another serial number, a register from zero
)

// meterState is what a meter shows instead of the true register.
type meterState struct {
	fault    MeterFault
	held     charge.WattHours // shown while stuck
	replaced int              // how often
	offset   charge.WattHours // the true register when the present meter was fitted
}

// injectMeterFault makes the meter show wrong values from now on.
func (o *outlet) injectMeterFault(f MeterFault) {
	switch f {
	case MeterReplaced:
		o.meter.replaced++
		o.meter.offset = o.register.whole
	case MeterStuck, MeterBackwards, MeterJump:
		o.meter.held = o.shown()
		o.meter.fault = f
	}
}

// shown is the register as the meter shows it.
func (o *outlet) shown() charge.WattHours {
	value := o.register.whole - o.meter.offset
	switch o.meter.fault {
	case MeterStuck:
		return o.meter.held
	case MeterBackwards:
		return max(value-1_000, 0)
	case MeterJump:
		return value + 1_000_000
	case MeterReplaced:
	}
	return value
}
