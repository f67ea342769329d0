package fleet

import (
	"context"
	"fmt"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// board is a simulated board whose registers outlive the process: a register is
// written to the file before the agent reads it, so that an agent never knows a
// register that a later run does not.
type board struct {
	*sim.Board
	registers  *Registers
	firstMeter int // number of connector 1's meter in registers
}

var (
	_ hal.Board      = board{}
	_ hal.Simulator  = board{}
	_ hal.Protection = connector{}
)

// newBoard makes a board whose meters start at their saved registers.
func newBoard(cfg sim.Config, r *Registers, firstMeter int) (board, error) {
	cfg.Registers = nil
	for n := range cfg.Connectors {
		if v, ok := r.Get(firstMeter + n); ok {
			cfg.Registers = append(cfg.Registers, v)
		}
	}
	b, err := sim.New(cfg)
	if err != nil {
		return board{}, err
	}
	made := board{b, r, firstMeter}
	// Meters that are new get their slots in the file now, in order.
	made.saveRegisters()
	return made, nil
}

// saveRegisters writes the true registers of the board to the file.
func (b board) saveRegisters() {
	for n, o := range b.Snapshot().Connectors {
		b.registers.Put(b.firstMeter+n, o.Register)
	}
}

// Connector implements hal.Board.
func (b board) Connector(n charge.ConnectorID) (hal.Connector, error) {
	c, err := b.Board.Connector(n)
	if err != nil {
		return nil, err
	}
	p, ok := c.(hal.Protection)
	if !ok {
		return nil, fmt.Errorf("connector %d has no protection", n)
	}
	return connector{c, p, persistentMeter{c.Meter(), b.registers, b.firstMeter + int(n) - 1}}, nil
}

// connector is a connector of the board with a persistent meter.
type connector struct {
	hal.Connector
	hal.Protection
	meter persistentMeter
}

// Meter implements hal.Connector.
func (c connector) Meter() hal.Meter { return c.meter }

// persistentMeter is a meter that saves each register before it returns it.
type persistentMeter struct {
	hal.Meter
	registers *Registers
	number    int
}

// Read implements hal.Meter.
func (m persistentMeter) Read(ctx context.Context) (hal.Reading, error) {
	r, err := m.Meter.Read(ctx)
	if err == nil {
		m.registers.Put(m.number, r.Import)
	}
	return r, err
}
