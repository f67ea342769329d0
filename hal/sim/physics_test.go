package sim_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// clock is a time that the test moves by hand.
type clock struct{ now time.Duration }

func (c *clock) Now() time.Duration { return c.now }

// world is a board on a clock of its own.
type world struct {
	*sim.Board
	clock
	keeper hal.Keeper
}

func newWorld(tb testing.TB, change func(*sim.Config)) *world {
	tb.Helper()
	w := &world{}
	cfg := sim.DefaultConfig()
	cfg.Now = w.Now
	if change != nil {
		change(&cfg)
	}
	b, err := sim.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	w.Board = b
	if k, err := b.Keeper(); err == nil {
		w.keeper = k
	}
	return w
}

func (w *world) contactor(n charge.ConnectorID) hal.Contactor {
	c, err := w.Connector(n)
	if err != nil {
		panic(err)
	}
	return c.Contactor()
}

// outlet is the first connector as an inspector sees it.
func (w *world) outlet() sim.Outlet { return w.Snapshot().Connectors[0] }

// pass kicks every 100 ms for a while.
func (w *world) pass(d time.Duration) {
	for end := w.now + d; w.now < end; w.now += 100 * time.Millisecond {
		if w.keeper != nil {
			_ = w.keeper.Kick()
		}
	}
}

// action is one thing done to a board at a time.
type action struct {
	after time.Duration
	what  int
	arg   int
}

func actions(t *rapid.T) []action {
	pauses := []time.Duration{
		0, time.Millisecond, 33 * time.Millisecond, 100 * time.Millisecond, 850 * time.Millisecond, 3 * time.Second,
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) action {
		return action{
			after: rapid.SampledFrom(pauses).Draw(t, "after") + time.Duration(rapid.IntRange(0, 999).Draw(t, "jitter")),
			what:  rapid.IntRange(0, 13).Draw(t, "what"),
			arg:   rapid.IntRange(0, 9).Draw(t, "arg"),
		}
	}), 8, 40).Draw(t, "actions")
}

func (w *world) do(d action) {
	n := charge.ConnectorID(d.arg%2 + 1)
	switch d.what {
	case 0:
		_ = w.Plug(n)
	case 1:
		_ = w.Unplug(n)
	case 2, 3:
		_ = w.contactor(n).Set(true)
	case 4:
		_ = w.contactor(n).Set(false)
	case 5:
		if w.keeper != nil {
			_ = w.keeper.Kick()
		}
	case 6:
		_ = w.Inject(n, charge.Faults()[d.arg])
	case 7:
		_ = w.Repair(n)
	case 8:
		_ = w.Ask(n, d.arg < 5)
	case 9:
		_ = w.pilot(n).SetCurrent(charge.MilliAmps(d.arg) * 7_000)
	case 10:
		_ = w.lock(n).Set(d.arg < 5)
	case 11:
		_ = w.Break(n, sim.Defects()[d.arg%len(sim.Defects())])
	case 12:
		_ = w.SetAmbient(charge.MilliCelsius(d.arg) * 5_000)
	case 13:
		if dog, err := w.Watchdog(); err == nil {
			_ = dog.Kick()
		}
	}
}

func (w *world) pilot(n charge.ConnectorID) hal.Pilot {
	c, err := w.Connector(n)
	if err != nil {
		panic(err)
	}
	return c.Pilot()
}

func (w *world) lock(n charge.ConnectorID) hal.Lock {
	c, err := w.Connector(n)
	if err != nil {
		panic(err)
	}
	l, err := c.Lock()
	if err != nil {
		panic(err)
	}
	return l
}

func two(seed uint64) func(*sim.Config) {
	return func(c *sim.Config) {
		c.Seed, c.Connectors, c.Trace = seed, 2, 1000
		c.Registers = []charge.WattHours{1_000, 2_000}
		c.PWM, c.Watchdog = seed%2 == 0, time.Second
	}
}

// state is everything an inspector sees, without the wall's clock.
func state(tb testing.TB, w *world) string {
	tb.Helper()
	s := w.Snapshot()
	s.At = time.Time{}
	out, err := json.Marshal(s)
	if err != nil {
		tb.Fatal(err)
	}
	return string(out)
}

// TestSameSeedSameWorld: what happens depends on the seed and the actions, not
// on how often the board is observed.
func TestSameSeedSameWorld(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		list := actions(rt)
		looks := rapid.SliceOfN(rapid.IntRange(1, 40), len(list), len(list)).Draw(rt, "looks")
		seldom, often := newWorld(t, two(seed)), newWorld(t, two(seed))
		for i, d := range list {
			for range looks[i] {
				often.now += d.after / time.Duration(looks[i])
				_ = often.Mono()
			}
			seldom.now += d.after
			often.now = seldom.now
			seldom.do(d)
			often.do(d)
		}
		if a, b := state(t, seldom), state(t, often); a != b {
			rt.Fatalf("looking changed the world:\n%s\n%s", a, b)
		}
	})
}

