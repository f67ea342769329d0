package board

import (
	"context"
	"errors"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// Simulator are a driver's and a saboteur's, beside whatever agent controls the
// board. Each call makes its own connection and ends within two seconds.
type Simulator struct{ dial Dialer }

var _ hal.Simulator = Simulator{}

// NewSimulator makes the hands; it dials nothing yet.
func NewSimulator(dial Dialer) Simulator { return Simulator{dial} }

// Plug connects a vehicle that asks for power.
func (h Simulator) Plug(n charge.ConnectorID) error { return h.do(request{Op: "plug", Connector: n}) }

// Unplug pulls the cable.
func (h Simulator) Unplug(n charge.ConnectorID) error {
	return h.do(request{Op: "unplug", Connector: n})
}

// Inject makes a fault appear.
func (h Simulator) Inject(n charge.ConnectorID, f charge.Fault) error {
	return h.do(request{Op: "inject", Connector: n, Fault: f})
}

// Repair removes every injected fault of the connector.
func (h Simulator) Repair(n charge.ConnectorID) error {
	return h.do(request{Op: "repair", Connector: n})
}

func (h Simulator) do(q request) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	_, err := call(ctx, h.dial, q)
	return err
}

// Inspect looks at the board from outside: the truth about its contacts and
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
