package check_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/check"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// faulty is a simulated board with a planted fault: what is not nil replaces a
// device or an answer.
type faulty struct {
	*sim.Board
	info      func(hal.Info) hal.Info
	connector func(hal.Connector) hal.Connector
	range0    bool // connector 0 exists
	noReader  bool // Reader returns nil and no error
	keeper    hal.Keeper
}

func (f *faulty) Info() hal.Info {
	if f.info != nil {
		return f.info(f.Board.Info())
	}
	return f.Board.Info()
}

func (f *faulty) Connector(n charge.ConnectorID) (hal.Connector, error) {
	if n == 0 && f.range0 {
		n = 1
	}
	c, err := f.Board.Connector(n)
	if err == nil && f.connector != nil {
		c = f.connector(c)
	}
	return c, err
}

func (f *faulty) Reader() (hal.TokenReader, error) {
	if f.noReader {
		return nil, nil
	}
	return f.Board.Reader()
}

func (f *faulty) Keeper() (hal.Keeper, error) {
	if f.keeper != nil {
		return f.keeper, nil
	}
	return f.Board.Keeper()
}

// part is a connector with one device replaced.
type part struct {
	hal.Connector
	contactor hal.Contactor
	pilot     hal.Pilot
	meter     hal.Meter
}

func (p part) Contactor() hal.Contactor {
	if p.contactor != nil {
		return p.contactor
	}
	return p.Connector.Contactor()
}

func (p part) Pilot() hal.Pilot {
	if p.pilot != nil {
		return p.pilot
	}
	return p.Connector.Pilot()
}

func (p part) Meter() hal.Meter {
	if p.meter != nil {
		return p.meter
	}
	return p.Connector.Meter()
}

// frozen is a pilot whose first measurement is repeated for ever.
type frozen struct {
	hal.Pilot
	stamp *hal.Stamp
}

func (f frozen) State() (charge.PilotState, hal.Stamp, error) {
	s, stamp, err := f.Pilot.State()
	if f.stamp.Seq == 0 {
		*f.stamp = stamp
	}
	return s, *f.stamp, err
}

// broken is a pilot that refuses every offer.
type broken struct{ hal.Pilot }

func (broken) SetAvailable(bool) error { return errors.New("broken") }

// sinking is a meter whose register goes down.
type sinking struct {
	hal.Meter
	reads *atomic.Int64
}

func (s sinking) Read(ctx context.Context) (hal.Reading, error) {
	r, err := s.Meter.Read(ctx)
	r.Import -= charge.WattHours(s.reads.Add(1))
	return r, err
}

// patient is a meter that waits for its bus, whatever the context.
type patient struct{ hal.Meter }

func (p patient) Read(ctx context.Context) (hal.Reading, error) {
	return p.Meter.Read(context.WithoutCancel(ctx))
}

// lazy is a contactor that opens after a wait.
type lazy struct{ hal.Contactor }

func (l lazy) Set(on bool) error {
	if !on {
		time.Sleep(2 * check.Tick)
	}
	return l.Contactor.Set(on)
}

// deadKeeper is a keeper that nothing depends on.
type deadKeeper struct{}

func (deadKeeper) Kick() error            { return nil }
func (deadKeeper) Timeout() time.Duration { return time.Second / 2 }

// plant makes a good board and plants a fault in it.
func plant(t *testing.T, change func(*sim.Config), fault func(*faulty)) *faulty {
	t.Helper()
	cfg := sim.DefaultConfig()
	cfg.Connectors, cfg.Cable, cfg.Watchdog, cfg.Clock, cfg.ClockTime = 2, 32_000, time.Minute, true, time.Now()
	if change != nil {
		change(&cfg)
	}
	b, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{Board: b}
	if fault != nil {
		fault(f)
	}
	return f
}

// failures are the names of the rules that a board breaks.
func failures(t *testing.T, b hal.Board) (names []string) {
	t.Helper()
	for _, rule := range check.Rules() {
		switch err := rule.Check(check.NewProbe(t.Context(), b)); {
		case errors.Is(err, hal.ErrNotFitted):
			t.Logf("%s: skipped", rule.Name)
		case err != nil:
			t.Logf("%s: %v", rule.Name, err)
			names = append(names, rule.Name)
		}
	}
	return names
}

func TestEveryRuleHasANameAndARemedy(t *testing.T) {
	seen := map[string]bool{}
	for _, rule := range check.Rules() {
		if rule.Name == "" || rule.Remedy == "" || seen[rule.Name] {
			t.Errorf("rule %+v", rule)
		}
		seen[rule.Name] = true
	}
}

func TestAGoodBoardBreaksNoRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := failures(t, plant(t, nil, nil)); len(got) > 0 {
			t.Errorf("broken: %q", got)
		}
	})
}

