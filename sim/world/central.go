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
	w     *World
	name  string
	c     chance
	line  *line
	db    *rows
	skew  time.Duration
	run   *reign // nil: no process
	start int

	takeOver bool
	retired  bool // switched off for good

	killAtCommit func(*unit) bool // it dies while the next commit of such a kind is under way
}

// reign is one life of the process. It follows the writer of
// central/internal/ingest: what is there is applied to the state in memory, the
// rows are committed with the offsets, and only then anything is let out.
type reign struct {
	c    *central
	w    *World
	self charge.Epoch
	name string // run of its epoch

	cps    map[charge.CPID]*ledger.CP
	orders *orders.State
	joined bool
	since  time.Duration // of active

	fencedBy charge.Epoch // as heard
	above    charge.Epoch
	riseAt   time.Duration
	numbers  orders.Numbers

	inbox  []input
	busy   bool
	wait   time.Duration // before what could not be committed is tried again
	tickAt charge.Time   // for which a timer is set

	live    live
	pacer   map[charge.CPID]*pace
	readers []*reader
	scouts  []*reader
	flying  map[int64]bool // rows of the outbox under way
	said    []int64        // rows that Kafka has
	lanes   map[part]*lane

	words map[connectorKey]charge.Status // a planted bug: statuses as words
}

// pace spreads the acknowledgements of one charging point.
type pace struct {
	sent    charge.Time
	journal charge.JournalID
	waits   bool
}

func newCentral(w *World, name string, db *rows) *central {
	return &central{w: w, name: name, c: newChance(w.plan.Seed, "central "+name), line: w.newLine("central " + name), db: db}
}

func (c *central) launch(in time.Duration) {
	c.start++
	n := c.start
	c.w.after(in, "central starts", func() {
		if c.start == n && c.run == nil && !c.retired {
			c.boot()
		}
	})
}

func (c *central) now() charge.Time { return c.w.wall().Add(c.skew) }

func (c *central) boot() {
	r := &reign{
		c: c, w: c.w, pacer: map[charge.CPID]*pace{}, flying: map[int64]bool{}, lanes: map[part]*lane{},
		words: map[connectorKey]charge.Status{}, name: fmt.Sprintf("%016x", c.c.Uint64()), numbers: orders.Numbers{},
	}
	c.run = r
	c.w.stats.Boots++
	r.live.way = ledger.Way{Started: c.now(), Patience: fresh}
	r.live.points = map[charge.CPID]*livePoint{}
	r.rise(charge.Epoch{})
	r.pulse()
	r.scout()
}

// die is a kill of the process. A commit under way may have reached the disk or
// not; nothing of it was let out.
func (c *central) die() {
	c.stop()
	c.w.stats.Kills++
	c.launch(c.w.plan.restartOf(c.c))
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

func (r *reign) lives() bool { return r.c.run == r }

func (r *reign) after(d time.Duration, tag string, do func()) {
	r.w.after(d, tag, func() {
		if r.lives() {
			do()
		}
	})
}

func (r *reign) config() orders.Config {
	return orders.Config{ReservationLife: r.w.plan.ReservationLife, Tariff: tariff().Version, PerDriver: 1}
}

// tariff is the only one there is.
func tariff() ledger.Tariff {
	return ledger.Tariff{Version: "standard-1", StartFee: 100 * money.MinorUnit, PerKWh: 45 * money.MinorUnit, Currency: "EUR"}
}

// load reads the state from the database.
func (r *reign) load() {
	r.cps = r.c.db.loadPoints()
	r.orders = r.c.db.loadOrders(r.config(), r.self, r.numbers)
}

// give adds inputs and lets the writer turn. While the database cannot be
// written operators are refused, and everybody else waits.
func (r *reign) give(in ...input) {
	if r.wait > 0 {
		in = refuse(in)
	}
	r.inbox = append(r.inbox, in...)
	r.turn()
}

// turn applies what is there and commits it after a while.
func (r *reign) turn() {
	if r.busy || len(r.inbox) == 0 {
		return
	}
	r.busy = true
	r.after(r.c.c.in(span{0, time.Millisecond}), "central turns", func() {
		inputs := r.inbox
		r.inbox = nil
		r.try(inputs)
	})
}

func (r *reign) try(inputs []input) {
	u := r.newUnit()
	for _, in := range inputs {
		in.apply(u)
	}
	if r.w.bug(BugAckBeforeCommit) {
		r.letOut(u)
	}
	if r.w.bug(BugTicketOutside) {
		r.tellEarly(u)
	}
	if r.w.bug(BugOffsetOutside) {
		u.placeOffsets()
		u.offsets = nil
	}
	r.commit(u)
}

// commit makes a unit durable, or loses it with the process, or is refused by a
// full disk.
func (r *reign) commit(u *unit) {
	took := r.c.c.in(span{500 * time.Microsecond, 15 * time.Millisecond})
	disk := r.c.db // a backup may be put in its place meanwhile
	if r.c.killAtCommit != nil && r.c.killAtCommit(u) {
		r.c.killAtCommit = nil
		r.after(took/2, "killed in a commit", r.c.die)
	}
	r.w.after(took, "central commits", func() {
		if !r.lives() {
			if r.c.db == disk && r.c.run == nil && r.c.c.IntN(2) == 0 && !r.c.retired {
				u.write() // it had reached the disk
				r.w.stats.CommitsUnseen++
			}
			return
		}
		if r.w.dbFull && !u.empty() {
			r.w.stats.CommitsRefused++
			r.load() // what is in memory is not what is on disk
			inputs := refuse(u.inputs)
			r.wait = min(max(2*r.wait, firstWait), lastWait)
			r.after(r.wait, "central tries again", func() { r.try(inputs) })
			return
		}
		u.write()
		r.wait = 0
		r.w.stats.Commits++
		r.w.checkCommit(r, u)
		if r.w.bug(BugReservedWord) {
			r.keepWords(u)
		}
		r.busy = false
		if u.fence { // before anything is let out
			r.noticeFence()
		}
		r.letOut(u)
		r.maybeRise()
		r.armTick()
		r.turn()
	})
}

// letOut lets out what the commit allows.
func (r *reign) letOut(u *unit) {
	for _, done := range u.taken {
		done()
	}
	u.taken = nil
	for _, a := range u.acks {
		r.wantAck(a.cp, a.j)
	}
	u.acks = nil
	if r.active() {
		for i := range u.sends {
			r.send(&u.sends[i])
		}
	}
	u.sends = nil
	for _, reply := range u.replies {
		reply()
	}
	u.replies = nil
	r.drain()
}

// armTick sets the timer for what time alone brings about.
func (r *reign) armTick() {
	at := r.orders.NextDeadline()
	if at == 0 || at == r.tickAt {
		return
	}
	r.tickAt = at
	r.after(max(at.Sub(r.c.now()), 10*time.Millisecond), "central ticks", func() {
		if r.tickAt == at {
			r.tickAt = 0
			r.give(tickIn{})
		}
	})
}
