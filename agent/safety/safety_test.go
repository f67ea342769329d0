package safety_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
)

const tick = 10 * time.Millisecond

var fine = safety.Input{OK: true, Age: tick}

// well is a tick with good inputs in which power flows.
func well(now time.Duration) safety.Inputs {
	return safety.Inputs{
		Now: now, Gap: tick, Permit: true, Commanded: true, Closed: true,
		Pilot: charge.PilotC, PilotIn: fine, EStopIn: fine, ContactIn: fine, TrippedIn: fine,
	}
}

// closing is a state in which a good tick closes.
func closing(t *testing.T) (safety.State, time.Duration) {
	t.Helper()
	var s safety.State
	var v safety.Verdict
	now := time.Duration(0)
	for range 100 {
		now += tick
		in := well(now)
		in.Commanded, in.Closed = v.Close, v.Close
		s, v = safety.Step(safety.DefaultLimits(), s, in)
		if now < 300*time.Millisecond && v.Close {
			t.Fatalf("closed at %s, before all was well for a while", now)
		}
	}
	if !v.Close || !v.Faults.Empty() {
		t.Fatalf("got %+v, want closed", v)
	}
	return s, now + tick
}

func TestOpensInTheTickThatShowsIt(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*safety.Inputs)
		hold   string
		fault  charge.Fault
	}{
		"permission withdrawn": {func(in *safety.Inputs) { in.Permit = false }, "", ""},
		"vehicle pauses":       {func(in *safety.Inputs) { in.Pilot = charge.PilotB }, "", ""},
		"unplugged":            {func(in *safety.Inputs) { in.Pilot = charge.PilotA }, "", ""},
		"ventilation":          {func(in *safety.Inputs) { in.Pilot = charge.PilotD }, "", ""},
		"pilot E":              {func(in *safety.Inputs) { in.Pilot = charge.PilotE }, "", charge.FaultPilot},
		"pilot F":              {func(in *safety.Inputs) { in.Pilot = charge.PilotF }, "", charge.FaultPilot},
		"pilot unknown":        {func(in *safety.Inputs) { in.Pilot = charge.PilotUnknown }, "", ""},
		"pilot unreadable":     {func(in *safety.Inputs) { in.PilotIn.OK = false }, safety.ReasonInput, ""},
		"pilot stale":          {func(in *safety.Inputs) { in.PilotIn.Age = 101 * time.Millisecond }, safety.ReasonInput, ""},
		"stop pressed":         {func(in *safety.Inputs) { in.Pressed = true }, "", charge.FaultEmergencyStop},
		"stop unreadable":      {func(in *safety.Inputs) { in.EStopIn = safety.Input{} }, safety.ReasonInput, ""},
		"ground fault":         {func(in *safety.Inputs) { in.Tripped = charge.FaultGroundFault }, "", charge.FaultGroundFault},
		"protection stale":     {func(in *safety.Inputs) { in.TrippedIn.Age = time.Second }, safety.ReasonInput, ""},
		"feedback unreadable":  {func(in *safety.Inputs) { in.ContactIn.OK = false }, safety.ReasonInput, ""},
		"output not written":   {func(in *safety.Inputs) { in.WriteFailed = true }, safety.ReasonInput, ""},
		"late tick":            {func(in *safety.Inputs) { in.Gap = 101 * time.Millisecond }, safety.ReasonLate, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, now := closing(t)
			in := well(now)
			c.change(&in)
			s, v := safety.Step(safety.DefaultLimits(), s, in)
			input := map[string]string{
				"pilot unreadable": "pilot", "pilot stale": "pilot", "stop unreadable": "emergency_stop", "protection stale": "protection",
				"feedback unreadable": "contactor_feedback", "output not written": "contactor_output",
			}[name]
			if v.Close || v.Withheld != c.hold || v.Input != input || v.Faults != set(c.fault) || v.Late != (c.hold == safety.ReasonLate) {
				t.Errorf("got %+v, want open, hold %q by %q, fault %q", v, c.hold, input, c.fault)
			}
			_, v = safety.Step(safety.DefaultLimits(), s, well(now+tick))
			if again := c.hold == "" && c.fault != charge.FaultEmergencyStop; v.Close != again {
				t.Errorf("next well tick closes: %t, want %t", v.Close, again)
			}
		})
	}
}

func set(f charge.Fault) charge.FaultSet {
	if f == "" {
		return 0
	}
	return charge.FaultSet(0).With(f)
}

func TestWhatIsNotFittedDoesNotMatter(t *testing.T) {
	s, now := closing(t)
	in := well(now)
	in.EStopIn, in.ContactIn, in.TrippedIn = safety.Input{NotFitted: true}, safety.Input{NotFitted: true}, safety.Input{NotFitted: true}
	in.Pressed, in.Tripped, in.Closed, in.Vent, in.Pilot = true, charge.FaultOther, false, true, charge.PilotD
	if _, v := safety.Step(safety.DefaultLimits(), s, in); !v.Close {
		t.Errorf("got %+v, want closed", v)
	}
}

