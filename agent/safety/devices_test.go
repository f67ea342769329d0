package safety_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
)

// bench is one connector with hardware that follows its commands at once, tick by
// tick. A test changes in before a tick and reads v after it.
type bench struct {
	t  *testing.T
	l  safety.Limits
	s  safety.State
	v  safety.Verdict
	in safety.Inputs
	// testTicks is how many ticks a self-test takes; fails makes it fail.
	testTicks, testing int
	fails              bool
	jammed             bool // the lock does not move
}

// newBench is a connector with these devices, a vehicle that requests power, and
// the permission. Its contactor is closed, or as far as it got in a second.
func newBench(t *testing.T, fitted safety.Fitted) *bench {
	t.Helper()
	b := &bench{t: t, l: safety.DefaultLimits(), testTicks: 5}
	b.in = safety.Inputs{
		Gap: tick, Fitted: fitted, Permit: true, Offer: true, Pilot: charge.PilotC, PilotIn: fine, EStopIn: fine, ContactIn: fine, TrippedIn: fine,
		LockIn: fine, Unlocked: true, ThermalIn: fine, Temperature: 25_000, MaxCurrent: 32_000, Cable: 32_000, CableIn: fine, MeterIn: fine, Current: 20_000,
	}
	b.run(time.Second)
	return b
}

// tick makes one tick.
func (b *bench) tick() {
	b.in.Now += tick
	b.s, b.v = safety.Step(b.l, b.s, b.in)
	b.in.Commanded, b.in.Closed = b.v.Close, b.v.Close
	b.in.ResetLatch, b.in.ResetStop, b.in.TestEnded = false, false, false
	if !b.jammed {
		b.in.Locked, b.in.Unlocked = b.v.Lock, !b.v.Lock
	}
	switch {
	case b.v.SelfTest && b.v.Close:
		b.t.Error("a self-test while the contactor closes")
	case b.v.SelfTest:
		b.in.Testing, b.testing = true, b.testTicks
	case b.in.Testing:
		if b.testing--; b.testing == 0 {
			b.in.Testing, b.in.TestEnded, b.in.TestPassed = false, true, !b.fails
		}
	}
	if b.v.ResetTrip {
		b.in.Tripped = ""
	}
}

// run makes the ticks of d.
func (b *bench) run(d time.Duration) {
	for end := b.in.Now + d; b.in.Now < end; {
		b.tick()
	}
}

// until makes ticks until ok and returns how long that took, at most d.
func (b *bench) until(d time.Duration, what string, ok func() bool) time.Duration {
	b.t.Helper()
	from := b.in.Now
	for b.in.Now-from <= d {
		if b.tick(); ok() {
			return b.in.Now - from
		}
	}
	b.t.Fatalf("not within %s: %s; %+v", d, what, b.v)
	return 0
}

// closed and faulted are conditions of the last verdict.
func (b *bench) closed() bool { return b.v.Close }

func (b *bench) faulted(f charge.Fault) func() bool {
	return func() bool { return b.v.Faults == set(f) }
}

func (b *bench) want(closed bool, faults ...charge.Fault) {
	b.t.Helper()
	if b.v.Close != closed || !slices.Equal(b.v.Faults.List(), faults) {
		b.t.Errorf("at %s: closed %t, faults %v; want %t, %v (%+v)", b.in.Now, b.v.Close, b.v.Faults.List(), closed, faults, b.v)
	}
}

func TestEmergencyStopIsLatched(t *testing.T) {
	b := newBench(t, safety.Fitted{})
	b.want(true)
	b.in.Pressed = true
	b.tick()
	b.want(false, charge.FaultEmergencyStop)
	b.in.Pressed = false
	b.run(time.Minute)
	b.want(false, charge.FaultEmergencyStop)
	b.in.ResetStop = true // at another connector
	b.tick()
	b.want(true)
	b.in.Pressed = true
	b.tick()
	b.in.ResetLatch = true // while it is pressed
	b.tick()
	b.want(false, charge.FaultEmergencyStop)
}

