package control

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// tripped returns the trips since the last call.
func (r *rig) tripped() (t []safety.Trip) {
	r.set(func() { t, r.trips = r.trips, nil })
	return t
}

// charging lets power flow at connector 1 for a while.
func (r *rig) charging() {
	r.t.Helper()
	time.Sleep(time.Second)
	r.session(1)
	r.pilot(1, charge.PilotC)
	r.moved(1, true, 0, 3*time.Second)
	time.Sleep(3 * time.Second)
	if t := r.tripped(); len(t) > 0 {
		r.t.Errorf("%d trips before anything was wrong: %+v", len(t), t[0].Ticks[len(t[0].Ticks)-1].Verdict)
	}
}

// TestTripHasTheValuesBefore: whichever input trips, the recorder gets its values of the
// second before, as well as the one that was wrong.
func TestTripHasTheValuesBefore(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fakeBoard)
		good   func(*safety.Inputs) bool // not so in the last tick
		want   safety.Verdict            // Withheld, Input and Faults of the last tick
	}{
		"pilot unreadable": {
			func(b *fakeBoard) { b.all[0].pilotFails = errors.New("no pilot") },
			func(in *safety.Inputs) bool { return in.PilotIn.OK && in.Pilot == charge.PilotC },
			safety.Verdict{Withheld: safety.ReasonInput, Input: "pilot"},
		},
		"feedback stale": {
			func(b *fakeBoard) { b.all[0].contactAge = 101 * time.Millisecond },
			func(in *safety.Inputs) bool { return in.ContactIn.OK && in.ContactIn.Age <= hal.MaxSafetyAge },
			safety.Verdict{Withheld: safety.ReasonInput, Input: "contactor_feedback"},
		},
		"pilot F": {
			func(b *fakeBoard) { b.all[0].pilot = charge.PilotF },
			func(in *safety.Inputs) bool { return in.Pilot == charge.PilotC },
			safety.Verdict{Faults: charge.FaultSet(0).With(charge.FaultPilot)},
		},
		"emergency stop": {
			func(b *fakeBoard) { b.pressed = true },
			func(in *safety.Inputs) bool { return !in.Pressed && in.EStopIn.OK },
			safety.Verdict{Faults: charge.FaultSet(0).With(charge.FaultEmergencyStop)},
		},
		"protection": {
			func(b *fakeBoard) { b.all[0].tripped = charge.FaultOther },
			func(in *safety.Inputs) bool { return in.Tripped == "" },
			safety.Verdict{Faults: charge.FaultSet(0).With(charge.FaultOther)},
		},
		"temperature": {
			func(b *fakeBoard) { b.all[0].temperature = 71_000 },
			func(in *safety.Inputs) bool { return in.Temperature == 25_000 },
			safety.Verdict{Withheld: safety.ReasonHot, Faults: charge.FaultSet(0).With(charge.FaultOvertemperature)},
		},
		"cable": {
			func(b *fakeBoard) { b.all[0].cable = 0 },
			func(in *safety.Inputs) bool { return in.Cable == 32_000 },
			safety.Verdict{Withheld: safety.ReasonInput, Input: "cable"},
		},
		"lock": {
			func(b *fakeBoard) { b.all[0].lock, b.all[0].lockGoal = hal.LockOpen, hal.LockOpen },
			func(in *safety.Inputs) bool { return in.Locked && !in.Unlocked },
			safety.Verdict{Faults: charge.FaultSet(0).With(charge.FaultLock)},
		},
		"late tick": {
			func(b *fakeBoard) { b.nap = 300 * time.Millisecond },
			func(in *safety.Inputs) bool { return in.Gap <= 10*time.Millisecond },
			safety.Verdict{Withheld: safety.ReasonLate},
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, 1, func(r *rig) {
				r.charging()
				r.set(func() { c.change(r.fakeBoard) })
				r.moved(1, false, 0, time.Second)
				time.Sleep(100 * time.Millisecond)
				trips := r.tripped()
				if len(trips) != 1 {
					t.Fatalf("%d trips, want one", len(trips))
				}
				trip := trips[0]
				last := trip.Ticks[len(trip.Ticks)-1]
				if trip.Connector != 1 || trip.LeftOut != 0 || len(trip.Ticks) != keptTicks {
					t.Errorf("connector %d, %d left out, %d ticks", trip.Connector, trip.LeftOut, len(trip.Ticks))
				}
				for i, k := range trip.Ticks[:keptTicks-1] {
					// A change while a late tick reads its inputs is found in the next one.
					if !c.good(&k.In) || !k.Verdict.Close || i > 0 && k.In.Now-trip.Ticks[i-1].In.Now != k.In.Gap {
						t.Fatalf("tick %d: %+v %+v", i, k.In, k.Verdict)
					}
				}
				got := safety.Verdict{Withheld: last.Verdict.Withheld, Input: last.Verdict.Input, Faults: last.Verdict.Faults}
				if c.good(&last.In) || last.Verdict.Close || !last.In.Commanded || got != c.want {
					t.Errorf("the last tick: %+v %+v", last.In, last.Verdict)
				}
				if i, now := trip.Replay(); i >= 0 {
					t.Errorf("the rules decide tick %d in another way: %+v", i, now)
				}
			})
		})
	}
}

