package control

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// fakeBoard is a board with every device, whose inputs a test sets, and which keeps
// what the loop did with its outputs.
type fakeBoard struct {
	hal.BareBoard
	info  hal.Info
	start time.Time
	all   []*fakeOutlet

	mu sync.Mutex
	// mu guards what follows, and the outlets.
	pressed  bool
	kicks    int
	disarmed bool
	nap      time.Duration // of the next reading of the emergency stop
	log      []string      // outputs, in their order; nil: not kept
}

func newFake(connectors int) *fakeBoard {
	b := &fakeBoard{
		info: hal.Info{
			Model: "fake", Connectors: connectors, RatedPower: 22_000, MaxCurrent: 32_000, Voltage: 230_000, Phases: 3, Steered: true,
		},
		start: time.Now(), log: []string{},
	}
	for range connectors {
		b.all = append(b.all, &fakeOutlet{
			b: b, pilot: charge.PilotA, lock: hal.LockOpen, cable: 32_000, temperature: 25_000, lockMoves: 500 * time.Millisecond,
			testRuns: 300 * time.Millisecond,
		})
	}
	return b
}

func (b *fakeBoard) Info() hal.Info      { return b.info }
func (b *fakeBoard) Mono() time.Duration { return time.Since(b.start) }
func (b *fakeBoard) SafeState() error    { return nil }
func (b *fakeBoard) Close() error        { return nil }

func (b *fakeBoard) Connector(n charge.ConnectorID) (hal.Connector, error) { return b.all[n-1], nil }
func (b *fakeBoard) EStop() (hal.EStop, error)                             { return fakeStop{b}, nil }
func (b *fakeBoard) Keeper() (hal.Keeper, error)                           { return fakeKeeper{b}, nil }
func (b *fakeBoard) Watchdog() (hal.Watchdog, error)                       { return fakeWatchdog{b}, nil }

// did notes an output.
func (b *fakeBoard) did(format string, args ...any) {
	if b.log != nil {
		b.log = append(b.log, fmt.Sprintf(format, args...))
	}
}

// set changes the inputs.
func (b *fakeBoard) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// outputs returns what was done since the last call.
func (b *fakeBoard) outputs() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	done := b.log
	b.log = []string{}
	return done
}

// fakeOutlet is one connector of it. The contact follows its command at once, the
// lock after lockMoves.
type fakeOutlet struct {
	b           *fakeBoard
	pilot       charge.PilotState
	commanded   bool
	moved       time.Duration // when the contactor was commanded last
	lock        hal.LockState
	lockGoal    hal.LockState
	lockAt      time.Duration
	lockMoves   time.Duration
	lockSets    int
	cable       charge.MilliAmps
	temperature charge.MilliCelsius
	testRuns    time.Duration
	testFails   error
	tests       int
	pilotFails  error
	contactAge  time.Duration
	tripped     charge.Fault
	refuse      error // of every output
}

func (o *fakeOutlet) stamp() hal.Stamp { return hal.Stamp{Mono: o.b.Mono()} }

type (
	fakeContactor struct{ *fakeOutlet }
	fakePilot     struct{ *fakeOutlet }
	fakeMeter     struct{ *fakeOutlet }
	fakeLock      struct{ *fakeOutlet }
	fakeCable     struct{ *fakeOutlet }
	fakeGround    struct{ *fakeOutlet }
	fakeThermal   struct{ *fakeOutlet }
	fakeStop      struct{ b *fakeBoard }
	fakeKeeper    struct{ b *fakeBoard }
	fakeWatchdog  struct{ b *fakeBoard }
)

