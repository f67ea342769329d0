package control

import (
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/safety"
)

// Bounds of what is kept for the flight recorder.
const (
	// keptTicks is how many ticks a trip has at most: those of one second.
	keptTicks = 100
	// An input that changes all the time must not fill the ring: tripBurst trips of a
	// board may follow each other, divided among its connectors, and then one every
	// tripEvery.
	tripBurst = 8
	tripEvery = 10 * time.Minute
)

// trace is the last ticks of an outlet. The loop alone uses it, but for a trip: then it
// belongs to Assist until busy is false again, and the ticks meanwhile are not kept.
type trace struct {
	busy    atomic.Bool
	ticks   [keptTicks]keptTick // a ring
	next    int                 // where the next tick goes
	n       int                 // how many there are
	every   time.Duration       // between two trips in the long run
	due     time.Duration       // of the next one, see inPace
	leftOut int                 // trips since the last one that was left to Assist
	before  int                 // leftOut before the trip that Assist has
}

// keptTick is a tick with the state of the rules before it, so that a replay can begin
// at each of them.
type keptTick struct {
	before safety.State
	safety.Tick
}

// keep keeps the tick of an outlet, and leaves the kept ones to Assist if it is a trip.
func (l *Loop) keep(o *outletState) {
	t := o.trace
	if t == nil {
		return
	}
	busy := t.busy.Load()
	if !busy {
		t.ticks[t.next] = keptTick{o.before, safety.Tick{In: o.in, Verdict: o.verdict}}
		t.next, t.n = (t.next+1)%keptTicks, min(t.n+1, keptTicks)
	}
	if !o.trips() {
		return
	}
	if busy || !t.inPace(o.in.Now) {
		t.leftOut++
		return
	}
	t.before, t.leftOut = t.leftOut, 0
	t.busy.Store(true)
	if !l.leave(job{kind: jobTrip, outlet: o}) {
		t.leftOut = t.before + 1
		t.busy.Store(false)
	}
}

// trips reports whether the rules opened the contactor in this tick, or found a fault. An
// opening that a limit of the current explains is none. Call it before report.
func (o *outletState) trips() bool {
	v, was := &o.verdict, &o.reported
	opened := o.in.Commanded && v.Withheld != was.withheld && v.Withheld != "" && v.Withheld != safety.ReasonLimited
	return opened || v.Faults&^was.faults != 0
}

// inPace reports whether a trip may be recorded now, and counts it.
func (t *trace) inPace(now time.Duration) bool {
	if t.due > now+(tripBurst-1)*tripEvery {
		return false
	}
	t.due = max(t.due, now) + t.every
	return true
}

// trip takes the kept ticks out of the trace, which belongs to the loop again.
func (o *outletState) trip(l safety.Limits) safety.Trip {
	t := o.trace
	first := t.next - t.n + keptTicks
	trip := safety.Trip{
		Connector: o.ID, LeftOut: t.before, Limits: l, Before: t.ticks[first%keptTicks].before, Ticks: make([]safety.Tick, t.n),
	}
	for i := range trip.Ticks {
		trip.Ticks[i] = t.ticks[(first+i)%keptTicks].Tick
	}
	t.n = 0
	t.busy.Store(false)
	return trip
}