// TestFaultThatFollowsATrip: its ticks are those since the trip, so that both together
// are one sequence.
func TestFaultThatFollowsATrip(t *testing.T) {
	play(t, 1, func(r *rig) {
		r.charging()
		r.set(func() { r.all[0].pilotFails = errors.New("no pilot") })
		time.Sleep(time.Second)
		trips := r.tripped()
		if len(trips) != 2 {
			t.Fatalf("%d trips, want the opening and the fault", len(trips))
		}
		s := trips[0].Before
		for _, k := range trips[0].Ticks {
			s, _ = safety.Step(trips[0].Limits, s, k.In)
		}
		end, begin := trips[0].Ticks[keptTicks-1], trips[1].Ticks[0]
		if begin.In.Now-end.In.Now != begin.In.Gap || trips[1].Before != s {
			t.Errorf("from %s to %s, %+v after %+v", end.In.Now, begin.In.Now, trips[1].Before, s)
		}
		if last := trips[1].Ticks[len(trips[1].Ticks)-1].Verdict; !last.Faults.Has(charge.FaultSafetyInput) {
			t.Errorf("the last tick: %+v", last)
		}
	})
}

// TestNoTrip: what ends by the vehicle, the connector's state machine or a limit has its
// cause elsewhere.
func TestNoTrip(t *testing.T) {
	for name, end := range map[string]func(r *rig){
		"the vehicle pauses": func(r *rig) { r.pilot(1, charge.PilotB) },
		"unplugged":          func(r *rig) { r.pilot(1, charge.PilotA) },
		"stopped": func(r *rig) {
			if err := errors.Join(r.outlets[0].Offer(false), r.outlets[0].Open()); err != nil {
				r.t.Error(err)
			}
		},
		"a limit": func(r *rig) { r.outlets[0].Limit(charge.Limit{By: charge.LimitSafe}) },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, 1, func(r *rig) {
				r.charging()
				end(r)
				r.moved(1, false, 0, 10*time.Second)
				time.Sleep(time.Second)
				if trips := r.tripped(); len(trips) > 0 {
					t.Errorf("%d trips: %+v", len(trips), trips[0].Ticks[len(trips[0].Ticks)-1])
				}
			})
		})
	}
}

