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

// World is one run: the network, the checks' knowledge of it, and the schedule.
// It is used by one goroutine.
type World struct {
	schedule
	plan    Plan
	planted Bug    // the bug of this run; "" for none
	rng     random // for what belongs to no component
	table   *crc32.Table
	// Hash of all events and messages so far, see mix.
	sum     uint64
	events  int64
	trace   func(at time.Duration, tag string, raw []byte)
	failure *ViolationError // the first violation; it ends the run
	stats   Stats

	agents []*agent
	// Charging points without an agent, which report nonsense.
	byzantine []*byzantineCP
	mqtt      *broker
	bridge    *bridge
	kafka     *kafka
	// In the order of their creation; the last one is the one that remains.
	centrals []*central
	drivers  *drivers
	cards    cardWatch
	// Until then G1 is not checked, see loseGrants.
	grantsUnknown time.Duration

	dbFull bool // databases refuse commits
	// All faults have ended, and people do nothing new.
	healed       bool
	epochsIssued uint64
	// No clock of a component was ever wrong in this run.
	clocksRight bool

	// What all runs of all Centrals did, whatever their databases hold now.
	acked   map[journalKey]charge.Seq // the greatest sequence number ever acknowledged
	ackedBy map[ackKey]charge.Seq     // the same for each epoch of Central
	tickets map[string]ledger.Ticket  // every ticket ever written, by id

	// Sessions that an operator settled, in any database.
	settledOnce map[charge.SessionID]bool
	// A backup replaced a database, so committed rows may be gone.
	restored bool
	sentAt   map[charge.CommandID]time.Duration // when a command was published last
	// The answer to each driver's request, by event id.
	answers map[string]charge.ReservationID

	// answersMayDiffer is set when two Centrals may have answered the same request,
	// or the log of the answers was lost: then a request may be decided twice.
	answersMayDiffer bool
}

// ViolationError is a check that failed.
type ViolationError struct {
	// Its number, as in S6; see the package's documentation.
	Check  string
	What   string        // what was observed
	At     time.Duration // virtual time since the beginning
	Events int64         // events until then
}

// Error implements error.
func (f *ViolationError) Error() string {
	return fmt.Sprintf("%s at %s: %s", f.Check, clock(f.At), f.What)
}

// violated records that a check failed. Only the first violation counts: it ends
// the run, because what follows is often its consequence.
func (w *World) violated(check, format string, args ...any) {
	if w.failure == nil {
		w.failure = &ViolationError{check, fmt.Sprintf(format, args...), w.now, w.events}
	}
}

// Options configure how a run is executed and observed.
type Options struct {
	// Planted; only with the build tag planted.
	Bug Bug
	// Receives every event and message; may be nil.
	Trace func(at time.Duration, tag string, value []byte)
}

// Result is the outcome of a run.
type Result struct {
	Failure *ViolationError // nil: all checks passed
	Sum     uint64          // hash of all events and messages
	Events  int64
	Elapsed time.Duration // virtual
	CPDays  float64       // virtual days times charging points
	Stats   Stats
}

// newWorld creates the network of a plan. Every component is down until begin.
func newWorld(p Plan, o Options) *World {
	w := &World{
		plan: p, planted: o.Bug, rng: newRandom(p.Seed, "world"), table: crc32.MakeTable(crc32.Castagnoli), trace: o.Trace, clocksRight: true,
		acked: map[journalKey]charge.Seq{}, ackedBy: map[ackKey]charge.Seq{}, tickets: map[string]ledger.Ticket{}, settledOnce: map[charge.SessionID]bool{}, sentAt: map[charge.CommandID]time.Duration{},
		answers: map[string]charge.ReservationID{}, cards: newCardWatch(),
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

// begin schedules the starts of all components and the steps of the plan. After
// the heal no step is performed any more.
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

// Run plays a plan: the steps, the heal, and the time until all is quiet.
func Run(p Plan, o Options) Result {
	w := newWorld(p, o)
	w.play()
	return Result{
		Failure: w.failure, Sum: w.sum, Events: w.events, Elapsed: w.now, Stats: w.stats,
		CPDays: float64(p.CPs) * w.now.Hours() / 24,
	}
}

// play plays the plan. A panic of any component is a violation too.
func (w *World) play() {
	defer func() {
		if p := recover(); p != nil {
			w.violated("panic", "%v\n%s", p, debug.Stack())
		}
	}()
	w.begin()
	// The heal is at a fixed time, whatever is in flight.
	w.runUntil(w.plan.For)
	if w.failure == nil {
		w.heal()
		w.quiesce()
	}
}

// heal ends all faults. All Centrals but the last are switched off for good. A
// disk that dropped syncs loses power once more, so that the damage it did is
// there, and the agent starts from it.
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
		d.failWrite, d.failSync, d.failRead, d.slow = false, false, false, false
		d.setFull(false)
		d.CrashAfter(0, nil)
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

// liftFence does what an operator does after switching off all other Centrals:
// lift the fence of the last one. It repeats this, because the fence may be
// noticed only later.
func (w *World) liftFence(times int) {
	if c := w.centrals[len(w.centrals)-1]; c.run != nil && !c.run.orders.FencedBy().IsZero() {
		c.run.submit(&operatorInput{ask: orders.OperatorLiftFence{}, answer: func(orders.Reply) {}})
	}
	if times > 0 {
		w.after(20*time.Second, "operator checks the fence", func() { w.liftFence(times - 1) })
	}
}
