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
	rng     random
	table   *crc32.Table
	sum     uint64
	events  int64
	trace   func(at time.Duration, tag string, raw []byte)
	failure *ViolationError
	stats   Stats

	agents    []*agent
	byzantine []*byzantineCP // charging points without an agent
	mqtt      *broker
	bridge    *bridge
	kafka     *kafka
	centrals  []*central
	drivers   *drivers

	dbFull       bool
	healed       bool
	epochsIssued uint64 // epochs that Centrals took
	clocksRight  bool   // all clocks were right all the time

	// What the checkers know of all lives of all Centrals.
	acked   map[journalKey]charge.Seq // greatest that was ever acknowledged
	ackedBy map[ackKey]charge.Seq     // the same by each life of Central
	tickets map[string]ledger.Ticket  // ever made

	settledOnce map[charge.SessionID]bool // by an operator, in whatever database
	restored    bool                      // a copy of a database took the place of another
	sentAt      map[charge.CommandID]time.Duration
	answers     map[string]charge.ReservationID

	answersMayDiffer bool // two Centrals answer at once, or the log of answers was lost: one may decide anew
}

// ViolationError is a rule that was broken.
type ViolationError struct {
	Check  string        // as in S6
	What   string        // in words
	At     time.Duration // since the beginning
	Events int64         // until then
}

// Error implements error.
func (f *ViolationError) Error() string {
	return fmt.Sprintf("%s at %s: %s", f.Check, clock(f.At), f.What)
}

// violated notes that a rule was broken; the first one ends the run.
func (w *World) violated(check, format string, args ...any) {
	if w.failure == nil {
		w.failure = &ViolationError{check, fmt.Sprintf(format, args...), w.now, w.events}
	}
}

// Options are how a run is watched.
type Options struct {
	Bug   Bug                                              // planted; only with the build tag planted
	Trace func(at time.Duration, tag string, value []byte) // told of everything that happens; nil: nobody
}

// Result is what came of a run.
type Result struct {
	Failure *ViolationError // nil: all rules held
	Sum     uint64          // hash of all that happened
	Events  int64
	Elapsed time.Duration // virtual
	CPDays  float64
	Stats   Stats
}

func newWorld(p Plan, o Options) *World {
	w := &World{
		plan: p, planted: o.Bug, rng: newRandom(p.Seed, "world"), table: crc32.MakeTable(crc32.Castagnoli), trace: o.Trace, clocksRight: true,
		acked: map[journalKey]charge.Seq{}, ackedBy: map[ackKey]charge.Seq{}, tickets: map[string]ledger.Ticket{}, settledOnce: map[charge.SessionID]bool{}, sentAt: map[charge.CommandID]time.Duration{},
		answers: map[string]charge.ReservationID{},
	}
	w.stats.Faults = map[Kind]int{}
	w.mqtt, w.kafka = newBroker(w), newKafka(w, p.Partitions)
	w.bridge = newBridge(w)
	w.centrals = []*central{newCentral(w, "central", newDatabase())}
	for i := range p.CPs {
		w.agents = append(w.agents, newAgent(w, charge.CPID(fmt.Sprintf("CP_%d", i+1)), p.Connectors))
	}
	w.drivers = newDrivers(w)
	if p.Lossy {
		for _, a := range w.agents {
			a.line.drop, a.line.duplicate, a.line.reorder = w.rng.IntN(60), w.rng.IntN(60), w.rng.IntN(100)
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
	for i, a := range w.agents {
		a.launch(start(4 + i))
	}
	for _, s := range w.plan.Steps {
		w.at(s.At, "step "+string(s.Kind), func() {
			if !w.healed {
				w.perform(s)
			}
		})
	}
}

// Run plays a plan: the day, the heal, and the rest.
func Run(p Plan, o Options) Result {
	w := newWorld(p, o)
	w.play()
	return Result{
		Failure: w.failure, Sum: w.sum, Events: w.events, Elapsed: w.now, Stats: w.stats,
		CPDays: float64(p.CPs) * w.now.Hours() / 24,
	}
}

// play plays the plan. A part that panics has broken a rule too.
func (w *World) play() {
	defer func() {
		if p := recover(); p != nil {
			w.violated("panic", "%v\n%s", p, debug.Stack())
		}
	}()
	w.begin()
	w.runUntil(w.plan.For)
	if w.failure == nil {
		w.heal()
		w.quiesce()
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
		l.setCutDirections(3, false)
		l.drop, l.duplicate, l.reorder = 0, 0, 0
	}
	w.liftFence(10)
	w.bridge.launch(0)
	w.bridge.skew = 0
	for _, a := range w.agents {
		d := a.disk
		d.full, d.failWrite, d.failSync, d.failRead, d.slow, d.killAt = false, false, false, false, false, 0
		if d.dropsSyncs {
			a.kill(true)
			d.dropsSyncs = false
		}
		a.skew, a.quality = 0, charge.ClockSynced
		a.launch(0)
		for _, o := range a.outlets {
			o.repair()
		}
	}
}

// liftFence is what an operator does who has switched all other Centrals off.
func (w *World) liftFence(times int) {
	if c := w.centrals[len(w.centrals)-1]; c.run != nil && !c.run.orders.FencedBy().IsZero() {
		c.run.submit(&operatorInput{ask: orders.OperatorLiftFence{}, answer: func(orders.Reply) {}})
	}
	if times > 0 {
		w.after(20*time.Second, "operator looks", func() { w.liftFence(times - 1) })
	}
}