func TestStartDelay(t *testing.T) {
	b := newBench(t, safety.Fitted{})
	b.in.StartAt = b.in.Now + time.Minute
	b.tick()
	if b.want(false); b.v.Withheld != safety.ReasonStart {
		t.Errorf("withheld %q", b.v.Withheld)
	}
	if d := b.until(2*time.Minute, "closed", b.closed); d != time.Minute-tick {
		t.Errorf("closed after %s, want a minute", d)
	}
}

// TestContactorIsSeenOpenFirst: at the boot no contactor closes before its feedback
// showed it open.
func TestContactorIsSeenOpenFirst(t *testing.T) {
	b := &bench{t: t, l: safety.DefaultLimits()}
	b.l.MaxMove = time.Hour // without the weld's rule
	b.in = safety.Inputs{Gap: tick, Permit: true, Pilot: charge.PilotC, PilotIn: fine, EStopIn: fine, ContactIn: fine, TrippedIn: fine}
	for range 100 {
		b.in.Closed = true
		b.in.Commanded = false
		if b.tick(); b.v.Close {
			t.Fatal("closed before it was measured open")
		}
	}
	b.in.Closed = false
	b.tick()
	b.want(true)
}

func TestLock(t *testing.T) {
	fitted := safety.Fitted{Lock: true}
	t.Run("holds the cable before the contactor closes, and until it is open", func(t *testing.T) {
		b := newBench(t, fitted)
		b.want(true)
		b.in.Offer, b.in.Permit = false, false
		b.tick()
		if b.want(false); !b.v.Lock {
			t.Error("released in the tick that opens")
		}
		b.in.Closed = true // the contact has not moved yet
		for range 10 {
			if b.tick(); !b.v.Lock {
				t.Fatal("released while the contact is closed")
			}
			b.in.Closed = true
		}
		b.in.Closed = false
		if b.tick(); b.v.Lock {
			t.Error("not released after the contactor has opened")
		}
	})
	t.Run("power waits for it", func(t *testing.T) {
		b := newBench(t, fitted)
		b.in.Offer, b.in.Permit = false, false
		b.run(time.Second)
		b.jammed, b.in.Offer, b.in.Permit = true, true, true
		b.run(time.Second)
		if b.want(false); b.v.Withheld != "" {
			t.Errorf("withheld %q while the lock moves", b.v.Withheld)
		}
		b.jammed = false
		b.run(2 * tick)
		b.want(true)
	})
	t.Run("one that does not lock is a fault until the vehicle is unplugged", func(t *testing.T) {
		b := newBench(t, fitted)
		b.in.Offer, b.in.Permit = false, false
		b.run(time.Second)
		b.jammed, b.in.Offer, b.in.Permit = true, true, true
		if d := b.until(3*time.Second, "failed", b.faulted(charge.FaultLock)); d != b.l.MaxLockMove+tick {
			t.Errorf("a fault after %s, want %s", d, b.l.MaxLockMove+tick)
		}
		b.in.Offer, b.in.Permit = false, false // the session ends
		b.run(time.Second)
		b.want(false, charge.FaultLock)
		b.in.Pilot = charge.PilotA
		b.tick()
		b.want(false)
	})
	t.Run("one that does not unlock is a fault until it does and a person resets it", func(t *testing.T) {
		b := newBench(t, fitted)
		b.jammed, b.in.Offer, b.in.Permit = true, false, false
		b.until(3*time.Second, "failed", b.faulted(charge.FaultLock))
		b.in.ResetLatch = true
		b.run(time.Second)
		b.want(false, charge.FaultLock)
		b.jammed = false
		b.run(2 * tick)
		b.want(false, charge.FaultLock)
		b.in.ResetLatch = true
		b.tick()
		b.want(false)
	})
	t.Run("one that opens under power opens the contactor at once", func(t *testing.T) {
		b := newBench(t, fitted)
		b.jammed, b.in.Locked = true, false
		b.tick()
		b.want(false, charge.FaultLock)
	})
	t.Run("unreadable", func(t *testing.T) {
		b := newBench(t, fitted)
		b.in.LockIn.OK = false
		if b.tick(); b.v.Close || b.v.Withheld != safety.ReasonInput || b.v.Input != "lock" {
			t.Errorf("got %+v, want open", b.v)
		}
	})
	t.Run("stays locked for 5 s in F", func(t *testing.T) {
		b := newBench(t, fitted)
		b.in.Pilot, b.in.Offer, b.in.Permit = charge.PilotF, false, false
		d := b.until(10*time.Second, "unlocked", func() bool { return !b.v.Lock })
		if d != 5*time.Second+tick {
			t.Errorf("released after %s, want 5s", d)
		}
	})
	t.Run("stays locked while the contactor is welded, also when unplugged", func(t *testing.T) {
		b := newBench(t, fitted)
		b.in.Offer, b.in.Permit = false, false
		for range 200 {
			b.tick()
			b.in.Closed = true
		}
		b.in.Closed = false
		b.run(10 * time.Second)
		if b.want(false, charge.FaultContactorWelded); !b.v.Lock {
			t.Error("released")
		}
		b.in.ResetLatch = true
		if b.run(2 * tick); b.v.Lock {
			t.Error("locked after the repair")
		}
	})
}

