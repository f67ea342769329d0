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

// agent is one charging point. Its hardware and disk exist all the time; its
// process starts and dies.
type agent struct {
	w       *World
	id      charge.CPID
	rng     random
	outlets []*outlet
	disk    *disk
	line    *line // to the broker
	run     *boot // nil: no process
	// Scheduled starts: an older one sees that it is obsolete.
	starts int
	// Before the next start, after the agent exited by itself.
	restartDelay time.Duration

	skew    time.Duration // of its wall clock
	quality charge.ClockQuality
	truth   groundTruth
	// End of the present series of forged records in its name.
	forgedUntil time.Duration
}

// boot is one run of the agent's process, as agent/app composes it: a journal with
// a recorder, a state machine per connector, a control loop, and an uplink. In the
// product these are goroutines; here each is a chain of scheduled calls, which ends
// when agent.run is another boot.
type boot struct {
	agent    *agent
	w        *World
	rng      random
	bootedAt time.Duration
	journal  charge.JournalID
	// Record 1 is durable: the machines may act.
	ready bool

	// The recorder, see recorder.go.
	log *journal.Log
	// What a checkpoint holds: the fold of all records.
	saved           []connector.Saved
	queue           []appendJob // not durable yet, in order
	commitScheduled bool
	// Something in queue did not fit on the disk.
	lacksSpace bool
	retryWait  time.Duration // before the commit is tried again
	// Not even final records fit, so no power may flow.
	blocked bool
	// The machines know that no session can start.
	reportedFull bool
	machines     []*machine // by connector, from 1 on

	// The control loop, see machine.go.
	limits        safety.Limits
	ticking       bool          // a tick is scheduled
	firstTickDone bool          // the first tick has no gap before it
	activeAt      time.Duration // when an input or output last changed

	// The uplink, see uplink.go.
	conn         *conn  // nil: not connected
	conns        uint64 // connections of this boot so far
	state        delivery.State
	commands     *delivery.Commands
	presenceSent delivery.PresenceSchedule
	// Uptime of the scheduled publication of presence; 0: none.
	presenceAt time.Duration
	// Uptime for which delivery set its timer; 0: none.
	probeAt time.Duration
	// Without a clock of its own it uses Central's.
	hasCentralTime bool
	clockOffset    time.Duration // from uptime to Central's time
}

// newAgent creates a charging point without a running process.
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

// launch schedules a start of the process. It replaces an earlier one that is
// pending, and has no effect if the process runs by then.
func (a *agent) launch(in time.Duration) {
	a.starts++
	n := a.starts
	a.w.after(in, "agent starts", func() {
		if a.starts == n && a.run == nil {
			a.boot()
		}
	})
}

// boot starts the process. As in the product the contactors are opened before
// anything else, then the journal is read.
func (a *agent) boot() {
	b := &boot{agent: a, w: a.w, rng: a.rng, bootedAt: a.w.now, limits: safety.DefaultLimits()}
	a.run = b
	a.w.stats.Boots++
	a.disk.dead = false
	// A scheduled death inside a disk operation ends this boot.
	a.disk.onDeath = func(power bool) { b.die(power) }
	for _, o := range a.outlets {
		b.machines = append(b.machines, &machine{boot: b, outlet: o})
		o.command(false)
	}
	wall, _ := b.wall()
	// Every boot has a journal of its own, named by a new id.
	b.journal = charge.JournalID(b.rng.newID(wall))
	b.after(b.rng.between(span{200 * time.Millisecond, 2 * time.Second}), "agent reads its journal", func() {
		if err := b.restore(); err != nil {
			b.exit(err)
		}
	})
}

// after schedules a call for this boot; it is dropped if the process dies before.
func (b *boot) after(d time.Duration, tag string, do func()) {
	b.w.after(d, tag, func() {
		if b.agent.run == b {
			do()
		}
	})
}

// uptime is the monotonic clock of the process.
func (b *boot) uptime() time.Duration { return b.w.now - b.bootedAt }