// TestPowerNeedsAClosedContactAndAnAskingVehicle: it flows if and only if, and the register is the
// integral of power and never goes down.
func TestPowerNeedsAClosedContactAndAnAskingVehicle(t *testing.T) {
	flowed := false
	defer func() {
		if !flowed {
			t.Error("no power flowed in any run: nothing was shown")
		}
	}()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, func(c *sim.Config) {
			two(rapid.Uint64().Draw(rt, "seed"))(c)
			c.Keeper = rapid.SampledFrom([]time.Duration{0, sim.DefaultKeeper}).Draw(rt, "keeper")
			c.Asks = sim.Span{Least: time.Millisecond, Most: 20 * time.Millisecond}
			c.Contactor = sim.Span{Least: time.Millisecond, Most: 6 * time.Millisecond}
		})
		var sum [2]int64 // W·ns at most
		first := []charge.WattHours{1_000, 2_000}
		const wattHour = int64(3600 * time.Second)
		before := w.Snapshot()
		const step = time.Millisecond
		for _, d := range actions(rt) {
			for end := w.now + d.after.Truncate(step)/10; w.now < end; {
				w.now += step
				now := w.Snapshot()
				for i := range now.Connectors {
					o, was := now.Connectors[i], before.Connectors[i]
					if o.Register < was.Register {
						rt.Fatalf("register went down from %d to %d", was.Register, o.Register)
					}
					if o.Power > 0 && (!o.Closed || o.Pilot != "C") {
						rt.Fatalf("%d W at pilot %s, contact closed %v", o.Power, o.Pilot, o.Closed)
					}
					flowed = flowed || o.Power > 0
					if o.Closed && o.Pilot == "C" && o.Power == 0 && o.Limit >= hal.MinOffer {
						rt.Fatalf("no power for an asking vehicle on a closed contact: %+v", o)
					}
					sum[i] += int64(max(o.Power, was.Power)+1) * int64(step) // W·ns
					used := int64(o.Register-first[i]) * wattHour
					if used > sum[i] {
						rt.Fatalf("register rose by %d W·ns, power gave at most %d", used, sum[i])
					}
				}
				before = now
			}
			w.do(d)
			before = w.Snapshot()
		}
	})
}

func TestRegisterIsPowerTimesTimeExactly(t *testing.T) {
	w := newWorld(t, func(c *sim.Config) { c.Registers, c.Contactor = []charge.WattHours{500}, sim.Span{} })
	if err := w.PlugVehicle(1, sim.Vehicle{Capacity: 100_000, Charge: 0, MaxPower: 7_777}); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Second) // it asks
	if err := w.contactor(1).Set(true); err != nil {
		t.Fatal(err)
	}
	w.pass(3600 * time.Second)
	if got := w.outlet().Register; got != 500+7_777 {
		t.Errorf("one hour at 7777 W from 500 Wh: got %d", got)
	}
	if err := w.contactor(1).Set(false); err != nil {
		t.Fatal(err)
	}
	w.pass(3600 * time.Second)
	if got := w.outlet().Register; got != 500+7_777 {
		t.Errorf("an open contact let energy through: got %d", got)
	}
}

func TestVehicleTapersAndFills(t *testing.T) {
	w := newWorld(t, func(c *sim.Config) { c.Registers = []charge.WattHours{0} })
	if err := w.PlugVehicle(1, sim.Vehicle{Capacity: 2_000, Charge: 100, MaxPower: 100_000}); err != nil {
		t.Fatal(err)
	}
	if err := w.contactor(1).Set(true); err != nil {
		t.Fatal(err)
	}
	w.pass(2 * time.Second)
	last := w.outlet()
	if last.Power != 100_000 || last.Pilot != "C" {
		t.Fatalf("at 10 %%: got %+v, want full power", last)
	}
	begin := w.now
	for ; !w.outlet().Full; w.pass(100 * time.Millisecond) {
		o := w.outlet()
		if o.Power > last.Power || o.Charge <= 800 && o.Power != 100_000 || o.Charge > 810 && o.Power == 100_000 {
			t.Fatalf("power does not follow the curve: %+v after %+v", o, last)
		}
		if last = o; w.now-begin > 5*time.Minute {
			t.Fatalf("not full after 5 minutes: %+v", o)
		}
	}
	if took := w.now - begin; took < 30*time.Second || took > 2*time.Minute {
		t.Errorf("a session took %v; want a minute or two", took)
	}
	o := w.outlet()
	if o.Pilot != "B" || o.Power != 0 || o.Register < 1_800 || o.Register > 1_801 {
		t.Errorf("full: got %+v; want pilot B and 1800 Wh", o)
	}
	if err := w.Ask(1, true); err != nil {
		t.Fatal(err)
	}
	w.pass(2 * time.Second)
	if got := w.outlet().Pilot; got != "B" {
		t.Errorf("a full vehicle asks again: pilot %s", got)
	}
}

