package haltest

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// notFitted reports whether an error means that a device does not exist.
func notFitted(err error) bool { return errors.Is(err, hal.ErrNotFitted) }

// shapeChecks are the rules about the description of a board and about devices
// that are not fitted: invariant 7 of package hal.
func shapeChecks() []check {
	return []check{
		{name: "info is plausible and never changes", run: checkInfo},
		{name: "an unknown connector is an error naming the range", run: checkRange},
		{name: "an absent device is not fitted, never nil", run: checkAbsent},
		{name: "a simulated board is a simulator", run: checkSimulator},
	}
}

// checkInfo: the description is plausible and does not change.
func checkInfo(r *rig) {
	info := r.Info()
	if info.Model == "" || info.Connectors < 1 || info.RatedPower <= 0 || info.MaxCurrent <= 0 ||
		info.Voltage <= 0 || info.Phases != 1 && info.Phases != 3 {
		r.Errorf("info: got %+v", info)
	}
	// Neither time nor a closed contactor may change it.
	r.closeAll()
	if again := r.Info(); again != info {
		r.Errorf("info changed: first %+v, then %+v", info, again)
	}
}

// checkRange: a connector that does not exist is an error that names the range.
func checkRange(r *rig) {
	// Below, at zero and above the range.
	last := r.Info().Connectors
	for _, n := range []charge.ConnectorID{-1, 0, charge.ConnectorID(last + 1)} {
		c, err := r.Connector(n)
		if err == nil || c != nil {
			r.Errorf("connector %d: got %v, %v; want nil and an error", n, c, err)
			continue
		}
		if !strings.Contains(err.Error(), strconv.Itoa(last)) {
			r.Errorf("connector %d: %q does not name the range 1 to %d", n, err, last)
		}
	}
}

// checkAbsent: every device is there, or its error is ErrNotFitted.
func checkAbsent(r *rig) {
	if e, err := r.EStop(); (e == nil) != notFitted(err) || err != nil && !notFitted(err) {
		r.Errorf("emergency stop: got %v, %v", e, err)
	}
	k, err := r.Keeper()
	if (k == nil) != notFitted(err) || err != nil && !notFitted(err) {
		r.Errorf("keeper: got %v, %v", k, err)
	}
	if k != nil && (k.Timeout() <= 0 || k.Timeout() > hal.MaxAgentGone) {
		r.Errorf("keeper: timeout %v; want above 0 and at most %v", k.Timeout(), hal.MaxAgentGone)
	}
	// A meter is fitted for both of its methods or for none.
	for _, n := range r.numbers() {
		c := r.connector(n)
		if state, _, err := c.Contactor().Feedback(); err != nil && state != hal.ContactUnknown {
			r.Errorf("connector %d: feedback with error %v: got %v, want unknown", n, err, state)
		}
		_, err := c.Meter().Read(r.Context())
		if _, idErr := c.Meter().Identity(); notFitted(err) != notFitted(idErr) {
			r.Errorf("connector %d: meter: read returns %v, identity %v", n, err, idErr)
		}
		if err := c.Pilot().SetAvailable(true); err != nil {
			r.Errorf("connector %d: offer: %v", n, err)
		}
	}
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