func TestEachRuleFindsItsFault(t *testing.T) {
	replace := func(with func(hal.Connector) part) func(*faulty) {
		return func(f *faulty) {
			f.connector = func(c hal.Connector) hal.Connector { return with(c) }
		}
	}
	inject := func(fault charge.Fault) func(*faulty) {
		return func(f *faulty) { _ = f.Inject(1, fault) }
	}
	defect := func(d sim.Defect) func(*faulty) { return func(f *faulty) { _ = f.Break(1, d) } }
	stamp, reads := new(hal.Stamp), new(atomic.Int64)
	for name, tc := range map[string]struct {
		change func(*sim.Config)
		fault  func(*faulty)
		rule   string
	}{
		"two phases": {nil, func(f *faulty) { f.info = func(i hal.Info) hal.Info { i.Phases = 2; return i } }, "description"},
		"info changes": {nil, func(f *faulty) {
			f.info = func(i hal.Info) hal.Info {
				i.RatedPower += charge.Watts(f.Mono() / time.Second)
				return i
			}
		}, "closes and opens"},
		"connector 0":      {nil, func(f *faulty) { f.range0 = true }, "unknown connector"},
		"a nil reader":     {nil, func(f *faulty) { f.noReader = true }, "never nil"},
		"welded":           {nil, inject(charge.FaultContactorWelded), "every contactor is open"},
		"stuck":            {nil, inject(charge.FaultContactorStuck), "closes and opens"},
		"unreadable":       {nil, inject(charge.FaultSafetyInput), "fresh stamps"},
		"a frozen pilot":   {nil, replace(func(c hal.Connector) part { return part{Connector: c, pilot: frozen{c.Pilot(), stamp}} }), "fresh stamps"},
		"a silent meter":   {nil, inject(charge.FaultMeter), "meter counts up"},
		"a sinking meter":  {nil, replace(func(c hal.Connector) part { return part{Connector: c, meter: sinking{c.Meter(), reads}} }), "meter counts up"},
		"a patient meter":  {nil, replace(func(c hal.Connector) part { return part{Connector: c, meter: patient{c.Meter()}} }), "ends with its context"},
		"a lost sensor":    {nil, defect(sim.SensorLost), "temperatures"},
		"a dead reader":    {nil, defect(sim.ReaderDead), "card reader"},
		"a lost time":      {func(c *sim.Config) { c.ClockTime = time.Time{} }, nil, "clock"},
		"a slow opening":   {nil, replace(func(c hal.Connector) part { return part{Connector: c, contactor: lazy{c.Contactor()}} }), "waits for nothing"},
		"a dead keeper":    {func(c *sim.Config) { c.Keeper = 0 }, func(f *faulty) { f.keeper = deadKeeper{} }, "missed kick"},
		"a jammed lock":    {nil, defect(sim.LockJammed), "lock moves"},
		"a dead RCD":       {nil, defect(sim.TestFails), "self-test"},
		"a refusing pilot": {nil, replace(func(c hal.Connector) part { return part{Connector: c, pilot: broken{c.Pilot()}} }), "pilot offers"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := strings.Join(failures(t, plant(t, tc.change, tc.fault)), "; "); !strings.Contains(got, tc.rule) {
					t.Errorf("broken: %q; want one with %q", got, tc.rule)
				}
			})
		})
	}
}

// TestContactorsThatMoveTogether: one coil switches both contacts.
func TestContactorsThatMoveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := plant(t, nil, nil)
		first, err := f.Board.Connector(1)
		if err != nil {
			t.Fatal(err)
		}
		f.connector = func(c hal.Connector) hal.Connector {
			return part{Connector: c, contactor: coupled{c.Contactor(), first.Contactor()}}
		}
		if got := strings.Join(failures(t, f), "; "); !strings.Contains(got, "alone") {
			t.Errorf("broken: %q", got)
		}
	})
}

// coupled moves another contactor too.
type coupled struct {
	hal.Contactor
	other hal.Contactor
}

func (c coupled) Set(on bool) error { return errors.Join(c.Contactor.Set(on), c.other.Set(on)) }

func TestNoRuleLeavesAContactorClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := plant(t, nil, func(f *faulty) { f.keeper = deadKeeper{} })
		for _, rule := range check.Rules() {
			_ = rule.Check(check.NewProbe(t.Context(), f))
			for _, o := range f.Snapshot().Connectors {
				if o.Commanded {
					t.Errorf("%s: connector %d is commanded closed", rule.Name, o.Connector)
				}
			}
		}
	})
}

func TestAVehicleForbidsSwitching(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(*faulty)
		want string // "" is none
	}{
		"nothing plugged in": {func(*faulty) {}, ""},
		"a vehicle":          {func(f *faulty) { _ = f.Plug(2) }, "connector 2: pilot B: a vehicle is plugged in"},
		"stop pressed":       {func(f *faulty) { _ = f.Inject(1, charge.FaultEmergencyStop) }, "emergency stop: it is pressed"},
		"unreadable":         {func(f *faulty) { _ = f.Inject(1, charge.FaultSafetyInput) }, "connector 1: the pilot cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			f := plant(t, nil, tc.do)
			err := check.NewProbe(t.Context(), f).Unplugged()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