func TestSelfTest(t *testing.T) {
	fitted := safety.Fitted{SelfTest: true}
	t.Run("before each closing, and from time to time", func(t *testing.T) {
		b := newBench(t, fitted)
		if b.l.TestEvery != 24*time.Hour {
			t.Errorf("tested every %s", b.l.TestEvery)
		}
		b.l.TestEvery = time.Hour
		b.want(true)
		tests := 0
		count := func() bool {
			if b.v.SelfTest {
				tests++
			}
			return false
		}
		b.in.Pilot = charge.PilotB
		b.tick()
		b.in.Closed = true // the contact is slow
		if b.tick(); b.v.SelfTest {
			t.Error("tested while the contact is closed")
		}
		b.in.Closed = false
		for range 100 {
			b.tick()
			count()
		}
		if tests != 1 {
			t.Errorf("%d self-tests after the charge, want 1", tests)
		}
		b.in.Pilot = charge.PilotC
		if d := b.until(3*time.Second, "closed", b.closed); d != tick {
			t.Errorf("closed after %s although it is tested", d)
		}
		b.in.Pilot, b.in.Permit = charge.PilotB, false
		b.run(time.Second)
		if d := b.until(2*time.Hour, "tested again", func() bool { return b.v.SelfTest }); d < 59*time.Minute || d > time.Hour {
			t.Errorf("tested again after %s, want an hour", d)
		}
	})
	t.Run("power waits for it", func(t *testing.T) {
		b := newBench(t, fitted)
		b.in.Pilot = charge.PilotB
		b.tick()
		b.in.Pilot = charge.PilotC
		if d := b.until(3*time.Second, "closed", b.closed); d < time.Duration(b.testTicks)*tick {
			t.Errorf("closed after %s, before the test", d)
		}
	})
	t.Run("one that fails is a fault until a reset", func(t *testing.T) {
		b := newBench(t, fitted)
		b.fails, b.in.Pilot = true, charge.PilotA
		b.run(time.Hour)
		b.want(false, charge.FaultSelfTest)
		b.fails, b.in.ResetLatch = false, true
		b.run(time.Second)
		b.in.Pilot = charge.PilotC
		b.tick()
		b.want(true)
	})
	t.Run("its own trip is none", func(t *testing.T) {
		b := newBench(t, fitted)
		b.testTicks, b.in.Pilot = 100, charge.PilotB
		b.run(100 * time.Millisecond)
		b.in.Tripped = charge.FaultGroundFault
		b.run(500 * time.Millisecond)
		if b.want(false); !b.in.Testing {
			t.Error("no test is under way")
		}
		b.run(450 * time.Millisecond)
		b.in.Tripped = ""
		b.run(time.Second)
		b.in.Pilot = charge.PilotC
		b.tick()
		b.want(true)
	})
}

// trip makes the device trip, and the session end with the fault.
func (b *bench) trip() {
	b.t.Helper()
	b.in.Tripped = charge.FaultGroundFault
	b.tick()
	b.want(false, charge.FaultGroundFault)
}

