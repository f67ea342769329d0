package world

import (
	"errors"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// agent is one charging point: its hardware and its disk, which stay, and the
// process, which comes and goes.
type agent struct {
	w     *World
	id    charge.CPID
	c     chance
	hw    []*outlet
	disk  *disk
	line  *line         // to the broker
	run   *boot         // nil: no process
	start int           // planned starts, so that an older one is told
	wait  time.Duration // before the next start after it gave up

	skew    time.Duration // of its wall clock
	quality charge.ClockQuality
	known   truth
	strayed time.Duration // until then no stray is sent in its name
}

// boot is one life of the process.
type boot struct {
	a       *agent
	w       *World
	c       chance
	born    time.Duration
	journal charge.JournalID
	ready   bool // record 1 is written

	log      *journal.Log
	saved    []connector.Saved
	queue    []job
	armed    bool          // a commit is under way
	starved  bool          // there is no room for something that waits
	wait     time.Duration // before it is tried again
	blocked  bool          // not even for final records
	full     bool          // as told to the machines
	machines []*machine

	limits  safety.Limits
	ticking bool
	ticked  bool          // the first tick has passed
	stirred time.Duration // when something last changed

	conn     *conn
	conns    uint64
	state    delivery.State
	commands *delivery.Commands
	said     delivery.PresenceSaid
	presence time.Duration // when the presence is looked at again
	probe    time.Duration // for which a timer is set
	lifted   bool          // Central gave the time
	offset   time.Duration
}

func newAgent(w *World, id charge.CPID, connectors int) *agent {
	a := &agent{
		w: w, id: id, c: newChance(w.plan.Seed, "agent "+string(id)), line: w.newLine("mqtt " + string(id)),
		disk: newDisk(newChance(w.plan.Seed, "disk "+string(id))), quality: charge.ClockSynced,
	}
	a.disk.lying, a.disk.ignorant = w.bug(BugNoSync), w.bug(BugSyncErrorLost)
	for n := range connectors {
		c := newChance(w.plan.Seed, "outlet "+string(id)+string(rune('1'+n)))
		a.hw = append(a.hw, &outlet{w: w, a: a, id: charge.ConnectorID(n + 1), c: c})
	}
	a.known.init(a)
	return a
}

// launch starts the process in a while.
func (a *agent) launch(in time.Duration) {
	a.start++
	n := a.start
	a.w.after(in, "agent starts", func() {
		if a.start == n && a.run == nil {
			a.boot()
		}
	})
}

// boot starts the process: the contactors open first, then the journal is read.
func (a *agent) boot() {
	b := &boot{a: a, w: a.w, c: a.c, born: a.w.now, limits: safety.DefaultLimits()}
	a.run = b
	a.w.stats.Boots++
	a.disk.dead = false
	a.disk.death = func(power bool) { b.die(power) }
	for _, o := range a.hw {
		b.machines = append(b.machines, &machine{b: b, o: o})
		o.set(false)
	}
	wall, _ := b.wall()
	b.journal = charge.JournalID(b.c.id(wall))
	b.after(b.c.in(span{200 * time.Millisecond, 2 * time.Second}), "agent reads its journal", func() {
		if err := b.restore(); err != nil {
			b.fail(err)
		}
	})
}

// after lets something happen in this life of the process, if it lasts so long.
func (b *boot) after(d time.Duration, tag string, do func()) {
	b.w.after(d, tag, func() {
		if b.a.run == b {
			do()
		}
	})
}

func (b *boot) up() time.Duration { return b.w.now - b.born }

// wall is the charging point's clock, as agent/app reads it.
func (b *boot) wall() (charge.Time, charge.ClockQuality) {
	q := b.a.quality
	if q != charge.ClockUnset {
		return max(b.w.wall().Add(b.a.skew), 0), q
	}
	at := charge.Time(b.up().Milliseconds()) // since 1970
	if b.lifted {
		return at.Add(b.offset), charge.ClockSet
	}
	return at, q
}

func (b *boot) moment() connector.Now {
	wall, q := b.wall()
	at := b.up()
	if b.w.bug(BugWallClock) {
		at = max(at+b.a.skew, 0)
	}
	return connector.Now{At: at, Wall: wall, Clock: q}
}

// open opens the journal and hands back what it found.
func (b *boot) open() (journal.Recovery, error) {
	l, found, err := journal.Open(b.a.disk, journal.Options{
		CP: b.a.id, Journal: b.journal, SegmentSize: b.w.plan.Segment, Quota: b.w.plan.Quota,
		RetainBytes: b.w.plan.RetainBytes, RetainFor: b.w.plan.RetainFor, Reserve: 32 << 10,
		Now:        func() time.Time { at, _ := b.wall(); return at.Std() },
		Checkpoint: func() ([]byte, error) { return connector.Checkpoint(b.saved) },
	})
	b.log = l
	return found, err
}

// restore makes the machines as journal and hardware say, and writes record 1.
func (b *boot) restore() error {
	found, err := b.open()
	if err != nil {
		return err
	}
	if b.saved, err = connector.Recall(found.Checkpoint, found.Since, len(b.machines)); err != nil {
		return err
	}
	b.a.known.recovered(b, found)
	for i, m := range b.machines {
		saved := b.saved[i]
		if b.w.bug(BugPlugFromJournal) && saved.Session.ID != "" {
			m.believe = charge.PilotC
		}
		r, ok := m.reading(b.up())
		m.take(connector.Booted{
			Now: b.moment(), ID: m.o.id, Policy: b.policy(), Saved: saved, Pilot: m.pilotNow(), Reading: r, Read: ok,
		})
	}
	if err := b.register(found); err != nil {
		return err
	}
	b.ready = true
	b.commands = delivery.NewCommands(b.a.id, b.journal)
	b.step(delivery.Booted{Held: b.held(), Position: delivery.Position(b.log.Position())})
	for i, m := range b.machines {
		m.take(connector.Registered{Now: b.moment(), Unfinished: b.saved[i].Unfinished})
	}
	b.stir()
	b.dial()
	b.readMeters()
	b.housekeep()
	b.telemetry()
	return nil
}

func (b *boot) policy() connector.Policy {
	p := &b.w.plan.Policy
	return connector.Policy{
		Resume: p.Resume, ReservedPlugStarts: p.ReservedPlugStarts, FreeVend: p.FreeVend, Rated: 50_000,
		SampleEnergy: 500, SampleInterval: 2 * time.Minute,
	}
}

// register writes record 1.
func (b *boot) register(found journal.Recovery) error {
	p := &wire.Registered{Agent: "world", Name: string(b.a.id), Simulated: true, Capabilities: []string{"remote_start", "reserve", "simulate"}}
	if found.Last != nil {
		p.After = &wire.Position{Journal: found.Last.Journal, Seq: found.Last.Seq}
	}
	for _, d := range found.Damaged {
		p.Damaged = append(p.Damaged, wire.Damaged{Journal: d.Journal, First: d.First, Last: d.Last, Reason: d.Reason})
	}
	for _, m := range b.machines {
		p.Connectors = append(p.Connectors, connector.Describe(m.state))
		if held, some := connector.Held(m.state); some {
			p.Reservations = append(p.Reservations, held)
		}
	}
	j := job{records: []connector.Record{{Payload: p}}, now: b.moment()}
	for _, d := range p.Damaged {
		j.records = append(j.records, connector.Record{Payload: &wire.AnomalySeen{Anomaly: "journal_damaged", Detail: d.Reason}})
	}
	return b.commit([]job{j}, j.class())
}

// housekeep tells the machines whether there is room for a new session.
func (b *boot) housekeep() {
	b.after(housekeepEvery, "housekeep", func() {
		b.watchRoom()
		b.housekeep()
	})
}

func (b *boot) watchRoom() {
	full := b.starved || b.log.QuotaPermille() >= 900
	if full == b.full {
		return
	}
	b.full = full
	for _, m := range b.machines {
		m.take(connector.StorageChanged{Now: b.moment(), Full: full})
	}
}

// A supervisor starts an agent that gave up again: soon, and later each time
// while it does not stay.
const (
	soonest = 5 * time.Second
	latest  = 5 * time.Minute
	stays   = 10 * time.Minute
)

// fail ends the process because it cannot go on; it is started again.
func (b *boot) fail(err error) {
	if b.a.run != b {
		return // it died of it
	}
	b.w.mix("agent failed: "+err.Error(), nil)
	b.w.stats.AgentFailures++
	a := b.a
	a.wait = min(max(2*a.wait, soonest), latest)
	if b.w.now-b.born > stays {
		a.wait = soonest
	}
	b.end(false)
	a.launch(a.wait)
}

// die is a kill of the process, or a power cut of the whole charging point; the
// plan starts it again.
func (b *boot) die(power bool) {
	b.end(power)
	b.a.launch(b.w.plan.restartOf(b.a.c))
}

// end is the end of the process, whatever it was at.
func (b *boot) end(power bool) {
	a := b.a
	if a.run != b {
		return
	}
	a.run = nil
	a.disk.dead = true
	if b.conn != nil {
		b.conn.vanish(power)
	}
	a.known.died(b)
	if power {
		a.w.stats.PowerCuts++
		a.disk.cutPower()
	} else {
		a.w.stats.Kills++
	}
	for _, o := range a.hw {
		if power { // the coil has no power any more
			o.set(false)
			continue
		}
		if a.w.bug(BugKeeperDead) {
			continue
		}
		a.w.after(800*time.Millisecond, "keeper opens", func() { // nobody kicks it any more
			if a.run == nil {
				o.set(false)
			}
		})
	}
}

// errStopped says that the process ended while it was at it.
var errStopped = errors.New("stopped")
