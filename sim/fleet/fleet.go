package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	agentapp "github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/sim/people"
)

// Config is the configuration of a fleet. ID, Name and Place return the
// identity of charging point number n, from 1; Name and Place may be nil.
type Config struct {
	CPs    int    // charging points, at least; those of the folder all run
	Seed   uint64 // of vehicles, delays and first registers
	Dir    string // data folder; each agent has a folder in it
	MQTT   string // tcp://HOST:PORT
	Prefix string // first level of the topics; "": the default
	ID     func(n int) charge.CPID
	Name   func(n int) string
	Place  func(n int) string
	// Vehicles is the range from which vehicles are drawn.
	Vehicles sim.Vehicles
	// Visits is how they come and go on a reservation; nil: no vehicle comes.
	Visits *people.Config
	// FreeVend charges a vehicle that is plugged in, without an authorization.
	FreeVend bool
	// Safe is the safe current of each connector, per phase: what it may draw while no
	// grant of a group is in force; 0: none, and no group.
	Safe charge.MilliAmps
	// StopWithin is how long a stopping agent waits for acknowledgements; 0:
	// the agent's default.
	StopWithin time.Duration
}

// Fleet is a number of charging points. New makes it, Run runs it, Close frees
// what it holds.
type Fleet struct {
	points    []*Point
	registers *Registers
	log       *slog.Logger
}

// Point is one charging point: its agent and its board.
type Point struct {
	ID charge.CPID
	board
	agent  *agentapp.Agent
	people *people.People // nil: no vehicle comes
}

var _ hal.Simulator = (*Point)(nil)

// State is the visible state of a connector.
type State struct {
	Plugged bool // a vehicle is plugged in
	Closed  bool // the contactor
	Power   charge.Watts
	Faults  []charge.Fault
}

// State returns the state of connector 1.
func (p *Point) State() State {
	o := p.Snapshot().Connectors[0]
	return State{Plugged: o.Plugged, Closed: o.Closed, Power: o.Power, Faults: o.Faults}
}

// Status returns the state that the agent has of itself; zero before its first boot.
func (p *Point) Status() agentapp.Status { return p.agent.Status() }

// Repair repairs everything at a connector, and resets what its agent has latched, as
// a person on site does.
func (p *Point) Repair(n charge.ConnectorID) error {
	err := p.board.Repair(n)
	p.agent.ResetLatch(n)
	return err
}

// With more than manyPoints the agents' control loops run at slowControl, and the
// meters are recorded after manyWh instead of fewWh, which is every few seconds at
// 100 kW: so many on one machine would use all CPU time. Their ticks may be late by
// slowGap, within the dead-man device's timeout: with the limit of a real one all
// contactors open when the process is busy for a tenth of a second, and the records of
// that keep it busy.
const (
	manyPoints  = 50
	slowControl = 40 * time.Millisecond
	slowGap     = 600 * time.Millisecond
	fewWh       = 100
	manyWh      = 1000
)

// New makes the charging points; it starts none. If the folder holds more of
// them than cfg.CPs, all are made: a journal with unacknowledged records must
// not be left behind. The caller holds the Lock of the folder.
func New(cfg Config, log *slog.Logger) (*Fleet, error) {
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "agents"), 0o750); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	r, err := OpenRegisters(filepath.Join(cfg.Dir, "registers"))
	if err != nil {
		return nil, err
	}
	f := &Fleet{registers: r, log: log}
	cfg.CPs = max(cfg.CPs, r.Len())
	for n := range cfg.CPs {
		p, err := newPoint(&cfg, n, r, log)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("charging point %d: %w", n+1, err), r.Close())
		}
		f.points = append(f.points, p)
	}
	return f, nil
}