func (o *fakeOutlet) Contactor() hal.Contactor              { return fakeContactor{o} }
func (o *fakeOutlet) Pilot() hal.Pilot                      { return fakePilot{o} }
func (o *fakeOutlet) Meter() hal.Meter                      { return fakeMeter{o} }
func (o *fakeOutlet) Lock() (hal.Lock, error)               { return fakeLock{o}, nil }
func (o *fakeOutlet) Proximity() (hal.Proximity, error)     { return fakeCable{o}, nil }
func (o *fakeOutlet) GroundFault() (hal.GroundFault, error) { return fakeGround{o}, nil }
func (o *fakeOutlet) Thermal() (hal.Thermal, error)         { return fakeThermal{o}, nil }
func (o *fakeOutlet) Tripped() (charge.Fault, hal.Stamp, error) {
	o.b.mu.Lock()
	defer o.b.mu.Unlock()
	return o.tripped, o.stamp(), nil
}

func (k fakeContactor) Set(on bool) error {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	if k.commanded != on {
		k.commanded, k.moved = on, k.b.Mono()
		k.b.did("close %t", on)
	}
	return k.refuse
}

func (k fakeContactor) Commanded() bool {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	return k.commanded
}

func (k fakeContactor) Feedback() (hal.ContactState, hal.Stamp, error) {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	at := hal.Stamp{Mono: k.b.Mono() - k.contactAge}
	if k.commanded {
		return hal.ContactClosed, at, nil
	}
	return hal.ContactOpen, at, nil
}

func (p fakePilot) State() (charge.PilotState, hal.Stamp, error) {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	return p.pilot, p.stamp(), p.pilotFails
}

func (p fakePilot) SetAvailable(bool) error { return nil }

func (p fakePilot) SetCurrent(limit charge.MilliAmps) error {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	p.b.did("offer %d", limit)
	return nil
}

func (m fakeMeter) Read(context.Context) (hal.Reading, error) {
	return hal.Reading{Stamp: m.stamp()}, nil
}
func (m fakeMeter) Identity() (hal.Identity, error) { return hal.Identity{}, nil }

func (k fakeLock) Set(locked bool) error {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	goal := hal.LockOpen
	if locked {
		goal = hal.LockLocked
	}
	if k.lockSets++; goal != k.lockGoal {
		k.lockGoal, k.lockAt = goal, k.b.Mono()+k.lockMoves
		k.b.did("lock %t", locked)
	}
	return nil
}

func (k fakeLock) State() (hal.LockState, hal.Stamp, error) {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	if k.lock != k.lockGoal && k.b.Mono() >= k.lockAt {
		k.lock = k.lockGoal
	} else if k.lock != k.lockGoal {
		return hal.LockUnknown, k.stamp(), nil
	}
	return k.lock, k.stamp(), nil
}

func (c fakeCable) CableLimit() (charge.MilliAmps, hal.Stamp, error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	return c.cable, c.stamp(), nil
}

func (g fakeGround) SelfTest(ctx context.Context) error {
	g.b.mu.Lock()
	g.tests++
	g.b.did("self-test, closed %t", g.commanded)
	runs, err := g.testRuns, g.testFails
	g.b.mu.Unlock()
	select {
	case <-time.After(runs):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g fakeGround) Reset() error {
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	g.b.did("reset")
	return nil
}

func (t fakeThermal) Sensors() []string { return []string{"socket"} }

func (t fakeThermal) Hottest() (charge.MilliCelsius, hal.Stamp, error) {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	return t.temperature, t.stamp(), nil
}

func (s fakeStop) Pressed() (bool, hal.Stamp, error) {
	s.b.mu.Lock()
	nap := s.b.nap
	s.b.nap = 0
	s.b.mu.Unlock()
	time.Sleep(nap)
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.b.pressed, hal.Stamp{Mono: s.b.Mono()}, nil
}

func (k fakeKeeper) Kick() error            { return nil }
func (k fakeKeeper) Timeout() time.Duration { return 500 * time.Millisecond }

func (w fakeWatchdog) Kick() error {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	w.b.kicks++
	return nil
}

func (w fakeWatchdog) Timeout() time.Duration { return 4 * time.Second }

func (w fakeWatchdog) Disarm() error {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	w.b.disarmed = true
	return nil
}