func TestPauseAndResume(t *testing.T) {
	w := newWorld(t, nil)
	must(t, w.Plug(1), w.contactor(1).Set(true))
	for _, want := range []bool{true, false, true} {
		must(t, w.Ask(1, want))
		w.pass(2 * time.Second)
		if got := w.outlet().Power > 0; got != want {
			t.Errorf("vehicle asks %v: power flows %v", want, got)
		}
	}
}

func must(tb testing.TB, errs ...error) {
	tb.Helper()
	if err := errors.Join(errs...); err != nil {
		tb.Fatal(err)
	}
}

func TestInjectedFaultsAreSeenAndRepaired(t *testing.T) {
	type seen struct {
		pilot    charge.PilotState
		contact  hal.ContactState
		trip     charge.Fault
		pressed  bool
		inputErr error
		meterErr error
	}
	good := seen{pilot: charge.PilotC, contact: hal.ContactClosed}
	for fault, want := range map[charge.Fault]seen{
		charge.FaultEmergencyStop:   {pilot: charge.PilotC, contact: hal.ContactClosed, pressed: true},
		charge.FaultGroundFault:     {pilot: charge.PilotC, contact: hal.ContactClosed, trip: charge.FaultGroundFault},
		charge.FaultOvercurrent:     {pilot: charge.PilotC, contact: hal.ContactClosed, trip: charge.FaultOvercurrent},
		charge.FaultOvertemperature: {pilot: charge.PilotC, contact: hal.ContactClosed, trip: charge.FaultOvertemperature},
		charge.FaultOther:           {pilot: charge.PilotC, contact: hal.ContactClosed, trip: charge.FaultOther},
		charge.FaultContactorStuck:  {pilot: charge.PilotC, contact: hal.ContactOpen},
		charge.FaultMeter:           {pilot: charge.PilotC, contact: hal.ContactClosed, meterErr: hal.ErrUnreadable},
		charge.FaultPilot:           {pilot: charge.PilotE, contact: hal.ContactClosed},
		charge.FaultSafetyInput:     {inputErr: hal.ErrUnreadable},
	} {
		t.Run(string(fault), func(t *testing.T) {
			w := newWorld(t, nil)
			must(t, w.Plug(1), w.contactor(1).Set(true))
			w.pass(2 * time.Second)
			look := func() seen {
				var s seen
				c, _ := w.Connector(1)
				e, _ := w.EStop()
				s.pilot, _, s.inputErr = c.Pilot().State()
				s.contact, _, _ = c.Contactor().Feedback()
				s.trip, _, _ = c.(hal.Protection).Tripped()
				s.pressed, _, _ = e.Pressed()
				_, s.meterErr = c.Meter().Read(t.Context())
				return s
			}
			if got := look(); got != good {
				t.Fatalf("before: got %+v, want %+v", got, good)
			}
			must(t, w.Inject(1, fault))
			if got := look(); got != want {
				t.Errorf("broken: got %+v, want %+v", got, want)
			}
			must(t, w.Repair(1))
			w.pass(hal.MaxContactorDelay)
			if got := look(); got != good {
				t.Errorf("repaired: got %+v, want %+v", got, good)
			}
		})
	}
}

func TestAWeldedContactLetsPowerThroughUntilRepaired(t *testing.T) {
	w := newWorld(t, nil)
	must(t, w.Plug(1))
	w.pass(2 * time.Second)
	must(t, w.Inject(1, charge.FaultContactorWelded), w.contactor(1).Set(false))
	w.pass(time.Second)
	if o := w.outlet(); !o.Closed || o.Power == 0 || o.Commanded {
		t.Errorf("welded: got %+v; want power without a command", o)
	}
	must(t, w.Repair(1))
	w.pass(hal.MaxContactorDelay)
	if o := w.outlet(); o.Closed || o.Power != 0 {
		t.Errorf("repaired: got %+v; want open", o)
	}
}

