package world

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// central is one Central. Its database, clock and network exist all the time; its
// process starts and dies.
type central struct {
	w    *World
	name string
	rng  random
	line *line // to Kafka
	db   *database
	skew time.Duration // of its clock
	run  *centralRun   // nil: no process
	// Scheduled starts: an older one sees that it is obsolete.
	starts int

	// Started with the option that makes it active without waiting for the silence of others.
	skipsWait bool
	retired   bool // switched off for good

	// Dies during the next transaction for which this reports true; nil: never.
	killAtCommit func(*unit) bool
}

// centralRun is one run of Central's process, after central/internal/ingest. A
// single writer applies all inputs to the state in memory, commits the resulting
// rows together with the offsets of what it read, and only then publishes their
// effects. So the database never lags behind what others know.
type centralRun struct {
	central *central
	w       *World
	epoch   charge.Epoch
	runID   string // random part of all epochs of this run

	// State of the ledger, ahead of the database during a commit.
	cps    map[charge.CPID]*ledger.CP
	orders *orders.State
	// The check for other Centrals is over, see epochs.go.
	joined bool
	// All that Centrals published before is read: deadlines are handled.
	caughtUp    bool
	activeSince time.Duration // when active last changed

	// The later Central that fenced this one, as last read; zero for none.
	fencedBy charge.Epoch
	// A raise of the epoch is pending: above raiseAbove, at raiseAt.
	raisePending bool
	raiseAbove   charge.Epoch
	raiseAt      time.Duration
	numbers      orders.Numbers

	inbox      []input // not applied yet, in order
	committing bool
	// Before a refused commit is tried again; 0: the last one succeeded.
	retryWait time.Duration
	// For which the timer of orders is set; 0: none.
	tickAt charge.Time

	logReads ledger.LogReads
	// The read of the log that waits for the one under way; nil: none.
	logWanted *ledger.LogRead
	// The log of records is being read for logReads.
	readingLog bool
	live       livenessTable
	ackPacers  map[charge.CPID]*ackPacer
	readers    []*reader
	scouts     []*reader // readers until joined
	// Rows of the outbox that are queued for Kafka, by id.
	inFlight  map[int64]bool
	published []int64 // rows that Kafka has, not deleted yet
	queues    map[partition]*partitionQueue

	storedStatuses map[connectorKey]charge.Status // BugStoredStatus: what the page shows
}

// ackPacer limits the rate of acknowledgements to one charging point.
type ackPacer struct {
	pace      ledger.AckPace
	journal   charge.JournalID // to be acknowledged
	scheduled bool
}

// newCentral creates a Central with its database, without a running process.
func newCentral(w *World, name string, db *database) *central {
	return &central{w: w, name: name, rng: newRandom(w.plan.Seed, "central "+name), line: w.newLine("central " + name), db: db}
}

// launch schedules a start of the process, in place of a pending one.
func (c *central) launch(in time.Duration) {
	c.starts++
	n := c.starts
	c.w.after(in, "central starts", func() {
		if c.starts == n && c.run == nil && !c.retired {
			c.boot()
		}
	})
}

// now is Central's clock.
func (c *central) now() charge.Time { return c.w.wall().Add(c.skew) }

// boot starts the process: it raises its epoch, loads its state, and looks for
// other Centrals before it becomes active.
func (c *central) boot() {
	r := &centralRun{
		central: c, w: c.w, ackPacers: map[charge.CPID]*ackPacer{}, inFlight: map[int64]bool{}, queues: map[partition]*partitionQueue{},
		storedStatuses: map[connectorKey]charge.Status{}, runID: fmt.Sprintf("%016x", c.rng.Uint64()), numbers: orders.Numbers{}, logReads: ledger.NewLogReads(),
	}
	c.run = r
	c.w.stats.Boots++
	r.live.pipeline = ledger.Pipeline{Started: c.now(), HeartbeatTimeout: pipelineFresh}
	r.live.points = map[charge.CPID]*pointLiveness{}
	r.raiseEpoch(charge.Epoch{})
	r.heartbeat()
	r.scout()
}

// die kills the process. A transaction in flight may have become durable or not;
// none of its effects was published.
func (c *central) die() {
	c.stop()
	c.w.stats.Kills++
	c.launch(c.w.plan.restartOf(c.rng))
}

// stop ends the process without a restart.
func (c *central) stop() {
	r := c.run
	if r == nil {
		return
	}
	c.run = nil
	for _, x := range r.readers {
		x.stop()
	}
	for _, x := range r.scouts {
		x.stop()
	}
}

// alive reports whether this run has not ended.
func (r *centralRun) alive() bool { return r.central.run == r }

// after schedules a call for this run; it is dropped if the process dies before.
func (r *centralRun) after(d time.Duration, tag string, do func()) {
	r.w.after(d, tag, func() {
		if r.alive() {
			do()
		}
	})
}

// config is the configuration of orders.
func (r *centralRun) config() orders.Config {
	return orders.Config{ReservationLife: r.w.plan.ReservationLife, Tariff: tariff().Version, PerDriver: 1}
}