// TestTripsAreBounded: an input that changes all the time costs a bounded number of
// trips, and those that are left out are counted.
func TestTripsAreBounded(t *testing.T) {
	play(t, 1, func(r *rig) {
		r.charging()
		const flaps = 2 * 60 * 21 // two a second for 21 minutes
		for range flaps {
			r.set(func() { r.all[0].pilotFails = errors.New("no pilot") })
			time.Sleep(400 * time.Millisecond)
			r.set(func() { r.all[0].pilotFails = nil })
			time.Sleep(100 * time.Millisecond)
		}
		trips, leftOut := r.tripped(), 0
		for _, t := range trips {
			leftOut += t.LeftOut
		}
		// The opening, and the fault of each flap; what follows the last trip is stated later.
		if len(trips) != tripBurst+2 || leftOut < flaps*9/10 || leftOut > flaps {
			t.Errorf("%d trips recorded and %d left out of %d; want %d", len(trips), leftOut, flaps+1, tripBurst+2)
		}
	})
}

// ignored is a Reports.
type ignored struct{}

func (ignored) PilotChanged(charge.ConnectorID, charge.PilotState) {}
func (ignored) ContactChanged(charge.ConnectorID, bool)            {}
func (ignored) PowerWithheld(charge.ConnectorID, string, string)   {}
func (ignored) LimitApplied(charge.ConnectorID, charge.Limit)      {}
func (ignored) FaultSeen(charge.ConnectorID, charge.Fault)         {}
func (ignored) FaultGone(charge.ConnectorID, charge.Fault)         {}

// TestTickAllocatesNothing, also if the rules trip in it and the kept ticks are left to
// Assist.
func TestTickAllocatesNothing(t *testing.T) {
	b := newFake(1)
	b.log = nil
	r := newRig(t, b, slog.New(slog.DiscardHandler))
	r.loop.Reports = ignored{}
	now, trips := 10*time.Millisecond, 0
	n := testing.AllocsPerRun(4*keptTicks, func() {
		now += 10 * time.Millisecond
		if r.pressed = !r.pressed; !r.pressed {
			r.outlets[0].ResetLatch()
		}
		r.loop.tick(now, 10*time.Millisecond)
		for len(r.loop.jobs) > 0 {
			if j := <-r.loop.jobs; j.kind == jobTrip {
				trips++
				j.outlet.trace.due = 0
				j.outlet.trace.busy.Store(false)
			}
		}
	})
	if n != 0 || trips < keptTicks {
		t.Errorf("%v allocations in a tick, %d trips", n, trips)
	}
}

// TestTripWhileAssistIsBusy: what Assist has is not changed any more. A trip meanwhile is
// counted, and the next one has the ticks since then.
func TestTripWhileAssistIsBusy(t *testing.T) {
	r := newRig(t, newFake(1), slog.New(slog.DiscardHandler))
	now := time.Hour
	press := func() {
		for _, pressed := range []bool{false, true} {
			if r.pressed = pressed; !pressed {
				r.outlets[0].ResetLatch()
			}
			now += 10 * time.Millisecond
			r.loop.tick(now, 10*time.Millisecond)
		}
	}
	assist := func() safety.Trip {
		t.Helper()
		for len(r.loop.jobs) > 0 {
			if j := <-r.loop.jobs; j.kind == jobTrip {
				r.loop.do(t.Context(), j)
			}
		}
		trips := r.tripped()
		if len(trips) != 1 {
			t.Fatalf("%d trips, want 1", len(trips))
		}
		return trips[0]
	}
	press()
	press()
	if trip := assist(); len(trip.Ticks) != 2 || trip.Ticks[1].In.Now != now-20*time.Millisecond || trip.LeftOut != 0 {
		t.Errorf("the first trip: %d ticks, %d left out", len(trip.Ticks), trip.LeftOut)
	}
	press()
	if trip := assist(); len(trip.Ticks) != 2 || trip.Ticks[1].In.Now != now || trip.LeftOut != 1 {
		t.Errorf("the next one: %d ticks, %d left out", len(trip.Ticks), trip.LeftOut)
	}
}