func TestGroundFault(t *testing.T) {
	fitted := safety.Fitted{SelfTest: true}
	long := func(t *testing.T) *bench {
		t.Helper()
		b := newBench(t, fitted)
		b.run(3 * time.Second)
		b.want(true)
		return b
	}
	t.Run("a person resets it", func(t *testing.T) {
		b := long(t)
		b.trip()
		b.run(time.Minute)
		b.want(false, charge.FaultGroundFault)
		b.in.ResetLatch = true
		if b.tick(); !b.v.ResetTrip {
			t.Error("the device is not reset")
		}
		b.until(time.Second, "closed after a self-test", b.closed)
	})
	t.Run("it is unplugged", func(t *testing.T) {
		b := long(t)
		b.trip()
		b.in.Pilot = charge.PilotA
		b.run(2 * tick)
		b.want(false)
	})
	t.Run("it resets six times, every five minutes, and then waits for a person", func(t *testing.T) {
		b := long(t)
		for i := range 6 {
			b.trip()
			if d := b.until(6*time.Minute, "closed again", b.closed); d < 5*time.Minute || d > 5*time.Minute+time.Second {
				t.Fatalf("reset %d after %s, want 5m", i+1, d)
			}
			b.run(3 * time.Second)
		}
		b.trip()
		b.run(time.Hour)
		b.want(false, charge.FaultGroundFault)
		b.in.Pilot = charge.PilotA
		b.run(2 * tick)
		b.want(false)
	})
	t.Run("right after closing there is no automatic reset", func(t *testing.T) {
		b := long(t)
		b.in.Pilot = charge.PilotB
		b.run(time.Second)
		b.in.Pilot = charge.PilotC
		b.run(time.Second)
		b.want(true)
		b.trip()
		b.run(time.Hour)
		b.want(false, charge.FaultGroundFault)
	})
	t.Run("one that is still tripped stays a fault", func(t *testing.T) {
		b := long(t)
		b.trip()
		for range 100 {
			b.in.Tripped, b.in.ResetLatch = charge.FaultGroundFault, true
			b.tick()
			b.want(false, charge.FaultGroundFault)
		}
	})
	t.Run("a device that latches by itself holds as long as it is tripped", func(t *testing.T) {
		b := newBench(t, safety.Fitted{})
		b.trip()
		b.in.Tripped = ""
		b.tick()
		b.want(true)
	})
}

func TestHeat(t *testing.T) {
	steered := safety.Fitted{Thermal: true, Steered: true}
	t.Run("half, quarter, stop, and 10 degrees of hysteresis", func(t *testing.T) {
		b := newBench(t, steered)
		for _, c := range []struct {
			at    charge.MilliCelsius
			offer charge.MilliAmps
			stop  bool
		}{
			{64_999, 32_000, false},
			{65_000, 16_000, false},
			{67_999, 16_000, false},
			{68_000, 8_000, false},
			{70_999, 8_000, false},
			{71_000, 0, true},
			{61_000, 0, true},
			{60_999, 8_000, false},
			{58_000, 8_000, false},
			{57_999, 16_000, false},
			{55_000, 16_000, false},
			{54_999, 32_000, false},
		} {
			b.in.Temperature, b.in.Current = c.at, 5_000
			b.run(6 * time.Second)
			if b.v.Offer != c.offer || b.v.Close == c.stop || b.v.Faults.Has(charge.FaultOvertemperature) != c.stop {
				t.Errorf("at %d m°C: %+v; want an offer of %d mA, stopped %t", c.at, b.v, c.offer, c.stop)
			}
		}
	})
	t.Run("below 6 A it pauses", func(t *testing.T) {
		b := newBench(t, steered)
		b.in.MaxCurrent, b.in.Temperature = 16_000, 69_000
		b.tick()
		if b.want(false); b.v.Withheld != safety.ReasonHot {
			t.Errorf("withheld %q", b.v.Withheld)
		}
	})
	t.Run("without steering it only stops", func(t *testing.T) {
		b := newBench(t, safety.Fitted{Thermal: true})
		b.in.Temperature = 70_999
		b.run(time.Minute)
		b.want(true)
		b.in.Temperature = 71_000
		b.tick()
		b.want(false, charge.FaultOvertemperature)
	})
	t.Run("a lost sensor is the lowest step where a cut-out protects", func(t *testing.T) {
		b := newBench(t, safety.Fitted{Thermal: true, Steered: true, Cutout: true})
		b.in.ThermalIn.OK = false
		b.run(6 * time.Second)
		if b.want(true); b.v.Offer != 8_000 {
			t.Errorf("offers %d mA, want a quarter", b.v.Offer)
		}
	})
	t.Run("elsewhere it is a safety input", func(t *testing.T) {
		for _, fitted := range []safety.Fitted{steered, {Thermal: true, Cutout: true}} {
			b := newBench(t, fitted)
			b.in.ThermalIn.Age = 10*time.Second + 1
			if b.tick(); b.v.Close || b.v.Withheld != safety.ReasonInput || b.v.Input != "temperature" {
				t.Errorf("%+v: got %+v, want open", fitted, b.v)
			}
			b.run(time.Second)
			b.want(false, charge.FaultSafetyInput)
		}
	})
}