func TestBadInputBecomesAFaultWhenItLasts(t *testing.T) {
	s, now := closing(t)
	var v safety.Verdict
	for d := time.Duration(0); d < 300*time.Millisecond; d += tick {
		in := well(now + d)
		in.PilotIn.OK, in.Commanded, in.Closed = false, false, false
		if s, v = safety.Step(safety.DefaultLimits(), s, in); !v.Faults.Empty() {
			t.Fatalf("a fault after %s", d)
		}
	}
	in := well(now + 300*time.Millisecond)
	in.PilotIn.OK, in.Commanded, in.Closed = false, false, false
	if s, v = safety.Step(safety.DefaultLimits(), s, in); v.Faults != set(charge.FaultSafetyInput) {
		t.Errorf("got %v, want safety_input_failed", v.Faults.List())
	}
	in = well(now + 310*time.Millisecond)
	in.Commanded, in.Closed = false, false
	if _, v = safety.Step(safety.DefaultLimits(), s, in); !v.Faults.Empty() {
		t.Errorf("got %v after the input is back, want none", v.Faults.List())
	}
}

func TestContactorThatDoesNotFollowLatches(t *testing.T) {
	for _, c := range []struct {
		commanded, closed bool
		want              charge.Fault
	}{{false, true, charge.FaultContactorWelded}, {true, false, charge.FaultContactorStuck}} {
		s, now := closing(t)
		var v safety.Verdict
		var since time.Duration
		for d := time.Duration(0); d <= 400*time.Millisecond && v.Faults.Empty(); d += tick {
			in := well(now + d)
			in.Permit, in.Commanded, in.Closed = c.commanded, c.commanded, c.closed
			s, v = safety.Step(safety.DefaultLimits(), s, in)
			since = d
		}
		if v.Faults != set(c.want) || since != 260*time.Millisecond || v.Close {
			t.Fatalf("got %v after %s, want %s after 260ms", v.Faults.List(), since, c.want)
		}
		in := well(now + time.Second)
		in.Commanded, in.Closed = false, false
		if s, v = safety.Step(safety.DefaultLimits(), s, in); v.Faults != set(c.want) {
			t.Errorf("got %v once they agree, want it latched", v.Faults.List())
		}
		in.ResetLatch = true
		if _, v = safety.Step(safety.DefaultLimits(), s, in); !v.Faults.Empty() {
			t.Errorf("got %v after the repair, want none", v.Faults.List())
		}
	}
}

// TestClosedOnlyByRight: whatever is measured, a closed contactor is permitted,
// requested, without a fault, and its inputs are fresh.
func TestClosedOnlyByRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := safety.DefaultLimits()
		var s safety.State
		now := time.Duration(0)
		input := rapid.Custom(func(t *rapid.T) safety.Input {
			return safety.Input{
				OK: rapid.IntRange(0, 9).Draw(t, "ok") > 0, NotFitted: rapid.IntRange(0, 9).Draw(t, "fitted") == 0,
				Age: rapid.SampledFrom([]time.Duration{0, tick, 100 * time.Millisecond, 101 * time.Millisecond}).Draw(t, "age"),
			}
		})
		for range 50 {
			gap := rapid.SampledFrom([]time.Duration{tick, 300 * time.Millisecond, 100 * time.Millisecond}).Draw(t, "gap")
			now += gap
			in := safety.Inputs{
				Now: now, Gap: gap, Permit: rapid.Bool().Draw(t, "permit"), Commanded: rapid.Bool().Draw(t, "commanded"),
				Closed: rapid.Bool().Draw(t, "closed"), PilotIn: input.Draw(t, "pilot"), EStopIn: input.Draw(t, "estop"),
				ContactIn: input.Draw(t, "contact"), TrippedIn: input.Draw(t, "tripped"),
				Pilot: rapid.SampledFrom([]charge.PilotState{0, 'A', 'B', 'C', 'C', 'C', 'D', 'E'}).Draw(t, "state"),
			}
			var v safety.Verdict
			s, v = safety.Step(l, s, in)
			inputs := []safety.Input{in.PilotIn, in.EStopIn, in.ContactIn, in.TrippedIn}
			bad := slices.ContainsFunc(inputs, func(i safety.Input) bool { return !i.NotFitted && (!i.OK || i.Age > l.MaxAge) })
			if v.Close && (!in.Permit || in.Pilot != charge.PilotC || bad || gap > l.MaxGap || !v.Faults.Empty() || v.Withheld != "") {
				t.Fatalf("closed by %+v: %+v", in, v)
			}
		}
	})
}

func TestStepAllocatesNothing(t *testing.T) {
	s, now := closing(t)
	in := well(now)
	if n := testing.AllocsPerRun(100, func() { _, _ = safety.Step(safety.DefaultLimits(), s, in) }); n != 0 {
		t.Errorf("%v allocations in a tick, want none", n)
	}
}
