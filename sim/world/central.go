package world

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// central is one Central: its database and its clock, which stay, and the
// process.
type central struct {
	w      *World
	name   string
	rng    random
	line   *line
	db     *database
	skew   time.Duration
	run    *centralRun // nil: no process
	starts int

	skipsWait bool
	retired   bool // switched off for good

	killAtCommit func(*unit) bool // it dies while the next commit of such a kind is under way
}

// centralRun is one life of the process. It follows the writer of
// central/internal/ingest: what is there is applied to the state in memory, the
// rows are committed with the offsets, and only then anything is let out.
type centralRun struct {
	central *central
	w       *World
	epoch   charge.Epoch
	runID   string // run of its epoch

	cps         map[charge.CPID]*ledger.CP
	orders      *orders.State
	joined      bool
	activeSince time.Duration // of active

	fencedBy   charge.Epoch // as heard
	raiseAbove charge.Epoch
	raiseAt    time.Duration
	numbers    orders.Numbers

	inbox      []input
	committing bool
	retryWait  time.Duration // before what could not be committed is tried again
	tickAt     charge.Time   // for which a timer is set

	live      livenessTable
	ackPacers map[charge.CPID]*ackPacer
	readers   []*reader
	scouts    []*reader
	inFlight  map[int64]bool // rows of the outbox under way
	published []int64        // rows that Kafka has
	queues    map[partition]*partitionQueue

	storedStatuses map[connectorKey]charge.Status // a planted bug: statuses as words
}

// ackPacer spreads the acknowledgements of one charging point.
type ackPacer struct {
	sent      charge.Time
	journal   charge.JournalID
	scheduled bool
}

func newCentral(w *World, name string, db *database) *central {
	return &central{w: w, name: name, rng: newRandom(w.plan.Seed, "central "+name), line: w.newLine("central " + name), db: db}
}

func (c *central) launch(in time.Duration) {
	c.starts++
	n := c.starts
	c.w.after(in, "central starts", func() {
		if c.starts == n && c.run == nil && !c.retired {
			c.boot()
		}
	})
}

func (c *central) now() charge.Time { return c.w.wall().Add(c.skew) }

func (c *central) boot() {
	r := &centralRun{
		central: c, w: c.w, ackPacers: map[charge.CPID]*ackPacer{}, inFlight: map[int64]bool{}, queues: map[partition]*partitionQueue{},
		storedStatuses: map[connectorKey]charge.Status{}, runID: fmt.Sprintf("%016x", c.rng.Uint64()), numbers: orders.Numbers{},
	}
	c.run = r
	c.w.stats.Boots++
	r.live.pipeline = ledger.Pipeline{Started: c.now(), HeartbeatTimeout: pipelineFresh}
	r.live.points = map[charge.CPID]*pointLiveness{}
	r.raiseEpoch(charge.Epoch{})
	r.heartbeat()
	r.scout()
}

// die is a kill of the process. A commit under way may have reached the disk or
// not; nothing of it was let out.
func (c *central) die() {
	c.stop()
	c.w.stats.Kills++
	c.launch(c.w.plan.restartOf(c.rng))
}

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

func (r *centralRun) alive() bool { return r.central.run == r }

func (r *centralRun) after(d time.Duration, tag string, do func()) {
	r.w.after(d, tag, func() {
		if r.alive() {
			do()
		}
	})
}

func (r *centralRun) config() orders.Config {
	return orders.Config{ReservationLife: r.w.plan.ReservationLife, Tariff: tariff().Version, PerDriver: 1}
}

// tariff is the only one there is.
func tariff() ledger.Tariff {
	return ledger.Tariff{Version: "standard-1", StartFee: 100 * money.MinorUnit, PerKWh: 45 * money.MinorUnit, Currency: "EUR"}
}

// load reads the state from the database.
func (r *centralRun) load() {
	r.cps = r.central.db.loadPoints()
	r.orders = r.central.db.loadOrders(r.config(), r.epoch, r.numbers)
}

// submit adds inputs and lets the writer turn. While the database cannot be
// written operators are refused, and everybody else waits.
func (r *centralRun) submit(in ...input) {
	if r.retryWait > 0 {
		in = refuseOperators(in)
	}
	r.inbox = append(r.inbox, in...)
	r.process()
}

// process applies what is there and commits it after a while.
func (r *centralRun) process() {
	if r.committing || len(r.inbox) == 0 {
		return
	}
	r.committing = true
	r.after(r.central.rng.between(span{0, time.Millisecond}), "central turns", func() {
		inputs := r.inbox
		r.inbox = nil
		r.applyAndCommit(inputs)
	})
}

func (r *centralRun) applyAndCommit(inputs []input) {
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

// commit makes a unit durable, or loses it with the process, or is refused by a
// full disk.
func (r *centralRun) commit(u *unit) {
	took := r.central.rng.between(span{500 * time.Microsecond, 15 * time.Millisecond})
	disk := r.central.db // a backup may be put in its place meanwhile
	if r.central.killAtCommit != nil && r.central.killAtCommit(u) {
		r.central.killAtCommit = nil
		r.after(took/2, "killed in a commit", r.central.die)
	}
	r.w.after(took, "central commits", func() {
		if !r.alive() {
			if r.central.db == disk && r.central.run == nil && r.central.rng.IntN(2) == 0 && !r.central.retired {
				u.write() // it had reached the disk
				r.w.stats.CommitsUnseen++
			}
			return
		}
		if r.w.dbFull && !u.empty() {
			r.w.stats.CommitsRefused++
			r.load() // what is in memory is not what is on disk
			inputs := refuseOperators(u.inputs)
			r.retryWait = min(max(2*r.retryWait, minCommitRetry), maxCommitRetry)
			r.after(r.retryWait, "central tries again", func() { r.applyAndCommit(inputs) })
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
		if u.fenceChecked { // before anything is let out
			r.applyFence()
		}
		r.release(u)
		r.maybeRaise()
		r.scheduleTick()
		r.process()
	})
}

// release lets out what the commit allows.
func (r *centralRun) release(u *unit) {
	for _, done := range u.accepted {
		done()
	}
	u.accepted = nil
	for _, a := range u.acks {
		r.scheduleAck(a.cp, a.j)
	}
	u.acks = nil
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

// scheduleTick sets the timer for what time alone brings about.
func (r *centralRun) scheduleTick() {
	at := r.orders.NextDeadline()
	if at == 0 || at == r.tickAt {
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