// newPoint makes charging point number n, from 0. Seed and folder depend on the
// number, so that it stays the same device when the fleet grows.
func newPoint(cfg *Config, n int, r *Registers, log *slog.Logger) (*Point, error) {
	id := cfg.ID(n + 1)
	hardware := sim.DefaultConfig()
	hardware.Serial, hardware.Vehicles = "sim-"+string(id), cfg.Vehicles
	hardware.Seed = cfg.Seed + uint64(n)<<32
	b, err := newBoard(hardware, r, n)
	if err != nil {
		return nil, err
	}
	a := agentapp.DefaultConfig()
	a.CPID, a.DataDir, a.MQTT.URL = id, filepath.Join(cfg.Dir, "agents", string(id)), cfg.MQTT
	// Vehicles charge for minutes: a fault should have records to hit.
	a.Intervals.MeterRead, a.Intervals.MeterReadWh = 30*time.Second, fewWh
	if cfg.Prefix != "" {
		a.MQTT.TopicPrefix = cfg.Prefix
	}
	if cfg.Name != nil {
		a.Name = cfg.Name(n + 1)
	}
	if cfg.Place != nil {
		a.Place = cfg.Place(n + 1)
	}
	p, deps := &Point{ID: id, board: b}, agentapp.Deps{Log: log, Board: b}
	if v := cfg.Visits; v != nil {
		visits := *v
		visits.Seed = hardware.Seed
		if p.people, err = people.New(visits, b, log); err != nil {
			return nil, err
		}
		deps.OnRecords = p.people.Observe
	}
	a.Policies.FreeVend, a.Limits.Safe = cfg.FreeVend, cfg.Safe
	if cfg.StopWithin > 0 {
		a.StopWithin = cfg.StopWithin
	}
	if cfg.CPs > manyPoints {
		a.Intervals.Control, a.Intervals.MeterReadWh, deps.MaxGap = slowControl, manyWh, slowGap
	}
	p.agent = agentapp.New(a, deps)
	return p, nil
}

// restartAfter is the delay before a failed agent is started again.
const restartAfter = time.Second

// Run runs all charging points until ctx ends. An agent that fails is started
// again, as a service manager would do.
func (f *Fleet) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, p := range f.points {
		if p.people != nil {
			all.Go(func() { p.people.Run(ctx) })
		}
		all.Go(func() {
			for ctx.Err() == nil {
				err := p.agent.Run(ctx)
				if ctx.Err() != nil {
					if err != nil {
						f.log.Warn("agent did not stop cleanly", logs.CP(p.ID), logs.Err(err))
					}
					return
				}
				f.log.Error("agent ended and is started again", logs.CP(p.ID), logs.Err(err))
				select {
				case <-ctx.Done():
				case <-time.After(restartAfter):
				}
			}
		})
	}
	all.Wait()
	return nil
}

// Points returns all charging points, in the order of their numbers.
func (f *Fleet) Points() []*Point { return f.points }

// Totals are sums over all charging points.
type Totals struct {
	Points     int
	Linked     int          // connected to the broker
	Charging   int          // with a closed contactor
	Power      charge.Watts // of these
	Journalled int64        // records in the journals, of all boots
	Unacked    int64        // of these, not acknowledged by Central
}

// Totals returns the present sums. They are no snapshot: each charging point is
// read at a time of its own.
func (f *Fleet) Totals() Totals {
	t := Totals{Points: len(f.points)}
	for _, p := range f.points {
		s := p.agent.Status()
		if s.Link.Up {
			t.Linked++
		}
		t.Journalled += s.Held
		t.Unacked += s.Unacked
		if state := p.State(); state.Closed {
			t.Charging++
			t.Power += state.Power
		}
	}
	return t
}

// Metered is the energy in Wh that all meters have counted since they were new.
func (f *Fleet) Metered() charge.WattHours {
	for _, p := range f.points {
		p.saveRegisters()
	}
	return f.registers.Metered()
}

// Close opens every contactor and closes the boards and the file of registers.
// Run must have returned.
func (f *Fleet) Close() error {
	var errs []error
	for _, p := range f.points {
		p.saveRegisters()
		errs = append(errs, p.Close())
	}
	return errors.Join(append(errs, f.registers.Close())...)
}