func TestMeterFaults(t *testing.T) {
	read := func(w *world) (hal.Reading, hal.Identity) {
		c, _ := w.Connector(1)
		r, err := c.Meter().Read(t.Context())
		id, idErr := c.Meter().Identity()
		must(t, err, idErr)
		return r, id
	}
	for name, tc := range map[string]struct {
		fault sim.MeterFault
		ok    func(before, after hal.Reading, was, is hal.Identity) bool
		stays bool
	}{
		"stuck": {sim.MeterStuck, func(a, b hal.Reading, _, _ hal.Identity) bool {
			return b.Import == a.Import && b.Seq > a.Seq
		}, false},
		"backwards": {sim.MeterBackwards, func(a, b hal.Reading, _, _ hal.Identity) bool { return b.Import < a.Import }, false},
		"jump":      {sim.MeterJump, func(a, b hal.Reading, _, _ hal.Identity) bool { return b.Import > a.Import+900_000 }, false},
		"replaced": {sim.MeterReplaced, func(_, b hal.Reading, was, is hal.Identity) bool {
			return b.Import < 1_000 && was != is
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *sim.Config) { c.Registers = []charge.WattHours{50_000} })
			must(t, w.PlugVehicle(1, sim.Vehicle{Capacity: 50_000, MaxPower: 50_000}), w.contactor(1).Set(true))
			w.pass(10 * time.Second)
			before, was := read(w)
			must(t, w.InjectMeter(1, tc.fault))
			w.pass(10 * time.Second)
			after, is := read(w)
			if !tc.ok(before, after, was, is) {
				t.Errorf("before %+v %v, after %+v %v", before, was, after, is)
			}
			if truth := w.outlet().Register; truth <= before.Import {
				t.Errorf("the true register stood still at %d", truth)
			}
			must(t, w.Repair(1))
			if r, _ := read(w); (r.Import == w.outlet().Register) == tc.stays {
				t.Errorf("repaired: meter shows %d, truth is %d", r.Import, w.outlet().Register)
			}
		})
	}
}

func TestKeeperTripsAtItsTimeWithoutACall(t *testing.T) {
	w := newWorld(t, nil)
	must(t, w.keeper.Kick(), w.contactor(1).Set(true))
	w.now = time.Hour // no call for an hour
	s := w.Snapshot()
	if s.Connectors[0].Closed || s.Supplied || len(s.Trace) != 2 {
		t.Fatalf("got %+v; want closed once and opened by the keeper", s)
	}
	if at := s.Trace[1].Mono; at < sim.DefaultKeeper || at > hal.MaxAgentGone {
		t.Errorf("opened at %v; want between %v and %v", at, sim.DefaultKeeper, hal.MaxAgentGone)
	}
}

func TestTimeThatGoesBackStandsStill(t *testing.T) {
	w := newWorld(t, nil)
	w.now = time.Minute
	_ = w.Mono()
	w.now = time.Second
	if got := w.Mono(); got != time.Minute {
		t.Errorf("got %v, want %v", got, time.Minute)
	}
}

func TestConfigIsRefusedByField(t *testing.T) {
	for want, change := range map[string]func(*sim.Config){
		"connectors":  func(c *sim.Config) { c.Connectors = 0 },
		"rated_power": func(c *sim.Config) { c.RatedPower = 0 },
		"max_current": func(c *sim.Config) { c.MaxCurrent = -1 },
		"voltage":     func(c *sim.Config) { c.Voltage = 0 },
		"phases":      func(c *sim.Config) { c.Phases = 2 },
		"keeper":      func(c *sim.Config) { c.Keeper = 2 * time.Second },
		"trace":       func(c *sim.Config) { c.Trace = -1 },
		"registers":   func(c *sim.Config) { c.Registers = []charge.WattHours{-1} },
		"vehicles":    func(c *sim.Config) { c.Vehicles.Least.Capacity = 9_999 },
		"contactor":   func(c *sim.Config) { c.Contactor.Least = time.Minute },
		"asks":        func(c *sim.Config) { c.Asks.Least = -1 },
		"bolt":        func(c *sim.Config) { c.Bolt.Most = time.Minute },
		"cable":       func(c *sim.Config) { c.Cable = 16_000 },
		"ambient":     func(c *sim.Config) { c.Ambient = 100_000 },
		"watchdog":    func(c *sim.Config) { c.Watchdog = -1 },
	} {
		cfg := sim.DefaultConfig()
		change(&cfg)
		if _, err := sim.New(cfg); err == nil || !strings.Contains(err.Error(), "hal/sim: "+want+":") {
			t.Errorf("%s: got %v", want, err)
		}
	}
}
