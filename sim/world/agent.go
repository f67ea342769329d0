package world

import (
	"time"

	"github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/limits"
	"github.com/carga-ev/carga/agent/point"
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

// boot is one run of the agent's process: the core of the product, agent/point, and
// around it the control loop, the disk, and the connection to the broker. In the
// product these are goroutines; here each is a chain of scheduled calls, which ends
// when agent.run is another boot.
type boot struct {
	agent    *agent
	w        *World
	rng      random
	bootedAt time.Duration
	// Record 1 is durable: the loops run.
	ready bool

	// The core, see shell.go.
	cfg      point.Config
	core     *point.State
	view     *point.View   // of core, after its last step
	events   []point.Event // that wait for a step
	stepping bool          // step is running
	timerAt  time.Duration // uptime for which the core set its timer; 0: none
	log      *journal.Log
	batch    *point.Batch // under way; nil: none was yet

	// The control loop, see control.go.
	connectors    []*controlled // by number, from 1 on
	limits        safety.Limits
	ticking       bool          // a tick is scheduled
	firstTickDone bool          // the first tick has no gap before it
	activeAt      time.Duration // when an input or output last changed

	// The uplink, see shell.go.
	conn        *conn         // nil: not connected
	connectedAt time.Duration // when conn was opened
	conns       uint64        // connections of this boot so far
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
	a.disk.Restart()
	for _, o := range a.outlets {
		b.connectors = append(b.connectors, &controlled{boot: b, outlet: o})
		o.before = nil
		o.command(false)
	}
	wall, _ := b.wall()
	// Every boot has a journal of its own, named by a new id.
	b.cfg = b.config(charge.JournalID(b.rng.newID(wall)))
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

// moment is the present for a step of the core.
func (b *boot) moment() point.Now {
	wall, q := b.wall()
	return point.Now{Now: connector.Now{At: b.uptime(), Wall: wall, Clock: q}, Rand: b.rng.Uint64()}
}

// config is the configuration of the charging point: the plan's policy, and a rated
// power of 50 kW.
func (b *boot) config(id charge.JournalID) point.Config {
	p := &b.w.plan.Policy
	return point.Config{
		CP: b.agent.id, Journal: id, Agent: "world", Name: string(b.agent.id), Simulated: true,
		Capabilities: []string{"limit", "remote_start", "reserve", "simulate"}, MaxCurrent: maxCurrent,
		Policy: connector.Policy{
			Resume: p.Resume, ReservedPlugStarts: p.ReservedPlugStarts, FreeVend: p.FreeVend, Rated: 50_000,
			SampleEnergy: 500, SampleInterval: 2 * time.Minute, Steered: b.w.plan.Fuse > 0,
		},
		Limits:    limits.Policy{Safe: b.w.plan.Safe},
		Cards:     cards.Policy{Wait: cards.DefaultWait, CacheFor: 6 * time.Hour},
		Telemetry: b.w.plan.Telemetry, IdleTelemetry: b.w.plan.Telemetry, Planted: point.Bug(b.w.planted),
	}
}

// open opens the journal, and returns what recovery found in it. Sizes are those
// of the plan, small enough for segments and retention to matter.
func (b *boot) open() (journal.Recovery, error) {
	l, found, err := journal.Open(b.agent.disk, journal.Options{
		CP: b.agent.id, Journal: b.cfg.Journal, SegmentSize: b.w.plan.Segment, Quota: b.w.plan.Quota,
		RetainBytes: b.w.plan.RetainBytes, RetainFor: b.w.plan.RetainFor, Reserve: 32 << 10,
		Now:        func() time.Time { at, _ := b.wall(); return at.Std() },
		Checkpoint: func() ([]byte, error) { return b.batch.Checkpoint() },
	})
	b.log = l
	return found, err
}

// restore boots the core from the journal and the hardware, and starts all loops
// once record 1 is durable. The order is that of agent/app.
func (b *boot) restore() error {
	rec, err := b.open()
	if err != nil {
		return err
	}
	found := point.Recovered{Position: delivery.Position(b.log.Position())}
	if found.Saved, err = connector.Restore(rec.Checkpoint, rec.Since, len(b.connectors)); err != nil {
		return err
	}
	b.agent.truth.recovered(b, rec, found.Saved)
	if rec.Last != nil {
		found.After = &wire.Position{Journal: rec.Last.Journal, Seq: rec.Last.Seq}
	}
	for _, d := range rec.Damaged {
		found.Damaged = append(found.Damaged, wire.Damaged{Journal: d.Journal, First: d.First, Last: d.Last, Reason: d.Reason})
	}
	for i, m := range b.connectors {
		m.faults = found.Saved[i].LatchedFaults()
		m.rules = safety.Restored(b.w.fitted(), m.faults)
		m.reset, m.outlet.resetDue = m.outlet.resetDue, false
		if b.w.bug(BugPlugFromJournal) && found.Saved[i].Session.ID != "" {
			m.pilotOverride = charge.PilotC
		}
		r, ok := m.reading(b.uptime())
		found.Outlets = append(found.Outlets, point.Outlet{Pilot: m.pilotNow(), Reading: r, HasReading: ok})
	}
	var effects []point.Effect
	b.core, effects = point.Boot(b.cfg, b.moment(), found)
	b.stepping = true
	b.performAll(effects)
	b.stepAll()
	if b.agent.run != b || !b.ready {
		return nil
	}
	b.wakeControlLoop()
	b.dial()
	b.readMeters()
	b.housekeep()
	return nil
}

// housekeep checks the free space again and again.
func (b *boot) housekeep() {
	b.after(housekeepInterval, "housekeep", func() {
		b.step(point.DiskChecked{Held: b.held(), Permille: b.log.QuotaPermille()})
		b.housekeep()
	})
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
	a.disk.Crash()
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
