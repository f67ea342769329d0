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
	w            *World
	id           charge.CPID
	rng          random
	outlets      []*outlet
	disk         *disk
	line         *line         // to the broker
	run          *boot         // nil: no process
	starts       int           // planned starts, so that an older one is told
	restartDelay time.Duration // before the next start after it gave up

	skew        time.Duration // of its wall clock
	quality     charge.ClockQuality
	truth       groundTruth
	forgedUntil time.Duration // until then no stray is sent in its name
}

// boot is one life of the process.
type boot struct {
	agent    *agent
	w        *World
	rng      random
	bootedAt time.Duration
	journal  charge.JournalID
	ready    bool // record 1 is written

	log             *journal.Log
	saved           []connector.Saved
	queue           []appendJob
	commitScheduled bool          // a commit is under way
	lacksSpace      bool          // there is no room for something that waits
	retryWait       time.Duration // before it is tried again
	blocked         bool          // not even for final records
	reportedFull    bool          // as told to the machines
	machines        []*machine

	limits        safety.Limits
	ticking       bool
	firstTickDone bool          // the first tick has passed
	activeAt      time.Duration // when something last changed

	conn           *conn
	conns          uint64
	state          delivery.State
	commands       *delivery.Commands
	presenceSent   delivery.PresenceSchedule
	presenceAt     time.Duration // when the presence is looked at again
	probeAt        time.Duration // for which a timer is set
	hasCentralTime bool          // Central gave the time
	clockOffset    time.Duration
}

func newAgent(w *World, id charge.CPID, connectors int) *agent {
	a := &agent{
		w: w, id: id, rng: newRandom(w.plan.Seed, "agent "+string(id)), line: w.newLine("mqtt " + string(id)),
		disk: newDisk(newRandom(w.plan.Seed, "disk "+string(id))), quality: charge.ClockSynced,
	}
	a.disk.dropsSyncs, a.disk.hidesSyncErrors = w.bug(BugNoSync), w.bug(BugSyncErrorLost)
	for n := range connectors {
		rng := newRandom(w.plan.Seed, "outlet "+string(id)+string(rune('1'+n)))
		a.outlets = append(a.outlets, &outlet{w: w, agent: a, id: charge.ConnectorID(n + 1), rng: rng})
	}
	a.truth.init(a)
	return a
}

// launch starts the process in a while.
func (a *agent) launch(in time.Duration) {
	a.starts++
	n := a.starts
	a.w.after(in, "agent starts", func() {
		if a.starts == n && a.run == nil {
			a.boot()
		}
	})
}

// boot starts the process: the contactors open first, then the journal is read.
func (a *agent) boot() {
	b := &boot{agent: a, w: a.w, rng: a.rng, bootedAt: a.w.now, limits: safety.DefaultLimits()}
	a.run = b
	a.w.stats.Boots++
	a.disk.dead = false
	a.disk.onDeath = func(power bool) { b.die(power) }
	for _, o := range a.outlets {
		b.machines = append(b.machines, &machine{boot: b, outlet: o})
		o.command(false)
	}
	wall, _ := b.wall()
	b.journal = charge.JournalID(b.rng.newID(wall))
	b.after(b.rng.between(span{200 * time.Millisecond, 2 * time.Second}), "agent reads its journal", func() {
		if err := b.restore(); err != nil {
			b.exit(err)
		}
	})
}

// after lets something happen in this life of the process, if it lasts so long.
func (b *boot) after(d time.Duration, tag string, do func()) {
	b.w.after(d, tag, func() {
		if b.agent.run == b {
			do()
		}
	})
}

func (b *boot) uptime() time.Duration { return b.w.now - b.bootedAt }

// wall is the charging point's clock, as agent/app reads it.
func (b *boot) wall() (charge.Time, charge.ClockQuality) {
	q := b.agent.quality
	if q != charge.ClockUnset {
		return max(b.w.wall().Add(b.agent.skew), 0), q
	}
	at := charge.Time(b.uptime().Milliseconds()) // since 1970
	if b.hasCentralTime {
		return at.Add(b.clockOffset), charge.ClockSet
	}
	return at, q
}

func (b *boot) moment() connector.Now {
	wall, q := b.wall()
	at := b.uptime()
	if b.w.bug(BugWallClock) {
		at = max(at+b.agent.skew, 0)
	}
	return connector.Now{At: at, Wall: wall, Clock: q}
}

