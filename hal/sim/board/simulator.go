package board

import (
	"context"
	"errors"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// Simulator operates a board from outside: it moves vehicles and injects faults,
// whichever agent controls the board. Each call makes its own connection and ends
// within two seconds.
type Simulator struct{ dial Dialer }

var _ hal.Simulator = Simulator{}

// NewSimulator makes a Simulator; it does not dial yet.
func NewSimulator(dial Dialer) Simulator { return Simulator{dial} }

// Plug connects a vehicle that requests power.
func (h Simulator) Plug(n charge.ConnectorID) error { return h.do(request{Op: "plug", Connector: n}) }

// Unplug pulls the cable.
func (h Simulator) Unplug(n charge.ConnectorID) error {
	return h.do(request{Op: "unplug", Connector: n})
}

// Present holds a card to the reader.
func (h Simulator) Present(uid string) error { return h.do(request{Op: "present", UID: uid}) }

// Press presses the button of a connector.
func (h Simulator) Press(n charge.ConnectorID) error { return h.do(request{Op: "press", Connector: n}) }

// Hold holds the button of a connector for hal.HoldLasts, which passes at once.
func (h Simulator) Hold(n charge.ConnectorID) error { return h.do(request{Op: "hold", Connector: n}) }

// Break makes a device defective until Repair.
func (h Simulator) Break(n charge.ConnectorID, d sim.Defect) error {
	return h.do(request{Op: "break", Connector: n, Defect: d})
}

// SetAmbient sets the temperature around the board.
func (h Simulator) SetAmbient(t charge.MilliCelsius) error {
	return h.do(request{Op: "ambient", Ambient: t})
}

// Inject makes a fault appear.
func (h Simulator) Inject(n charge.ConnectorID, f charge.Fault) error {
	return h.do(request{Op: "inject", Connector: n, Fault: f})
}

// Repair removes every injected fault and defect of the connector.
func (h Simulator) Repair(n charge.ConnectorID) error {
	return h.do(request{Op: "repair", Connector: n})
}

// do makes one call.
func (h Simulator) do(q request) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	_, err := call(ctx, h.dial, q)
	return err
}

// Inspect observes the board from outside: the true state of its contacts and
// registers, and the switchings since its start.
func Inspect(ctx context.Context, dial Dialer) (sim.Snapshot, error) {
	r, err := call(ctx, dial, request{Op: "snapshot"})
	if err != nil {
		return sim.Snapshot{}, err
	}
	if r.Snapshot == nil {
		return sim.Snapshot{}, errors.New("board: the reply has no snapshot")
	}
	return *r.Snapshot, nil
}