// tariff is the only tariff in the simulation.
func tariff() ledger.Tariff {
	return ledger.Tariff{Version: "standard-1", StartFee: 100 * money.MinorUnit, PerKWh: 45 * money.MinorUnit, Currency: "EUR"}
}

// load reads the state from the database.
func (r *centralRun) load() {
	r.cps = r.central.db.loadPoints()
	r.orders = r.central.db.loadOrders(r.config(), r.epoch, r.numbers)
}

// submit queues inputs for the writer. While the database refuses commits, requests
// of operators are refused at once, and all other inputs wait.
func (r *centralRun) submit(in ...input) {
	if r.retryWait > 0 {
		// Nothing can be committed now, and an operator should not wait for that.
		in = refuseOperators(in)
	}
	r.inbox = append(r.inbox, in...)
	r.process()
}

// process applies everything that is queued as one transaction, unless one is in flight.
func (r *centralRun) process() {
	if r.committing || len(r.inbox) == 0 {
		return
	}
	// Inputs of the next millisecond join the transaction.
	r.committing = true
	r.after(r.central.rng.between(span{0, time.Millisecond}), "central writes", func() {
		inputs := r.inbox
		r.inbox = nil
		r.applyAndCommit(inputs)
	})
}

// applyAndCommit applies inputs to the state, and commits the result.
func (r *centralRun) applyAndCommit(inputs []input) {
	// The state changes here, before it is durable: nothing of it may be published yet.
	u := r.newUnit()
	for _, in := range inputs {
		in.apply(u)
	}
	if r.w.bug(BugAckBeforeCommit) {
		r.release(u)
	}
	if r.w.bug(BugTicketOutside) {
		r.publishTicketsEarly(u)
	}
	if r.w.bug(BugOffsetOutside) {
		u.placeOffsets()
		u.offsets = nil
	}
	r.commit(u)
}

// commit makes a unit durable after the time that a transaction needs. The process
// may die meanwhile; then the unit is durable in half of the cases, unnoticed.
// A full disk refuses it: the state is loaded again, and the same inputs are applied
// after a delay.
func (r *centralRun) commit(u *unit) {
	// The time of a commit with its fsync.
	took := r.central.rng.between(span{500 * time.Microsecond, 15 * time.Millisecond})
	disk := r.central.db // a restored backup may replace it meanwhile
	if r.central.killAtCommit != nil && r.central.killAtCommit(u) {
		r.central.killAtCommit = nil
		r.after(took/2, "killed in a commit", r.central.die)
	}
	r.w.after(took, "central commits", func() {
		// Dead: the transaction is either complete or absent, and no other component has
		// seen a trace of it.
		if !r.alive() {
			if r.central.db == disk && r.central.run == nil && r.central.rng.IntN(2) == 0 && !r.central.retired {
				u.write() // it became durable before the death
				r.w.stats.CommitsUnseen++
			}
			return
		}
		if r.w.dbFull && !u.empty() {
			r.w.stats.CommitsRefused++
			r.load() // the state in memory has changes that are not durable
			// The same inputs again, in the same order, on the state that was loaded.
			inputs := refuseOperators(u.inputs)
			r.retryWait = min(max(2*r.retryWait, minCommitRetry), maxCommitRetry)
			r.after(r.retryWait, "central retries", func() { r.applyAndCommit(inputs) })
			return
		}
		u.write()
		r.retryWait = 0
		r.w.stats.Commits++
		r.w.checkCommit(r, u)
		if r.w.bug(BugStoredStatus) {
			r.storeStatuses(u)
		}
		r.committing = false
		if u.fenceChecked { // a fenced Central must not publish what it just committed
			r.applyFence()
		}
		r.release(u)
		r.maybeRaise()
		r.scheduleTick()
		r.process()
	})
}

// release publishes the effects of a durable unit: readers continue, charging
// points get acknowledgements, commands and outbox rows go to Kafka, operators get
// their replies.
func (r *centralRun) release(u *unit) {
	// With BugAckBeforeCommit this runs before the commit, and again after it with
	// nothing left.
	for _, done := range u.accepted {
		done()
	}
	u.accepted = nil
	for _, a := range u.acks {
		r.scheduleAck(a.cp, a.j)
	}
	u.acks = nil
	// Acknowledgements check this themselves when they are sent.
	if r.active() {
		for i := range u.commands {
			r.publishCommand(&u.commands[i])
		}
	}
	u.commands = nil
	for _, reply := range u.replies {
		reply()
	}
	u.replies = nil
	r.publishOutbox()
}

// scheduleTick sets the timer for the next deadline of orders, such as the end of a
// reservation.
func (r *centralRun) scheduleTick() {
	at := r.orders.NextDeadline()
	if at == 0 || at == r.tickAt || !r.caughtUp {
		return
	}
	r.tickAt = at
	r.after(max(at.Sub(r.central.now()), 10*time.Millisecond), "central ticks", func() {
		if r.tickAt == at {
			r.tickAt = 0
			r.submit(tickInput{})
		}
	})
}
