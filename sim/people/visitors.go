package people

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
)

const (
	// lookEvery is the time between two looks at the board.
	lookEvery = 200 * time.Millisecond
	// idleFor is how long a driver waits at the plug for power.
	idleFor = 10 * time.Second
)

// VisitedBoard is simulated hardware that can be inspected.
type VisitedBoard interface {
	hal.Simulator
	Snapshot() sim.Snapshot
}

// Visitors bring vehicles to a board that runs without its agent, in a process
// of its own. The board knows no reservations, so a vehicle arrives at every
// connector that is free. It leaves when no power flows for a while, and some
// time after it is full or power has stopped (Config.Leaves).
type Visitors struct {
	model *Model // owned by Run
	board VisitedBoard
	log   *slog.Logger
	seen  map[charge.ConnectorID]power // owned by Run
}

// power is what Visitors remember of a plugged vehicle.
type power struct {
	flowed bool          // since it was plugged in
	since  time.Duration // when it was plugged in
}

// NewVisitors returns the visitors of a board. It starts nothing.
func NewVisitors(cfg Config, board VisitedBoard, log *slog.Logger) (*Visitors, error) {
	m, err := NewModel(cfg)
	if err != nil {
		return nil, err
	}
	return &Visitors{model: m, board: board, log: log, seen: map[charge.ConnectorID]power{}}, nil
}

// Run lets vehicles come and go until ctx ends.
func (v *Visitors) Run(ctx context.Context) {
	started := time.Now()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		now := time.Since(started)
		for _, c := range v.board.Snapshot().Connectors {
			v.look(now, &c)
		}
		for _, a := range v.model.Due(now) {
			v.perform(now, a)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look begins a visit at a free connector, and ends one whose vehicle has
// nothing more to wait for.
func (v *Visitors) look(now time.Duration, c *sim.Outlet) {
	p, visited := v.seen[c.Connector]
	switch {
	case !c.Plugged:
		delete(v.seen, c.Connector)
		v.model.Reserved(now, c.Connector, charge.Username(fmt.Sprintf("visitor-%d", c.Connector)))
	case !visited: // plugged in by hand: its driver unplugs it
	case c.Closed && !c.Full:
		p.flowed = true
		v.seen[c.Connector] = p
	case p.flowed || c.Full:
		v.model.Ended(now, c.Connector)
		delete(v.seen, c.Connector) // leave once
	case now-p.since >= idleFor:
		v.model.leave(now, c.Connector)
	}
}

// perform plugs or unplugs. An operator may have done so before: such an error
// is normal.
func (v *Visitors) perform(now time.Duration, a Action) {
	var err error
	if a.Kind == Plug {
		if err = v.board.Plug(a.Connector); err == nil {
			v.seen[a.Connector] = power{since: now}
		}
	} else {
		err = v.board.Unplug(a.Connector)
	}
	if errors.Is(err, sim.ErrPlugged) || errors.Is(err, sim.ErrUnplugged) {
		err = nil
	}
	v.log.Debug("visitor", slog.String("action", a.Kind.String()), logs.Connector(a.Connector), logs.Err(err))
}
