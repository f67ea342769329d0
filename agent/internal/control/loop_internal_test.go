package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// observed keeps what a loop reports.
type observed struct {
	mu       sync.Mutex
	faults   []charge.Fault // present
	withheld string
	limit    charge.Limit
	closed   bool
}

func (*observed) PilotChanged(charge.ConnectorID, charge.PilotState) {}

func (o *observed) ContactChanged(_ charge.ConnectorID, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = closed
}

func (o *observed) PowerWithheld(_ charge.ConnectorID, reason, _ string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.withheld = reason
}

func (o *observed) LimitApplied(_ charge.ConnectorID, l charge.Limit) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limit = l
}

func (o *observed) FaultSeen(_ charge.ConnectorID, f charge.Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, f)
}

func (o *observed) FaultGone(_ charge.ConnectorID, f charge.Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = slices.DeleteFunc(o.faults, func(g charge.Fault) bool { return f == g })
}

// rig is a loop on a fake board, with a meter reader.
type rig struct {
	*fakeBoard
	t       testing.TB
	loop    *Loop
	outlets []*Outlet
	seen    *observed
	trips   []safety.Trip // guarded by mu
	stop    func()
}

func newRig(tb testing.TB, b *fakeBoard, log *slog.Logger) *rig {
	tb.Helper()
	r := &rig{fakeBoard: b, t: tb, seen: &observed{}}
	for n := range b.all {
		o, err := NewOutlet(b, charge.ConnectorID(n+1))
		if err != nil {
			tb.Fatal(err)
		}
		r.outlets = append(r.outlets, o)
	}
	start := time.Now()
	var err error
	r.loop, err = New(Config{
		Board: b, Outlets: r.outlets, Period: 10 * time.Millisecond, Uptime: func() time.Duration { return time.Since(start) + 1 },
		MeterEvery: time.Second, Reports: r.seen, Beat: func() {}, Log: log,
		Tripped: func(t safety.Trip) { r.set(func() { r.trips = append(r.trips, t) }) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// play runs the loop for the length of f, in fake time.
func play(t *testing.T, connectors int, f func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newFake(connectors), slog.New(slog.DiscardHandler))
		r.run()
		f(r)
		r.stop()
	})
}

// run starts everything.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	var wg sync.WaitGroup
	for _, f := range []func(context.Context){r.loop.Run, r.loop.Assist, r.loop.KickWatchdog, r.meters} {
		wg.Go(func() { f(ctx) })
	}
	r.stop = func() { cancel(); wg.Wait() }
}

