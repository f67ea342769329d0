package e2e_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"time"

	agentapp "github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// point is one charging point: a board, which outlives everything, the storage
// of its agent, and its users.
type point struct {
	w        *world
	id       charge.CPID
	dir      string // of the agent's storage
	board    *sim.Board
	first    charge.WattHours                        // register when the world began
	noPeople bool                                    // no vehicle comes
	freeVend bool                                    // a vehicle may charge without authorization
	clock    func() (time.Time, charge.ClockQuality) // the wall clock, and its quality
	taps     chan hal.Token                          // cards that are held to the reader
	link     string                                  // to the MQTT broker

	agent         atomic.Pointer[agentapp.Agent] // the last one started; nil: none
	alive         atomic.Bool                    // the agent runs
	visits        atomic.Int64                   // vehicles plugged in by people
	driverDelayed atomic.Bool                    // the driver with the reservation does not come yet
}

func newPoint(w *world, id charge.CPID, seed uint64) *point {
	cfg := sim.DefaultConfig()
	cfg.Serial, cfg.Seed = string(id), seed
	if w.plan.board != nil {
		w.plan.board(&cfg)
	}
	board, err := sim.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &point{w: w, id: id, dir: filepath.Join(w.dir, string(id)), board: board, clock: synced, taps: make(chan hal.Token, 1), link: "agent-mqtt"}
	p.first = p.outlet().Register
	return p
}

// withReader is a board with a card reader.
type withReader struct {
	*sim.Board
	taps chan hal.Token
}

// Reader implements hal.Board.
func (b withReader) Reader() (hal.TokenReader, error) { return b, nil }

// Tokens implements hal.TokenReader.
func (b withReader) Tokens() <-chan hal.Token { return b.taps }

// Healthy implements hal.TokenReader.
func (withReader) Healthy() error { return nil }

// synced is a clock that NTP sets. A bubble begins in the year 2000, and an
// agent does not trust such a clock of its machine.
func synced() (time.Time, charge.ClockQuality) { return time.Now(), charge.ClockSynced }

// outlet returns the true state of the connector.
func (p *point) outlet() sim.Outlet { return p.board.Snapshot().Connectors[0] }

// used is the energy in Wh that the meter has counted since the world began.
func (p *point) used() charge.WattHours { return p.outlet().Register - p.first }

func (p *point) config() agentapp.Config {
	cfg := agentapp.DefaultConfig()
	cfg.CPID, cfg.DataDir = p.id, p.dir
	cfg.MQTT.URL = "tcp://" + mqttAddr
	cfg.Intervals.Control = 50 * time.Millisecond // fewer timers in fake time
	cfg.Intervals.IdleTelemetry = p.w.plan.idle
	// Sessions last minutes here: a fault should have records to hit.
	cfg.Intervals.MeterRead, cfg.Intervals.MeterReadWh = 30*time.Second, 100
	cfg.StopWithin = time.Millisecond
	cfg.Policies.FreeVend = p.freeVend
	if p.w.plan.agent != nil {
		p.w.plan.agent(&cfg)
	}
	return cfg
}

func (p *point) name() string { return "agent in " + p.dir }

// start starts the agent, and at the first start the people.
func (p *point) start() {
	p.w.t.Helper()
	agent := agentapp.New(p.config(), agentapp.Deps{
		Log: p.w.logger(string(p.id)), Board: withReader{p.board, p.taps}, Dial: p.w.dialMQTT(p.link), Clock: p.clock,
	})
	p.w.run(p.name(), agent.Run)
	p.agent.Store(agent)
	p.alive.Store(true)
	if people := "people of " + string(p.id); !p.noPeople && p.w.parts[people] == nil {
		p.w.run(people, func(ctx context.Context) error { p.people(ctx); return nil })
	}
}

// kill ends the agent as SIGKILL would.
func (p *point) kill() {
	p.w.t.Helper()
	p.alive.Store(false)
	p.w.halt(p.name(), agentapp.ErrKilled)
}

// status is the agent's status; zero while it does not run.
func (p *point) status() agentapp.Status {
	if !p.alive.Load() {
		return agentapp.Status{}
	}
	return p.agent.Load().Status()
}

// shown is the connector as the agent reports it; zero while it does not run.
func (p *point) shown() wire.ConnectorTelemetry {
	if all := p.status().Connectors; len(all) > 0 {
		return all[0]
	}
	return wire.ConnectorTelemetry{}
}

// charging reports whether a session draws power.
func (p *point) charging() bool { c := p.shown(); return c.SessionID != "" && c.Power > 0 }

// awaitCharging waits until a session draws power.
func (w *world) awaitCharging(p *point) {
	w.t.Helper()
	w.await(5*time.Minute, string(p.id)+" charges", p.charging)
}
