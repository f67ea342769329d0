package world

import (
	"fmt"
	"hash/crc32"
	"runtime/debug"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// World is one run.
type World struct {
	schedule
	plan    Plan
	planted Bug
	c       chance
	table   *crc32.Table
	sum     uint64
	events  int64
	trace   func(at time.Duration, tag string, raw []byte)
	failure *BrokenError
	stats   Stats

	points   []*agent
	liars    []*liar // charging points without an agent
	mqtt     *broker
	bridge   *bridge
	kafka    *kafka
	centrals []*central
	crowd    *crowd

	dbFull bool
	healed bool
	rises  uint64 // epochs that Centrals took
	honest bool   // all clocks were right all the time

	// What the checkers know of all lives of all Centrals.
	acked   map[journalKey]charge.Seq // greatest that was ever acknowledged
	ackedBy map[ackKey]charge.Seq     // the same by each life of Central
	tickets map[string]ledger.Ticket  // ever made

	settledOnce map[charge.SessionID]bool // by an operator, in whatever database
	restored    bool                      // a copy of a database took the place of another
	sentAt      map[charge.CommandID]time.Duration
	answers     map[string]charge.ReservationID

	forgetful bool // two Centrals answer at once, or the log of answers was lost: one may decide anew
}

// BrokenError is a rule that was broken.
type BrokenError struct {
	Check  string        // as in S6
	What   string        // in words
	At     time.Duration // since the beginning
	Events int64         // until then
}

// Error implements error.
func (f *BrokenError) Error() string {
	return fmt.Sprintf("%s at %s: %s", f.Check, clock(f.At), f.What)
}

// object notes that a rule was broken; the first one ends the run.
func (w *World) object(check, format string, args ...any) {
	if w.failure == nil {
		w.failure = &BrokenError{check, fmt.Sprintf(format, args...), w.now, w.events}
	}
}

// Options are how a run is watched.
type Options struct {
	Bug   Bug                                              // planted; only with the build tag planted
	Trace func(at time.Duration, tag string, value []byte) // told of everything that happens; nil: nobody
}

// Result is what came of a run.
type Result struct {
	Failure *BrokenError // nil: all rules held
	Sum     uint64       // hash of all that happened
	Events  int64
	Took    time.Duration // virtual
	CPDays  float64
	Stats   Stats
}

func newWorld(p Plan, o Options) *World {
	w := &World{
		plan: p, planted: o.Bug, c: newChance(p.Seed, "world"), table: crc32.MakeTable(crc32.Castagnoli), trace: o.Trace, honest: true,
		acked: map[journalKey]charge.Seq{}, ackedBy: map[ackKey]charge.Seq{}, tickets: map[string]ledger.Ticket{}, settledOnce: map[charge.SessionID]bool{}, sentAt: map[charge.CommandID]time.Duration{},
		answers: map[string]charge.ReservationID{},
	}
	w.stats.Faults = map[Kind]int{}
	w.mqtt, w.kafka = newBroker(w), newKafka(w, p.Partitions)
	w.bridge = newBridge(w)
	w.centrals = []*central{newCentral(w, "central", newRows())}
	for i := range p.CPs {
		w.points = append(w.points, newAgent(w, charge.CPID(fmt.Sprintf("CP_%d", i+1)), p.Connectors))
	}
	w.crowd = newCrowd(w)
	if p.Lossy {
		for _, a := range w.points {
			a.line.drop, a.line.double, a.line.reorder = w.c.IntN(60), w.c.IntN(60), w.c.IntN(100)
		}
	}
	return w
}

// begin plans everything that comes from outside.
func (w *World) begin() {
	start := func(i int) time.Duration { return w.plan.Starts[i%len(w.plan.Starts)] }
	w.after(start(0), "mqtt starts", w.mqtt.start)
	w.after(start(1), "kafka starts", w.kafka.start)
	w.bridge.launch(start(2))
	w.centrals[0].launch(start(3))
	for i, a := range w.points {
		a.launch(start(4 + i))
	}
	for _, s := range w.plan.Steps {
		w.at(s.At, "step "+string(s.Kind), func() {
			if !w.healed {
				w.do(s)
			}
		})
	}
}

// Run plays a plan: the day, the heal, and the rest.
func Run(p Plan, o Options) Result {
	w := newWorld(p, o)
	w.play()
	return Result{
		Failure: w.failure, Sum: w.sum, Events: w.events, Took: w.now, Stats: w.stats,
		CPDays: float64(p.CPs) * w.now.Hours() / 24,
	}
}

// play plays the plan. A part that panics has broken a rule too.
func (w *World) play() {
	defer func() {
		if p := recover(); p != nil {
			w.object("panic", "%v\n%s", p, debug.Stack())
		}
	}()
	w.begin()
	w.runUntil(w.plan.For)
	if w.failure == nil {
		w.heal()
		w.rest()
	}
}

// heal ends all faults; from now on nobody comes any more.
func (w *World) heal() {
	w.healed = true
	w.mix("heal", nil)
	w.dbFull = false
	if !w.mqtt.up {
		w.mqtt.start()
	}
	if !w.kafka.up {
		w.kafka.start()
	}
	for i, c := range w.centrals {
		c.killAtCommit = nil
		if c.skew = 0; i < len(w.centrals)-1 {
			c.retired = true
			c.stop()
			continue
		}
		c.retired = false
		c.launch(0)
	}
	for _, l := range w.lines() {
		l.clogDirs(3, false)
		l.drop, l.double, l.reorder = 0, 0, 0
	}
	w.liftFence(10)
	w.bridge.launch(0)
	w.bridge.skew = 0
	for _, a := range w.points {
		d := a.disk
		d.full, d.failWrite, d.failSync, d.failRead, d.slow, d.killAt = false, false, false, false, false, 0
		if d.lying {
			a.kill(true)
			d.lying = false
		}
		a.skew, a.quality = 0, charge.ClockSynced
		a.launch(0)
		for _, o := range a.hw {
			o.repair()
		}
	}
}

// liftFence is what an operator does who has switched all other Centrals off.
func (w *World) liftFence(times int) {
	if c := w.centrals[len(w.centrals)-1]; c.run != nil && !c.run.orders.FencedBy().IsZero() {
		c.run.give(&asked{ask: orders.AskLift{}, answer: func(orders.Reply) {}})
	}
	if times > 0 {
		w.after(20*time.Second, "operator looks", func() { w.liftFence(times - 1) })
	}
}