// meters reads the meters each second, as agent/app does.
func (r *rig) meters(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for _, o := range r.outlets {
			if _, err := o.ReadMeter(ctx); err != nil {
				r.t.Error(err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// session gives connector n the right to power, as its state machine does.
func (r *rig) session(n int) {
	r.t.Helper()
	if err := r.outlets[n-1].Offer(true); err != nil {
		r.t.Error(err)
	}
	r.outlets[n-1].Permit()
}

// moved waits at most d for the contactor of connector n to be commanded so, and
// returns how long that took since from.
func (r *rig) moved(n int, on bool, from time.Duration, d time.Duration) time.Duration {
	r.t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		o := *r.all[n-1]
		r.mu.Unlock()
		if o.commanded == on {
			return o.moved - from
		}
		if time.Now().After(end) {
			r.t.Fatalf("connector %d is not commanded %t within %s; %v %q", n, on, d, r.seen.faults, r.seen.withheld)
		}
	}
}

// pilot changes the pilot now and returns when that was.
func (r *rig) pilot(n int, p charge.PilotState) time.Duration {
	r.set(func() { r.all[n-1].pilot = p })
	return r.Mono()
}

// TestTimesOfTheStandard: power 3 s after the request at most, with lock and
// self-test; none 100 ms after its end, whatever ends it.
func TestTimesOfTheStandard(t *testing.T) {
	play(t, 1, func(r *rig) {
		time.Sleep(time.Second)
		for _, end := range []struct {
			name   string
			change func()
			reset  func()
		}{
			{"the vehicle pauses", func() { r.all[0].pilot = charge.PilotB }, func() {}},
			{"unplugged", func() { r.all[0].pilot = charge.PilotA }, func() {}},
			{"pilot E", func() { r.all[0].pilot = charge.PilotE }, func() {}},
			{"pilot F", func() { r.all[0].pilot = charge.PilotF }, func() {}},
			{"emergency stop", func() { r.pressed = true }, func() { r.pressed = false; r.outlets[0].ResetLatch() }},
			{"too hot", func() { r.all[0].temperature = 71_000 }, func() { r.all[0].temperature = 25_000 }},
			{"cable unreadable", func() { r.all[0].cable = 0 }, func() { r.all[0].cable = 32_000 }},
			{"the lock opens", func() { r.all[0].lockMoves, r.all[0].lock = 0, hal.LockOpen; r.all[0].lockGoal = hal.LockOpen }, func() {
				r.all[0].lockMoves, r.all[0].lock, r.all[0].lockGoal = 500*time.Millisecond, hal.LockLocked, hal.LockLocked
				r.outlets[0].ResetLatch()
			}},
		} {
			r.session(1)
			asked := r.pilot(1, charge.PilotC)
			if d := r.moved(1, true, asked, 5*time.Second); d > 3*time.Second {
				t.Errorf("before %q: power after %s, want at most 3s", end.name, d)
			}
			time.Sleep(3 * time.Second)
			began := r.Mono()
			r.set(end.change)
			if d := r.moved(1, false, began, time.Second); d > hal.MaxSafetyAge {
				t.Errorf("%s: open after %s, want at most %s", end.name, d, hal.MaxSafetyAge)
			}
			r.set(end.reset)
			time.Sleep(6 * time.Second)
			if err := errors.Join(r.outlets[0].Offer(false), r.outlets[0].Open()); err != nil {
				t.Error(err)
			}
			r.pilot(1, charge.PilotA)
			time.Sleep(time.Second)
		}
		if got := r.outlets[0].HotOperations(); got != 8 { // the last four, which close again after the reset, and their ends
			t.Errorf("%d openings under load, want 8", got)
		}
	})
}

// TestOrderOfOutputs: tested and locked before the contactor closes, released after
// it has opened.
func TestOrderOfOutputs(t *testing.T) {
	play(t, 1, func(r *rig) {
		time.Sleep(time.Second)
		r.session(1)
		r.pilot(1, charge.PilotC)
		r.moved(1, true, 0, 3*time.Second)
		time.Sleep(time.Second)
		if err := errors.Join(r.outlets[0].Offer(false), r.outlets[0].Open()); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
		want := "lock false, offer 32000, self-test, closed false, lock true, close true, close false, lock false, self-test, closed false"
		if got := strings.Join(r.outputs(), ", "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if o := r.outlets[0]; o.Operations() != 2 || o.HotOperations() != 1 {
			t.Errorf("%d operations, %d under load; want 2, 1", o.Operations(), o.HotOperations())
		}
	})
}

// TestSelfTestThatFails: no power, a fault, and another test after a reset. One that
// does not end is given up.
func TestSelfTestThatFails(t *testing.T) {
	for name, spoil := range map[string]func(*fakeOutlet){
		"fails": func(o *fakeOutlet) { o.testFails = errors.New("it does not trip") },
		"hangs": func(o *fakeOutlet) { o.testRuns = time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFake(1)
				spoil(b.all[0])
				r := newRig(t, b, slog.New(slog.DiscardHandler))
				r.run()
				r.session(1)
				r.pilot(1, charge.PilotC)
				time.Sleep(testWithin + 3*time.Second)
				if r.seen.closed || !slices.Equal(r.seen.faults, []charge.Fault{charge.FaultSelfTest}) {
					t.Errorf("closed %t, faults %v; want self_test_failed", r.seen.closed, r.seen.faults)
				}
				r.set(func() { r.all[0].testFails, r.all[0].testRuns = nil, 0 })
				r.outlets[0].ResetLatch()
				r.moved(1, true, 0, 3*time.Second)
				r.stop()
			})
		})
	}
}

// TestEmergencyStopOfAllConnectors: it opens all of them, and a reset at one of them
// resets it at all.
func TestEmergencyStopOfAllConnectors(t *testing.T) {
	play(t, 2, func(r *rig) {
		time.Sleep(time.Second)
		for n := 1; n <= 2; n++ {
			r.session(n)
			r.pilot(n, charge.PilotC)
			r.moved(n, true, 0, 3*time.Second)
		}
		r.set(func() { r.pressed = true })
		r.moved(1, false, 0, time.Second)
		r.moved(2, false, 0, time.Second)
		r.set(func() { r.pressed = false })
		time.Sleep(time.Minute)
		if len(r.seen.faults) != 2 {
			t.Errorf("faults %v after the release, want both latched", r.seen.faults)
		}
		r.outlets[1].ResetLatch()
		r.moved(1, true, 0, 3*time.Second)
		r.moved(2, true, 0, 3*time.Second)
	})
}

// TestOfferIsPaced: a plugged vehicle gets a lower current at once, and a higher one
// 5 s after the last change.
func TestOfferIsPaced(t *testing.T) {
	play(t, 1, func(r *rig) {
		r.session(1)
		r.pilot(1, charge.PilotC)
		time.Sleep(10 * time.Second)
		r.outputs()
		for _, hot := range []charge.MilliCelsius{66_000, 69_000, 50_000, 66_000} {
			r.set(func() { r.all[0].temperature = hot })
			time.Sleep(time.Second)
		}
		time.Sleep(20 * time.Second)
		if got := strings.Join(r.outputs(), ", "); got != "offer 16000, offer 8000, offer 16000" {
			t.Errorf("got %s, want half, a quarter, and half", got)
		}
	})
}

// TestLimitIsOfferedAtTheNextTick, and reported with its owner.
func TestLimitIsOfferedAtTheNextTick(t *testing.T) {
	play(t, 1, func(r *rig) {
		r.session(1)
		r.pilot(1, charge.PilotC)
		time.Sleep(10 * time.Second)
		r.outputs()
		for _, mA := range []charge.MilliAmps{16_000, 8_000, 0} {
			want := charge.Limit{Current: mA, By: charge.LimitSafe}
			r.outlets[0].Limit(want)
			time.Sleep(11 * time.Millisecond)
			got := strings.Join(r.outputs(), ", ")
			r.seen.mu.Lock()
			if !strings.Contains(got, fmt.Sprintf("offer %d", mA)) || r.seen.limit != want {
				t.Errorf("got %s, limit %+v; want %+v", got, r.seen.limit, want)
			}
			r.seen.mu.Unlock()
		}
		r.pilot(1, charge.PilotB)
		r.moved(1, false, 0, 20*time.Millisecond)
		r.seen.mu.Lock()
		if r.seen.withheld != safety.ReasonLimited {
			t.Errorf("withheld %q", r.seen.withheld)
		}
		r.seen.mu.Unlock()
		if n := r.outlets[0].HotOperations(); n != 0 {
			t.Errorf("%d openings under load", n)
		}
		r.outlets[0].Limit(charge.Limit{})
		r.pilot(1, charge.PilotC)
		r.moved(1, true, 0, time.Second)
	})
}

// TestStartDelay: after a power cut no contactor closes before its time.
func TestStartDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newFake(1), slog.New(slog.DiscardHandler))
		r.loop.Delay(42 * time.Second)
		r.session(1)
		r.pilot(1, charge.PilotC)
		r.run()
		time.Sleep(10 * time.Second)
		if r.seen.withheld != "start_delay" {
			t.Errorf("withheld %q, want the delay reported", r.seen.withheld)
		}
		if d := r.moved(1, true, 0, time.Minute); d < 42*time.Second || d > 43*time.Second {
			t.Errorf("closed after %s, want 42s", d)
		}
		r.stop()
	})
}