func TestOvercurrent(t *testing.T) {
	fitted := safety.Fitted{Meter: true, Steered: true}
	limit := charge.MilliAmps(32_500 * 11 / 10)
	t.Run("7 s above the limit", func(t *testing.T) {
		b := newBench(t, fitted)
		b.in.Current = limit
		b.run(time.Minute)
		b.want(true)
		b.in.Current = limit + 1
		if d := b.until(8*time.Second, "a fault", b.faulted(charge.FaultOvercurrent)); d != 7*time.Second+tick {
			t.Errorf("a fault after %s, want 7s", d)
		}
		b.in.Current = 0
		b.run(time.Minute)
		b.want(false, charge.FaultOvercurrent)
		b.in.Pilot = charge.PilotA
		b.tick()
		b.want(false)
	})
	t.Run("a short one is none", func(t *testing.T) {
		b := newBench(t, fitted)
		for range 10 {
			b.in.Current = limit + 1
			b.run(6990 * time.Millisecond)
			b.in.Current = limit
			b.tick()
		}
		b.want(true)
	})
	t.Run("the cable is the limit", func(t *testing.T) {
		b := newBench(t, safety.Fitted{Meter: true, Cable: true})
		b.in.Cable, b.in.Current = 13_000, 15_000
		b.until(8*time.Second, "a fault", b.faulted(charge.FaultOvercurrent))
	})
}

func TestCable(t *testing.T) {
	for name, change := range map[string]func(*safety.Inputs){
		"unreadable":           func(in *safety.Inputs) { in.CableIn.OK = false },
		"contradicts the plug": func(in *safety.Inputs) { in.Cable = 0 },
	} {
		b := newBench(t, safety.Fitted{Cable: true})
		change(&b.in)
		if b.tick(); b.v.Close || b.v.Withheld != safety.ReasonInput || b.v.Input != "cable" {
			t.Errorf("%s: got %+v, want open", name, b.v)
		}
	}
	b := newBench(t, safety.Fitted{Cable: true})
	b.in.Pilot, b.in.Cable = charge.PilotA, 0
	b.run(time.Second)
	b.want(false)
}

// TestOfferRisesEveryFiveSeconds: a lower offer waits for nothing, a plugged vehicle
// gets a higher one 5 s after the last change; without one the next vehicle gets the
// right offer at once.
func TestOfferRisesEveryFiveSeconds(t *testing.T) {
	b := newBench(t, safety.Fitted{Cable: true, Steered: true})
	b.run(10 * time.Second)
	b.in.Cable = 20_000
	if b.tick(); b.v.Offer != 20_000 {
		t.Fatalf("offers %d mA", b.v.Offer)
	}
	b.in.Cable = 13_000
	if b.tick(); b.v.Offer != 13_000 {
		t.Errorf("offers %d mA, want 13 A", b.v.Offer)
	}
	b.in.Cable = 20_000
	if d := b.until(6*time.Second, "20 A", func() bool { return b.v.Offer == 20_000 }); d != 5*time.Second {
		t.Errorf("raised after %s, want 5s", d)
	}
	b.in.Pilot, b.in.Cable = charge.PilotA, 0
	if b.tick(); b.v.Offer != 32_000 {
		t.Errorf("offers %d mA without a cable, want 32 A", b.v.Offer)
	}
}

