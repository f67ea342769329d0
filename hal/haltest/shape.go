package haltest

import (
	"context"
	"errors"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// notFitted reports whether an error means that a device does not exist.
func notFitted(err error) bool { return errors.Is(err, hal.ErrNotFitted) }

// shapeChecks are the rules about what a board is.
func shapeChecks() []testCase {
	return []testCase{{name: "a simulated board is a simulator", run: checkSimulator}}
}

// checkSimulator: a board that is simulated implements hal.Simulator and refuses
// what its hardware could not do.
func checkSimulator(r *rig) {
	// Only a simulated board must be a simulator; a real one must not be operated.
	sim, ok := r.Board.(hal.Simulator)
	if !r.Info().Simulated {
		return
	}
	if !ok {
		r.Fatal("info is simulated, but the board is no hal.Simulator")
	}
	if err := sim.Plug(1); err != nil {
		r.Fatalf("plug: %v", err)
	}
	if err := sim.Plug(1); err == nil {
		r.Error("a second vehicle fitted into the same socket")
	}
	// A fault of the journal is the agent's: no hardware can have it.
	beyond := charge.ConnectorID(r.Info().Connectors + 1)
	for name, err := range map[string]error{
		"plug": sim.Plug(beyond), "unplug": sim.Unplug(beyond), "repair": sim.Repair(beyond),
		"inject":            sim.Inject(beyond, charge.FaultOther),
		"an unknown fault":  sim.Inject(1, "no_such_fault"),
		"a journal's fault": sim.Inject(1, charge.FaultJournal),
	} {
		if err == nil {
			r.Errorf("%s was accepted", name)
		}
	}
	if err := sim.Unplug(1); err != nil {
		r.Errorf("unplug: %v", err)
	}
}

// readMeter reads the first meter, or reports false where there is no meter.
func (r *rig) readMeter(ctx context.Context) (hal.Reading, bool) {
	r.Helper()
	got, err := r.connector(1).Meter().Read(ctx)
	if notFitted(err) {
		return hal.Reading{}, false
	}
	if err != nil {
		r.Errorf("meter: %v", err)
		return hal.Reading{}, false
	}
	return got, true
}