// TestWatchdog: it is kicked while the loop is healthy, not while it hangs, and
// disarmed at the end.
func TestWatchdog(t *testing.T) {
	play(t, 1, func(r *rig) {
		kicks := func() (n int) {
			r.set(func() { n, r.kicks = r.kicks, 0 })
			return n
		}
		time.Sleep(10 * time.Second)
		if n := kicks(); n < 9 {
			t.Errorf("%d kicks in 10 s, want one a second", n)
		}
		r.set(func() { r.nap = time.Minute })
		time.Sleep(2 * time.Second)
		kicks()
		time.Sleep(50 * time.Second)
		if n := kicks(); n != 0 {
			t.Errorf("%d kicks while the loop hangs", n)
		}
		time.Sleep(20 * time.Second)
		if n := kicks(); n == 0 {
			t.Error("no kick after it continues")
		}
		r.stop()
		if !r.disarmed {
			t.Error("not disarmed")
		}
	})
}

// TestABlockedLogStopsNothing: a log that never returns blocks Assist alone.
func TestABlockedLogStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe, blocked := io.Pipe()
		r := newRig(t, newFake(1), slog.New(slog.NewTextHandler(blocked, nil)))
		r.run()
		time.Sleep(2 * time.Second) // self-test and lock are done
		r.session(1)
		r.set(func() { r.all[0].refuse = errors.New("no such line") })
		r.pilot(1, charge.PilotC)
		time.Sleep(time.Minute)
		if r.loop.Late() != 0 || !r.loop.Healthy() || len(r.seen.faults) == 0 {
			t.Errorf("%d late ticks, healthy %t, faults %v", r.loop.Late(), r.loop.Healthy(), r.seen.faults)
		}
		r.set(func() { r.all[0].refuse = nil })
		r.moved(1, true, 0, 3*time.Second)
		if d := r.moved(1, false, r.pilot(1, charge.PilotB), time.Second); d > hal.MaxSafetyAge {
			t.Errorf("open after %s", d)
		}
		go func() { _, _ = io.Copy(io.Discard, pipe) }()
		r.stop()
		_ = blocked.Close()
	})
}