// TestLimits: the lowest limit is in force, whatever its owner; below 6 A it pauses.
func TestLimits(t *testing.T) {
	steered := safety.Fitted{Meter: true, Steered: true, Thermal: true, Cable: true}
	t.Run("the lowest of all", func(t *testing.T) {
		for _, c := range []struct {
			fitted   safety.Fitted
			change   func(*safety.Inputs)
			limit    charge.MilliAmps
			by       charge.LimitOwner
			withheld string
		}{
			{steered, func(*safety.Inputs) {}, 32_000, charge.LimitConnector, ""},
			{steered, func(in *safety.Inputs) { in.Cable = 20_000 }, 20_000, charge.LimitCable, ""},
			{steered, set16, 16_000, charge.LimitCommand, ""},
			{steered, func(in *safety.Inputs) { set16(in); in.Cable = 13_000 }, 13_000, charge.LimitCable, ""},
			{steered, func(in *safety.Inputs) { set16(in); in.Temperature = 66_000 }, 8_000, charge.LimitTemperature, ""},
			{steered, func(in *safety.Inputs) { set16(in); in.Temperature = 69_000 }, 4_000, charge.LimitTemperature, safety.ReasonHot},
			{steered, limited(6_000), 6_000, charge.LimitCommand, ""},
			{steered, limited(5_999), 5_999, charge.LimitCommand, safety.ReasonLimited},
			{steered, limited(0), 0, charge.LimitCommand, safety.ReasonLimited},
			{safety.Fitted{Meter: true}, limited(32_000), 32_000, charge.LimitConnector, ""},
			{safety.Fitted{Meter: true}, limited(31_999), 31_999, charge.LimitCommand, safety.ReasonLimited},
			{safety.Fitted{Meter: true, Cable: true}, func(in *safety.Inputs) { in.Cable = 20_000; limited(20_000)(in) }, 20_000, charge.LimitCable, ""},
		} {
			b := newBench(t, c.fitted)
			b.want(true)
			c.change(&b.in)
			b.tick() // the next tick is soon enough
			if c.withheld == safety.ReasonLimited && c.fitted.Steered {
				b.want(true) // the vehicle may stop by itself
				b.in.Pilot = charge.PilotB
				b.tick()
			}
			if b.want(c.withheld == ""); b.v.Limit != (charge.Limit{Current: c.limit, By: c.by}) || b.v.Withheld != c.withheld {
				t.Errorf("limit %+v, withheld %q; want %d of %s, %q", b.v.Limit, b.v.Withheld, c.limit, c.by, c.withheld)
			}
			if c.fitted.Steered && b.v.Offer != c.limit {
				t.Errorf("offers %d mA, want %d", b.v.Offer, c.limit)
			}
		}
	})
	t.Run("a vehicle that does not stop is switched off", func(t *testing.T) {
		b := newBench(t, steered)
		limited(5_000)(&b.in)
		open := func() bool { return !b.v.Close }
		if d := b.until(6*time.Second, "open", open); d != 5*time.Second+tick || b.v.Withheld != safety.ReasonLimited {
			t.Errorf("open after %s, withheld %q; want 5s", d, b.v.Withheld)
		}
	})
	t.Run("back: it goes on", func(t *testing.T) {
		b := newBench(t, steered)
		limited(0)(&b.in)
		b.run(time.Minute)
		b.want(false)
		limited(10_000)(&b.in)
		if b.until(time.Second, "closed", b.closed); b.v.Offer != 10_000 {
			t.Errorf("offers %d mA, want 10 A", b.v.Offer)
		}
	})
	t.Run("a vehicle that does not follow is switched off", func(t *testing.T) {
		b := newBench(t, steered)
		b.in.Current = 20_000
		b.run(time.Minute)
		b.want(true)
		limited(16_000)(&b.in)
		if d := b.until(8*time.Second, "a fault", b.faulted(charge.FaultOvercurrent)); d != 7*time.Second+tick {
			t.Errorf("a fault after %s, want 7s", d)
		}
	})
	t.Run("one that follows within 5 s is not", func(t *testing.T) {
		b := newBench(t, steered)
		b.in.Current = 20_000
		limited(16_000)(&b.in)
		b.run(5 * time.Second)
		b.in.Current = 16_000
		b.run(time.Minute)
		b.want(true)
	})
}