// wall is the charging point's wall clock, as agent/app reads it. Without a
// synchronized clock it counts from 1970, or from the time that Central sent.
func (b *boot) wall() (charge.Time, charge.ClockQuality) {
	q := b.agent.quality
	if q != charge.ClockUnset {
		return max(b.w.wall().Add(b.agent.skew), 0), q
	}
	// Without a clock the time since the boot is taken as the time since 1970.
	at := charge.Time(b.uptime().Milliseconds())
	if b.hasCentralTime {
		return at.Add(b.clockOffset), charge.ClockSet
	}
	return at, q
}

// moment is the present for an event of a connector.
func (b *boot) moment() connector.Now {
	wall, q := b.wall()
	at := b.uptime()
	if b.w.bug(BugWallClock) {
		at = max(at+b.agent.skew, 0)
	}
	return connector.Now{At: at, Wall: wall, Clock: q}
}

// open opens the journal, and returns what recovery found in it. Sizes are those
// of the plan, small enough for segments and retention to matter.
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

// restore creates the machines from the journal and the hardware, writes record 1,
// and starts all loops. The order is that of agent/app: nothing is acknowledged or
// commanded before record 1 is durable.
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
		// A session of the journal continues, or ends with this reading.
		r, ok := m.reading(b.uptime())
		m.handle(connector.Booted{
			Now: b.moment(), ID: m.outlet.id, Policy: b.policy(), Saved: saved, Pilot: m.pilotNow(), Reading: r, HasReading: ok,
		})
	}
	// From here on the boot exists for Central.
	if err := b.register(found); err != nil {
		return err
	}
	b.ready = true
	b.commands = delivery.NewCommands(b.agent.id, b.journal)
	// The position of the last boot: what Central acknowledged is not sent again.
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

// policy is the configuration of all connectors: the plan's, and a rated power of 50 kW.
func (b *boot) policy() connector.Policy {
	p := &b.w.plan.Policy
	return connector.Policy{
		Resume: p.Resume, ReservedPlugStarts: p.ReservedPlugStarts, FreeVend: p.FreeVend, Rated: 50_000,
		SampleEnergy: 500, SampleInterval: 2 * time.Minute,
	}
}

// register writes record 1, which describes the state of all connectors, where the
// previous journal ended, and what recovery could not read.
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

// housekeep checks the free space again and again.
func (b *boot) housekeep() {
	b.after(housekeepInterval, "housekeep", func() {
		b.reportSpace()
		b.housekeep()
	})
}

// reportSpace informs the machines whether there is space for a new session: none
// is left when something waits for space, or above 90 % of the quota.
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

// The supervisor's delays before it restarts an agent that exited by itself. They
// double while the agent exits again within stableAfter.
const (
	minRestartDelay = 5 * time.Second
	maxRestartDelay = 5 * time.Minute
	stableAfter     = 10 * time.Minute
)

// exit ends the process after an error from which it cannot recover, such as a
// failed sync. The supervisor restarts it.
func (b *boot) exit(err error) {
	if b.agent.run != b {
		return // the error was the consequence of its death
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

// die kills the process, or cuts the power of the whole charging point. The plan's
// restart delay applies.
func (b *boot) die(power bool) {
	b.end(power)
	b.agent.launch(b.w.plan.restartOf(b.agent.rng))
}

// end ends the process, at whatever point it is. With power the disk keeps what was
// written and the keeper opens the contactors; without, both lose power at once.
func (b *boot) end(power bool) {
	a := b.agent
	if a.run != b {
		return
	}
	a.run = nil
	// Code that is still running inside the process sees errors from now on.
	a.disk.dead = true
	if b.conn != nil {
		b.conn.closedByClient(power)
	}
	a.truth.died()
	if power {
		a.w.stats.PowerCuts++
		a.disk.cutPower()
	} else {
		a.w.stats.Kills++
	}
	for _, o := range a.outlets {
		if power { // the coil opens without power
			o.command(false)
			continue
		}
		if a.w.bug(BugKeeperDead) {
			continue
		}
		a.w.after(800*time.Millisecond, "keeper opens", func() { // a dead process does not kick it
			if a.run == nil {
				o.command(false)
			}
		})
	}
}

// errStopped is returned to code of a process that died inside an append.
var errStopped = errors.New("stopped")