// open opens the journal and hands back what it found.
func (b *boot) open() (journal.Recovery, error) {
	l, found, err := journal.Open(b.agent.disk, journal.Options{
		CP: b.agent.id, Journal: b.journal, SegmentSize: b.w.plan.Segment, Quota: b.w.plan.Quota,
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
	if b.saved, err = connector.Restore(found.Checkpoint, found.Since, len(b.machines)); err != nil {
		return err
	}
	b.agent.truth.recovered(b, found)
	for i, m := range b.machines {
		saved := b.saved[i]
		if b.w.bug(BugPlugFromJournal) && saved.Session.ID != "" {
			m.pilotOverride = charge.PilotC
		}
		r, ok := m.reading(b.uptime())
		m.handle(connector.Booted{
			Now: b.moment(), ID: m.outlet.id, Policy: b.policy(), Saved: saved, Pilot: m.pilotNow(), Reading: r, HasReading: ok,
		})
	}
	if err := b.register(found); err != nil {
		return err
	}
	b.ready = true
	b.commands = delivery.NewCommands(b.agent.id, b.journal)
	b.step(delivery.Booted{Held: b.held(), Position: delivery.Position(b.log.Position())})
	for i, m := range b.machines {
		m.handle(connector.Registered{Now: b.moment(), Unfinished: b.saved[i].Unfinished})
	}
	b.wakeControlLoop()
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
	p := &wire.Registered{Agent: "world", Name: string(b.agent.id), Simulated: true, Capabilities: []string{"remote_start", "reserve", "simulate"}}
	if found.Last != nil {
		p.After = &wire.Position{Journal: found.Last.Journal, Seq: found.Last.Seq}
	}
	for _, d := range found.Damaged {
		p.Damaged = append(p.Damaged, wire.Damaged{Journal: d.Journal, First: d.First, Last: d.Last, Reason: d.Reason})
	}
	for _, m := range b.machines {
		p.Connectors = append(p.Connectors, connector.Describe(m.state))
		if held, some := connector.HeldReservation(m.state); some {
			p.Reservations = append(p.Reservations, held)
		}
	}
	j := appendJob{records: []connector.Record{{Payload: p}}, now: b.moment()}
	for _, d := range p.Damaged {
		j.records = append(j.records, connector.Record{Payload: &wire.AnomalySeen{Anomaly: "journal_damaged", Detail: d.Reason}})
	}
	return b.commit([]appendJob{j}, j.class())
}

// housekeep tells the machines whether there is room for a new session.
func (b *boot) housekeep() {
	b.after(housekeepInterval, "housekeep", func() {
		b.reportSpace()
		b.housekeep()
	})
}

func (b *boot) reportSpace() {
	full := b.lacksSpace || b.log.QuotaPermille() >= 900
	if full == b.reportedFull {
		return
	}
	b.reportedFull = full
	for _, m := range b.machines {
		m.handle(connector.StorageChanged{Now: b.moment(), Full: full})
	}
}

// A supervisor starts an agent that gave up again: soon, and later each time
// while it does not stay.
const (
	minRestartDelay = 5 * time.Second
	maxRestartDelay = 5 * time.Minute
	stableAfter     = 10 * time.Minute
)

// exit ends the process because it cannot go on; it is started again.
func (b *boot) exit(err error) {
	if b.agent.run != b {
		return // it died of it
	}
	b.w.mix("agent failed: "+err.Error(), nil)
	b.w.stats.AgentFailures++
	a := b.agent
	a.restartDelay = min(max(2*a.restartDelay, minRestartDelay), maxRestartDelay)
	if b.w.now-b.bootedAt > stableAfter {
		a.restartDelay = minRestartDelay
	}
	b.end(false)
	a.launch(a.restartDelay)
}

// die is a kill of the process, or a power cut of the whole charging point; the
// plan starts it again.
func (b *boot) die(power bool) {
	b.end(power)
	b.agent.launch(b.w.plan.restartOf(b.agent.rng))
}

// end is the end of the process, whatever it was at.
func (b *boot) end(power bool) {
	a := b.agent
	if a.run != b {
		return
	}
	a.run = nil
	a.disk.dead = true
	if b.conn != nil {
		b.conn.closedByClient(power)
	}
	a.truth.died(b)
	if power {
		a.w.stats.PowerCuts++
		a.disk.cutPower()
	} else {
		a.w.stats.Kills++
	}
	for _, o := range a.outlets {
		if power { // the coil has no power any more
			o.command(false)
			continue
		}
		if a.w.bug(BugKeeperDead) {
			continue
		}
		a.w.after(800*time.Millisecond, "keeper opens", func() { // nobody kicks it any more
			if a.run == nil {
				o.command(false)
			}
		})
	}
}

// errStopped says that the process ended while it was at it.
var errStopped = errors.New("stopped")