// limited is an input with a SET_LIMIT.
func limited(current charge.MilliAmps) func(*safety.Inputs) {
	return func(in *safety.Inputs) { in.Limit = charge.Limit{Current: current, By: charge.LimitCommand} }
}

func set16(in *safety.Inputs) { limited(16_000)(in) }

func TestMeterLost(t *testing.T) {
	b := newBench(t, safety.Fitted{Meter: true})
	b.want(true)
	b.in.MeterIn.Age = 5*time.Second + 1
	b.tick()
	if b.want(false, charge.FaultMeter); b.v.Withheld != safety.ReasonMeter {
		t.Errorf("withheld %q", b.v.Withheld)
	}
	b.in.MeterIn.Age = 0
	b.tick()
	b.want(true)
	b.in.MeterIn = safety.Input{} // not read yet in this boot
	b.run(time.Minute)
	if b.want(false); b.v.Withheld != safety.ReasonMeter {
		t.Errorf("withheld %q", b.v.Withheld)
	}
}

// TestClosedOnlyWithEveryDevice: whatever the devices show, a closed contactor has
// a locked cable, a tested residual current device, a fresh meter, and neither heat
// nor a latched fault.
func TestClosedOnlyWithEveryDevice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flag := func(name string, of int) bool { return rapid.IntRange(0, of).Draw(t, name) == 0 }
		input := func(name string) safety.Input {
			return safety.Input{OK: !flag(name, 19), Age: rapid.SampledFrom([]time.Duration{0, 0, 0, tick, 99 * time.Second}).Draw(t, name+"_age")}
		}
		l := safety.DefaultLimits()
		fitted := safety.Fitted{
			Lock: flag("lock", 1), Cable: flag("cable", 1), SelfTest: flag("rcd", 1), Thermal: flag("thermal", 1), Cutout: flag("cutout", 1),
			Meter: flag("meter", 1), Steered: flag("steered", 1),
		}
		var s safety.State
		var v safety.Verdict
		var passed, testing bool // passed: since the contactor was closed last
		now := time.Duration(0)
		for range rapid.IntRange(40, 200).Draw(t, "ticks") {
			now += tick
			in := safety.Inputs{
				Now: now, Gap: tick, Fitted: fitted, Permit: true, Offer: !flag("no_offer", 9), Commanded: v.Close, Closed: v.Close,
				Pilot: rapid.SampledFrom([]charge.PilotState{'A', 'B', 'C', 'C', 'C', 'C', 'C', 'C', 'F'}).Draw(t, "pilot"), PilotIn: fine, EStopIn: fine,
				ContactIn: fine, TrippedIn: fine, Locked: v.Lock && !flag("moves", 9), Unlocked: !v.Lock, LockIn: fine, Testing: testing,
				Temperature: rapid.SampledFrom([]charge.MilliCelsius{20_000, 20_000, 20_000, 66_000, 72_000}).Draw(t, "heat"), ThermalIn: fine,
				MaxCurrent: 32_000, Cable: 32_000, CableIn: fine, MeterIn: fine, ResetLatch: flag("reset", 19),
			}
			if flag("bad", 19) {
				in.LockIn, in.ThermalIn, in.CableIn, in.MeterIn = input("lock_in"), input("thermal_in"), input("cable_in"), input("meter_in")
			}
			if flag("trip", 29) {
				in.Tripped = charge.FaultGroundFault
			}
			if testing && flag("ends", 2) {
				testing, in.Testing, in.TestEnded, in.TestPassed = false, false, true, !flag("fails", 9)
				passed = in.TestPassed
			}
			s, v = safety.Step(l, s, in)
			if v.SelfTest {
				if testing || in.Commanded || v.Close {
					t.Fatalf("a self-test begins while testing %t, commanded %t, closing %t", testing, in.Commanded, v.Close)
				}
				testing, passed = true, false
			}
			if !v.Close {
				continue
			}
			switch {
			case !v.Faults.Empty(), v.Withheld != "":
				t.Fatalf("closed with %+v", v)
			case fitted.Lock && !in.Locked:
				t.Fatal("closed without a locked cable")
			case fitted.SelfTest && (testing || !in.Commanded && !passed || in.Tripped != ""):
				t.Fatal("closed without a tested residual current device")
			case fitted.Thermal && in.ThermalIn.OK && in.ThermalIn.Age == 0 && in.Temperature > 71_000:
				t.Fatal("closed although it is too hot")
			case fitted.Meter && (!in.MeterIn.OK || in.MeterIn.Age > l.MaxMeterAge):
				t.Fatal("closed without a meter")
			}
			passed = false // the next closing needs another test
		}
	})
}