// TestOpenPathAllocatesNothing: from the first input to the last contactor.
func TestOpenPathAllocatesNothing(t *testing.T) {
	b := newFake(2)
	b.log = nil
	r := newRig(t, b, slog.New(slog.DiscardHandler))
	for n, o := range r.outlets {
		if _, err := o.ReadMeter(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.session(n + 1)
		r.pilot(n+1, charge.PilotC)
		r.all[n].lock, r.all[n].lockGoal = hal.LockLocked, hal.LockLocked
	}
	now, closed := 10*time.Millisecond, 0
	r.loop.decide(now, 0) // sees the contactors open
	n := testing.AllocsPerRun(200, func() {
		// Every second tick opens: the next one would close again.
		now += 10 * time.Millisecond
		r.pressed = !r.pressed
		r.outlets[0].ResetLatch()
		for _, o := range r.all {
			o.commanded = true
		}
		r.loop.decide(now, 10*time.Millisecond)
		for _, o := range r.all {
			if o.commanded {
				closed++
			}
		}
	})
	if n != 0 || closed < 100 || closed > 200 { // of two connectors in 201 ticks, of which the first 30 and every second open
		t.Errorf("%v allocations in a tick that opens, %d times closed; want none, 100 to 200", n, closed)
	}
}

// TestJitterIsCounted: each tick but the first, in buckets.
func TestJitterIsCounted(t *testing.T) {
	play(t, 1, func(r *rig) {
		time.Sleep(time.Second)
		r.set(func() { r.nap = 300 * time.Millisecond })
		time.Sleep(time.Second)
		d := r.loop.Jitter().Distribution()
		if d.Count < 150 || d.Buckets[0].Count >= d.Count || r.loop.Late() != 1 {
			t.Errorf("%+v, %d late", d, r.loop.Late())
		}
	})
}

// TestMaxGap: simulated hardware may allow later ticks, and not earlier ones.
func TestMaxGap(t *testing.T) {
	for allowed, late := range map[time.Duration]bool{0: true, 50 * time.Millisecond: true, 600 * time.Millisecond: false} {
		r := newRig(t, newFake(1), slog.New(slog.DiscardHandler))
		cfg := r.loop.Config
		cfg.MaxGap = allowed
		l, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if l.decide(time.Second, 300*time.Millisecond); l.outlets[0].verdict.Late != late {
			t.Errorf("with %v allowed, a tick 300 ms after the one before is late: %t", allowed, !late)
		}
	}
}

// TestLatchedFaultsOfAnEarlierBoot: what is still latched is not reported again, and
// what is over is.
func TestLatchedFaultsOfAnEarlierBoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newFake(1), slog.New(slog.DiscardHandler))
		latched := charge.FaultSet(0).With(charge.FaultContactorWelded).With(charge.FaultMeter)
		r.seen.faults = latched.List()
		r.loop.Restore(1, latched)
		r.run()
		r.session(1)
		r.pilot(1, charge.PilotC)
		time.Sleep(10 * time.Second)
		if r.seen.closed || !slices.Equal(r.seen.faults, []charge.Fault{charge.FaultContactorWelded}) {
			t.Errorf("closed %t, faults %v; want contactor_welded", r.seen.closed, r.seen.faults)
		}
		r.outlets[0].ResetLatch()
		r.moved(1, true, 0, 3*time.Second)
		r.stop()
	})
}

// TestAReleaseMovesTheBoltOnceMore: a bolt that did not follow gets another try, and
// one that must hold the cable gets none.
func TestAReleaseMovesTheBoltOnceMore(t *testing.T) {
	play(t, 1, func(r *rig) {
		time.Sleep(time.Second)
		moves := func() (n int) { r.set(func() { n = r.all[0].lockSets }); return n }
		was := moves()
		r.outlets[0].ReleaseCable()
		if time.Sleep(time.Second); moves() != was+1 {
			t.Errorf("moved %d times, want once", moves()-was)
		}
	})
}
