package bench

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	agentapp "github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// With more than manyPoints the agents' control loops run at slowControl: at
// the default of 10 ms so many on one machine would use all CPU time. The
// latency of records does not depend on the control loop.
const (
	manyPoints  = 50
	slowControl = 40 * time.Millisecond
	// stopWithin is how long a stopping agent waits for acknowledgements.
	stopWithin = 100 * time.Millisecond
)

// point is one charging point: the real agent with its journal on disk, which a
// stopwatch observes, and a simulated board.
type point struct {
	id      charge.CPID
	board   *sim.Board // the hardware, which toggle and await operate
	agent   *agentapp.Agent
	watch   *stopwatch // on the agent's journal
	running *part      // nil before its start
}

// newPoint prepares charging point number n of among.
func newPoint(n int, dir, mqtt string, among int, log *slog.Logger) (*point, error) {
	id := cpID(n)
	hardware := sim.DefaultConfig()
	hardware.Serial, hardware.Seed = "bench-"+string(id), uint64(n)
	hardware.NoLock = true // the bolt of a lock moves for 100 to 300 ms, whatever the software does
	b, err := sim.New(hardware)
	if err != nil {
		return nil, err
	}
	cfg := agentapp.DefaultConfig()
	cfg.CPID, cfg.DataDir, cfg.MQTT.URL, cfg.StopWithin = id, filepath.Join(dir, string(id)), mqtt, stopWithin
	if among > manyPoints {
		cfg.Intervals.Control = slowControl
	}
	// The stopwatch wraps the production journal on disk.
	w := &stopwatch{}
	a := agentapp.New(cfg, agentapp.Deps{Log: log, Board: b, Open: w.open(agentapp.OnDisk(cfg.DataDir, log))})
	return &point{id: id, board: b, agent: a, watch: w}, nil
}

// toggle plugs a vehicle in, or unplugs the one that is there.
func (p *point) toggle() error {
	if p.board.Snapshot().Connectors[0].Plugged {
		return p.board.Unplug(1)
	}
	return p.board.Plug(1)
}

func (p *point) stop() error {
	var err error
	if p.running != nil {
		err = p.running.stop()
	}
	return errors.Join(err, p.board.Close())
}

// await polls the hardware until wanted holds.
func (p *point) await(ctx context.Context, wanted func(sim.Outlet) bool) error {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !wanted(p.board.Snapshot().Connectors[0]) {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