func TestDevicesAllocateNothing(t *testing.T) {
	b := newBench(t, safety.Fitted{Lock: true, Cable: true, SelfTest: true, Thermal: true, Cutout: true, Meter: true, Steered: true})
	b.want(true)
	b.in.Pressed = true
	if n := testing.AllocsPerRun(100, func() { _, _ = safety.Step(b.l, b.s, b.in) }); n != 0 {
		t.Errorf("%v allocations in a tick that opens, want none", n)
	}
}

// TestRestored: a fault that an earlier boot had latched stays until what ends it,
// and one of a device that is not fitted does not.
func TestRestored(t *testing.T) {
	all := safety.Fitted{Lock: true, SelfTest: true}
	for _, f := range charge.Faults() {
		b := newBench(t, all)
		b.in.Commanded, b.in.Closed = false, false
		b.s = safety.Restored(all, set(f))
		b.tick()
		if b.run(10 * time.Minute); b.v.Faults.Has(f) != f.Latches() {
			t.Errorf("%s: got %v after 10 minutes", f, b.v.Faults.List())
		}
		b.in.ResetLatch = true
		if b.run(time.Second); !b.v.Close {
			t.Errorf("%s: got %+v after a reset, want closed", f, b.v)
		}
	}
	for f, ends := range map[charge.Fault]bool{
		charge.FaultGroundFault: true, charge.FaultOvercurrent: true, charge.FaultLock: true,
		charge.FaultContactorWelded: false, charge.FaultSelfTest: false,
	} {
		b := newBench(t, all)
		b.in.Commanded, b.in.Closed, b.in.Pilot, b.in.Offer = false, false, charge.PilotA, false
		b.s = safety.Restored(all, set(f))
		if b.run(time.Second); b.v.Faults.Has(f) == ends {
			t.Errorf("%s: got %v without a vehicle", f, b.v.Faults.List())
		}
	}
	b := newBench(t, safety.Fitted{})
	b.s = safety.Restored(safety.Fitted{}, set(charge.FaultLock)|set(charge.FaultGroundFault)|set(charge.FaultSelfTest))
	if b.tick(); !b.v.Faults.Empty() {
		t.Errorf("got %v of devices that are not fitted", b.v.Faults.List())
	}
}

// TestWeldedStaysDuringAReset: its fault has no gap while it is still welded.
func TestWeldedStaysDuringAReset(t *testing.T) {
	b := newBench(t, safety.Fitted{})
	b.s = safety.Restored(safety.Fitted{}, set(charge.FaultContactorWelded))
	for i := range 100 {
		b.in.Commanded, b.in.Closed, b.in.ResetLatch = false, true, i == 10
		if b.tick(); !b.v.Faults.Has(charge.FaultContactorWelded) {
			t.Fatalf("tick %d: no fault", i)
		}
	}
	if b.run(time.Second); !b.v.Faults.Has(charge.FaultContactorWelded) {
		t.Error("the reset of a contactor that opened later counts")
	}
}
