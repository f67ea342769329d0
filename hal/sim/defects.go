package sim

import (
	"fmt"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
)

// Defect is a broken device of one connector. Unlike a charge.Fault it is no
// finding: what the agent makes of the broken device is its own decision.
type Defect string

// The defects. ReaderDead is of the whole board, whichever connector has it.
const (
	LockJammed   Defect = "lock_jammed"   // the bolt stays where it is
	CableUnknown Defect = "cable_unknown" // the coding of the cable is impossible
	SensorLost   Defect = "sensor_lost"   // the temperature cannot be read
	TestFails    Defect = "test_fails"    // the residual current device does not trip in its self-test
	ReaderDead   Defect = "reader_dead"   // the card reader does not answer
)

// Defects lists them all.
func Defects() []Defect {
	return []Defect{LockJammed, CableUnknown, SensorLost, TestFails, ReaderDead}
}

// defectOf is the defect that makes the agent find a fault of a device whose state
// is no fault of the hardware: it is what Inject breaks.
func defectOf(f charge.Fault) (Defect, bool) {
	d, is := map[charge.Fault]Defect{charge.FaultLock: LockJammed, charge.FaultSelfTest: TestFails}[f]
	return d, is
}

// check refuses an unknown defect.
func (d Defect) check() error {
	if !slices.Contains(Defects(), d) {
		return fmt.Errorf("defect %q is unknown; use one of %q", d, Defects())
	}
	return nil
}

// broken reports whether the outlet has a defect.
func (o *outlet) broken(d Defect) bool { return slices.Contains(o.defects, d) }

// breakDevice makes a defect appear now. A bolt that jams stops where it is.
func (o *outlet) breakDevice(d Defect) {
	if o.broken(d) {
		return
	}
	o.defects = append(o.defects, d)
	if d == LockJammed {
		o.lock.move.due = false
	}
}
