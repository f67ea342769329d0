package sim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// Board is a simulated charging point: a lock and a clock around the physics. Make
// it with New.
type Board struct {
	info       hal.Info
	clock      func() time.Duration
	connectors []*connector
	meterDelay atomic.Int64 // nanoseconds
	tokens     *hal.Moments[hal.Token]
	presses    *hal.Moments[hal.Press]

	mu                          sync.Mutex
	physics                     *physics // mu guards it, closed and every seq below
	closed                      bool
	stopSeq, tokenSeq, pressSeq uint64
}

var (
	_ hal.Board     = (*Board)(nil)
	_ hal.Simulator = (*Board)(nil)
)

// New makes a board with every contactor open and nothing plugged in. It starts no
// goroutine. The error of a wrong Config names each wrong field.
func New(cfg Config) (*Board, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.MaxCurrent == 0 {
		cfg.MaxCurrent = cfg.currentOf(int64(cfg.RatedPower)*1_000) * 11 / 10
	}
	if cfg.Now == nil {
		// In milliseconds, so that the physics are computed once for all devices that are
		// read in one turn.
		start := time.Now()
		cfg.Now = func() time.Duration { return time.Since(start).Truncate(time.Millisecond) }
	}
	b := &Board{
		info: hal.Info{
			Model:      "simulated",
			Serial:     cfg.Serial,
			Connectors: cfg.Connectors,
			Simulated:  true,
			Steered:    cfg.Steered,
			RatedPower: cfg.RatedPower,
			MaxCurrent: cfg.MaxCurrent,
			Voltage:    cfg.Voltage,
			Phases:     cfg.Phases,
			TempLimit:  cfg.TempLimit,
		},
		clock:   cfg.Now,
		tokens:  hal.NewMoments[hal.Token](),
		presses: hal.NewMoments[hal.Press](),
		physics: newPhysics(cfg),
	}
	if cfg.NoThermal {
		b.info.TempLimit = 0
	}
	for _, o := range b.physics.outlets {
		b.connectors = append(b.connectors, &connector{board: b, outlet: o})
	}
	return b, nil
}

// Info describes the board.
func (b *Board) Info() hal.Info { return b.info }

// Connector returns the devices of one connector.
func (b *Board) Connector(n charge.ConnectorID) (hal.Connector, error) {
	c, err := b.connector(n)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// connector is Connector with its concrete type.
func (b *Board) connector(n charge.ConnectorID) (*connector, error) {
	if n < 1 || int(n) > len(b.connectors) {
		return nil, fmt.Errorf("connector %d: this board has 1 to %d", n, len(b.connectors))
	}
	return b.connectors[n-1], nil
}

// EStop returns the emergency stop, which an injected emergency_stop presses.
// It is an input only: opening the contactors is left to its reader.
func (b *Board) EStop() (hal.EStop, error) {
	if b.physics.cfg.NoEStop {
		return nil, hal.ErrNotFitted
	}
	return estop{b}, nil
}

// Keeper returns the dead-man device of all contactors.
func (b *Board) Keeper() (hal.Keeper, error) {
	if !b.physics.keeperFitted() {
		return nil, hal.ErrNotFitted
	}
	return keeper{b}, nil
}

// Mono is the time since the board's start.
func (b *Board) Mono() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stepLocked()
}

// SafeState opens all contactors.
func (b *Board) SafeState() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stepLocked()
	b.physics.openAll()
	return nil
}

// Close opens all contactors. Afterwards every method but Snapshot is refused;
// vehicles and batteries go on. It disarms the watchdog.
func (b *Board) Close() error {
	err := b.SafeState()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.physics.armed = false
	b.tokens.Close()
	b.presses.Close()
	return err
}

// SetMeterDelay makes each Meter.Read take at least this long, like a slow bus. It
// applies to reads that begin afterwards.
func (b *Board) SetMeterDelay(d time.Duration) { b.meterDelay.Store(int64(d)) }

// stepLocked advances the physics to the present and returns that time. Every
// method calls it first, so that a caller observes what happened until now.
func (b *Board) stepLocked() time.Duration {
	b.physics.step(b.clock())
	return b.physics.now
}

// wait waits as long as something takes on a bus. It holds no lock, so that a slow
// meter delays nothing else.
func wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Snapshot is everything observable of a board at one time.
type Snapshot struct {
	Mono       time.Duration `json:"mono_ns"`
	At         time.Time     `json:"at"` // the wall's clock at Mono
	Serial     string        `json:"serial"`
	Supplied   bool          `json:"supplied"` // the keeper, where fitted, feeds the coils
	Pressed    bool          `json:"pressed"`  // the emergency stop
	Resets     int           `json:"resets"`   // of the computer, by its watchdog
	Connectors []Outlet      `json:"connectors"`
	Trace      []Switch      `json:"trace"`      // the kept switchings, oldest first
	TraceGone  int           `json:"trace_gone"` // older ones, no longer kept
}

// Outlet is the true state of one connector, whatever its feedback and its meter
// show.
type Outlet struct {
	Connector charge.ConnectorID `json:"connector"`
	Plugged   bool               `json:"plugged"`
	Pilot     string             `json:"pilot"`
	Commanded bool               `json:"commanded"`
	Closed    bool               `json:"closed"`
	Since     time.Duration      `json:"since_ns"` // of Closed
	Register  charge.WattHours   `json:"register_wh"`
	Power     charge.Watts       `json:"power_w"`
	Charge    charge.Permille    `json:"charge_permille"` // of the vehicle; 0 without
	Full      bool               `json:"full"`
	Faults    []charge.Fault     `json:"faults,omitempty"`

	Limit       charge.MilliAmps    `json:"limit_ma"` // per phase, as the pilot signals it
	Lock        string              `json:"lock"`     // open, locked or unknown: between the two
	Temperature charge.MilliCelsius `json:"temperature_mc"`
	Light       string              `json:"light"` // what a person sees
	Defects     []Defect            `json:"defects,omitempty"`
}

// Snapshot observes the board from outside. It works on a closed board too.
func (b *Board) Snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Snapshot{
		Mono: b.stepLocked(), At: time.Now(), Serial: b.info.Serial,
		Supplied: b.physics.supplied || !b.physics.keeperFitted(), Pressed: b.physics.pressed(),
		Resets: b.physics.resets,
	}
	for _, o := range b.physics.outlets {
		s.Connectors = append(s.Connectors, Outlet{
			Connector: o.id,
			Plugged:   o.plugged,
			Pilot:     o.pilot().String(),
			Commanded: o.commanded,
			Closed:    o.closed,
			Since:     o.since,
			Register:  o.register.whole,
			Power:     charge.Watts(o.milliwatts / 1_000),
			Charge:    o.battery.charge(),
			Full:      o.plugged && o.battery.full(),
			Faults:    o.faults.names(),

			Limit:       o.limit,
			Lock:        o.lock.state.String(),
			Temperature: o.temperature(),
			Light:       o.light.String(),
			Defects:     slices.Clone(o.defects),
		})
	}
	s.Trace, s.TraceGone = b.physics.trace.list()
	return s
}
