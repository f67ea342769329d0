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

// Above manyPoints the control loops look less often: so many on one machine
// would do little else. Nothing that is measured waits for them then.
const (
	manyPoints  = 50
	slowControl = 40 * time.Millisecond
	// stopWithin is how long an agent waits for the last acknowledgement.
	stopWithin = 100 * time.Millisecond
)

// point is one charging point: the real agent, its journal on disk with a
// stopwatch on it, and a simulated board.
type point struct {
	id      charge.CPID
	board   *sim.Board
	agent   *agentapp.Agent
	watch   *stopwatch
	running *part // nil before the start
}

func newPoint(n int, dir, mqtt string, among int, log *slog.Logger) (*point, error) {
	id := cpID(n)
	hardware := sim.DefaultConfig()
	hardware.Serial, hardware.Seed = "bench-"+string(id), uint64(n)
	b, err := sim.New(hardware)
	if err != nil {
		return nil, err
	}
	cfg := agentapp.DefaultConfig()
	cfg.CPID, cfg.DataDir, cfg.MQTT.URL, cfg.StopWithin = id, filepath.Join(dir, string(id)), mqtt, stopWithin
	if among > manyPoints {
		cfg.Intervals.Control = slowControl
	}
	w := &stopwatch{}
	a := agentapp.New(cfg, agentapp.Deps{Log: log, Board: b, Open: w.open(agentapp.OnDisk(cfg.DataDir, log))})
	return &point{id: id, board: b, agent: a, watch: w}, nil
}

// toggle plugs a vehicle in, or pulls the plug that is in.
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

// await looks at the hardware from outside until it is as wanted.
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
