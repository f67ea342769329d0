package world

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/agent/journal/journaltest"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// injectFault injects a fault, see the kinds in plan.go. Each fault ends by itself,
// and all of them end with the heal.
func (w *World) injectFault(s Step, rng random) {
	a := w.agents[s.Target%len(w.agents)]
	d := a.disk
	w.stats.fault(s.Kind)
	switch s.Kind { //nolint:exhaustive // perform handles the others
	case KillAgent:
		a.kill(false)
	case PowerCut:
		a.kill(true)
	case KillAtOp, PowerAtOp:
		// Within the next 60 operations of the disk, so that commits, recoveries and
		// deletions of segments are all hit.
		d.CrashAfter(1+s.N%60, func() { a.kill(s.Kind == PowerAtOp) })
	case PowerFlicker:
		// Each cut may hit the recovery from the one before.
		for i := range 15 {
			w.after(time.Duration(i)*rng.between(span{100 * time.Millisecond, 2 * time.Second}), "flicker", func() {
				a.kill(true)
				a.launch(rng.between(span{0, 500 * time.Millisecond}))
			})
		}
	case KillBridge:
		w.bridge.die()
	case KillCentral:
		for _, x := range w.centrals {
			if x.run != nil {
				x.die()
			}
		}
	case KillAtCommit:
		// Transactions with drivers' requests or with records are rare beside ticks, so
		// they are selected.
		topic := [...]string{"", wire.TopicDriverEvents, wire.TopicEvents}[s.N%3]
		for _, x := range w.centrals {
			x.killAtCommit = func(u *unit) bool { return topic == "" || u.readsTopic(topic) }
		}
	case KillMQTT, WipeMQTT:
		// A broker that kept nothing costs retained positions and presence; both are
		// published again.
		w.mqtt.kill(s.Kind == WipeMQTT)
		w.after(s.For, "mqtt is back", w.mqtt.start)
	case KillKafka:
		w.stopKafka(s, 0, false)
	case CutKafka:
		// Readers that are beyond the new end must notice that the log is not theirs.
		w.stopKafka(s, 1+s.N%20, false)
	case NewKafka:
		w.stopKafka(s, 0, true)
	case OldKafka:
		// What Central has not read by now is lost in Kafka; agents still have it,
		// because Central has not acknowledged it.
		w.kafka.retain(rng.between(span{10 * time.Minute, 3 * time.Hour}))
	case GrowKafka:
		if w.kafka.partitions < maxPartitions {
			w.kafka.grow()
		}
	case Clog:
		w.cutLines(s, rng)
	case Noise:
		w.noise(s, rng)
	case DiskFull:
		d.setFull(true)
		w.after(s.For, "disk has space", func() { d.setFull(false) })
	case DiskWrite:
		d.failWrite = true
		w.after(s.For, "disk writes", func() { d.failWrite = false })
	case DiskSync:
		d.failSync = true
		w.after(s.For, "disk syncs", func() { d.failSync = false })
	case DiskRead:
		d.failRead = true
		w.after(s.For, "disk reads", func() { d.failRead = false })
	case DiskSlow:
		d.slow = true
		w.after(s.For, "disk is quick", func() { d.slow = false })
	case DiskDropsSyncs:
		// The damage shows only with a power cut, so one ends the fault.
		d.dropsSyncs = true
		a.truth.storageLost = true
		w.afterUnlessHealed(s.For, "dropped syncs are lost", func() {
			a.kill(true)
			d.dropsSyncs = false
		})
	case DiskBack:
		// The image is of now and is restored at the end: the agent has meanwhile
		// written records that others have received.
		image := d.Medium()
		a.truth.storageLost = true
		w.afterUnlessHealed(s.For, "disk rolled back", func() {
			a.kill(true)
			d.Replace(image)
		})
	case DiskEmpty:
		// The agent starts without a journal, a position and open sessions.
		a.truth.storageLost = true
		a.kill(true)
		d.Replace(journaltest.New())
	case ClockJump:
		// Forward, back, by years, or a little; the monotonic clock goes on.
		w.clocksRight = false
		a.skew = [...]time.Duration{time.Hour, -time.Hour, 10 * 365 * 24 * time.Hour, rng.between(span{-10 * time.Minute, 10 * time.Minute})}[s.N%4]
		w.after(s.For, "clock is right", func() { a.skew = 0 })
	case ClockLost:
		// The process starts without a clock: its records carry no wall time until an
		// acknowledgement of Central does.
		w.clocksRight = false
		a.quality = charge.ClockUnset
		a.kill(true)
		w.after(s.For, "clock is synced", func() { a.quality = charge.ClockSynced })
	case CentralClock:
		w.clocksRight = false
		for _, x := range w.centrals {
			x.skew = rng.between(span{-20 * time.Minute, 20 * time.Minute})
			w.after(s.For, "clock is right", func() { x.skew = 0 })
		}
	case DaysAhead:
		w.daysAhead(a, s, rng)
	case HighEpoch:
		a.acceptHighEpoch(s.N)
	case Twins:
		w.twins(s, rng)
	case DBFull:
		w.dbFull = true
		w.after(s.For, "db has space", func() { w.dbFull = false })
	case Restore:
		w.restore(s)
	case TwoCentrals:
		w.startSecondCentral(s, rng)
	case Poison:
		w.poison(a, s)
	case Nonsense:
		w.startNonsense(s)
	case Forged:
		w.forgeRecords(a, rng)
	}
}

// maxPartitions limits the growth of topics.
const maxPartitions = 6

// afterUnlessHealed schedules a part of a fault; it is dropped after the heal.
func (w *World) afterUnlessHealed(d time.Duration, tag string, do func()) {
	w.after(d, tag, func() {
		if !w.healed {
			do()
		}
	})
}

// kill kills the process of a charging point, or cuts its power, which also
// affects the disk and the contactors when no process runs.
func (a *agent) kill(power bool) {
	if b := a.run; b != nil {
		b.die(power)
	} else if power {
		a.disk.cutPower()
		for _, o := range a.outlets {
			o.command(false)
		}
	}
}

// stopKafka stops the cluster for the duration of the step, with a loss of records.
func (w *World) stopKafka(s Step, lose int, replaced bool) {
	w.kafka.kill(lose, replaced)
	w.after(s.For, "kafka starts", w.kafka.start)
}

// lines returns all lines that faults can affect. Those of Byzantine charging
// points are left alone.
func (w *World) lines() []*line {
	all := []*line{w.bridge.mqtt, w.bridge.kafka, w.drivers.line}
	for _, a := range w.agents {
		all = append(all, a.line)
	}
	for _, c := range w.centrals {
		all = append(all, c.line)
	}
	return all
}

// cutLines cuts lines one by one, each in one direction or both, and heals them in
// another order, so that all combinations of reachable components occur.
func (w *World) cutLines(s Step, rng random) {
	lines := w.lines()
	n := 1 + s.N%len(lines)
	cut := rng.Perm(len(lines))[:n]
	heal := rng.Perm(n)
	// The first half of the duration is for cutting, the second for healing.
	step := s.For/time.Duration(2*n) + time.Millisecond
	for i, k := range cut {
		l, dirs := lines[k], 1+rng.IntN(3)
		w.afterUnlessHealed(time.Duration(i)*step, "clog "+l.name, func() { l.setCutDirections(dirs, true) })
	}
	for i, k := range heal {
		l := lines[cut[k]]
		w.after(time.Duration(n+i)*step, "unclog "+l.name, func() { l.setCutDirections(3, false) })
	}
}

// setCutDirections cuts or heals the directions of a bit set: 1 is up, 2 is down.
func (l *line) setCutDirections(dirs int, on bool) {
	if dirs&1 != 0 {
		l.setCut(up, on)
	}
	if dirs&2 != 0 {
		l.setCut(down, on)
	}
}

// noise makes a line lose, duplicate and reorder messages for a while.
func (w *World) noise(s Step, rng random) {
	lines := w.lines()
	l := lines[s.N%len(lines)]
	drop, duplicate, reorder := l.drop, l.duplicate, l.reorder
	l.drop, l.duplicate, l.reorder = rng.IntN(300), rng.IntN(300), rng.IntN(500)
	w.afterUnlessHealed(s.For, "quiet "+l.name, func() { l.drop, l.duplicate, l.reorder = drop, duplicate, reorder })
}

// restore restarts Central from a backup of its database that is as old as the
// step lasts. Charging points then hold acknowledgements that the database does
// not know, and have to be asked for the records again.
func (w *World) restore(s Step) {
	c := w.activeCentral()
	if c == nil {
		return
	}
	// The backup is of now, and is used at the end of the step.
	copied := c.db.backup()
	w.after(s.For, "central restored", func() {
		// Another fault may have replaced this Central since.
		if w.healed || c.retired || c != w.centrals[len(w.centrals)-1] {
			return
		}
		c.stop()
		w.stats.Kills++
		c.db = copied
		w.restored = true
		c.launch(w.plan.restartOf(c.rng))
	})
}

// startSecondCentral starts another Central from a backup while the first one runs,
// as after a failover that was not clean. The first is switched off later.
func (w *World) startSecondCentral(s Step, rng random) {
	old := w.activeCentral()
	// Each Central costs readers on all topics.
	if old == nil || len(w.centrals) > 6 {
		return
	}
	x := newCentral(w, fmt.Sprint("central", len(w.centrals)), old.db.backup())
	// With skipsWait both are active at once until the fence works; without, the new one
	// waits until the old one is off.
	x.skipsWait = rng.IntN(2) == 0
	w.restored = true
	w.answersMayDiffer = true
	w.centrals = append(w.centrals, x)
	x.launch(0)
	w.after(s.For, "old central off", func() {
		old.retired = true
		old.stop()
	})
}

// twins starts two Centrals at once from copies of one backup, in place of the one
// that runs. One of them is switched off later.
func (w *World) twins(s Step, rng random) {
	old := w.activeCentral()
	if old == nil || len(w.centrals) > 6 {
		return
	}
	// Both get the same rows and the same last epoch, and so raise to the same number:
	// the random part of the epoch decides which one is later.
	copied := old.db.backup()
	w.afterUnlessHealed(s.For/2, "central restored twice", func() {
		if old.retired || old != w.centrals[len(w.centrals)-1] {
			return
		}
		old.retired = true
		old.stop()
		w.answersMayDiffer, w.restored = true, true
		skipsWait := rng.IntN(2) == 0
		var both []*central
		for range 2 {
			x := newCentral(w, fmt.Sprint("central", len(w.centrals)), copied.backup())
			x.skipsWait = skipsWait
			w.centrals, both = append(w.centrals, x), append(both, x)
			x.launch(0)
		}
		w.after(s.For, "one of two off", func() {
			both[0].retired = true
			both[0].stop()
		})
	})
}

// daysAhead sets the clocks of one or more components days ahead, and right again.
// N selects them as a bit set: Central, agent, bridge.
func (w *World) daysAhead(a *agent, s Step, rng random) {
	w.clocksRight = false
	ahead := rng.between(span{24 * time.Hour, 60 * 24 * time.Hour})
	which := 1 + s.N%7
	if which&1 != 0 {
		for _, x := range w.centrals {
			x.skew = ahead
			w.after(s.For, "clock is right", func() { x.skew = 0 })
		}
	}
	if which&2 != 0 {
		a.skew = ahead
		w.after(s.For, "clock is right", func() { a.skew = 0 })
	}
	if which&4 != 0 {
		w.bridge.skew = ahead
		w.after(s.For, "clock is right", func() { w.bridge.skew = 0 })
	}
}

// acceptHighEpoch makes an agent believe that it has accepted an epoch that no
// Central here ever had: that of a copied database, of an earlier version whose
// clock showed 2099, or of a fault.
func (a *agent) acceptHighEpoch(n int) {
	b := a.run
	if b == nil || !b.ready {
		return
	}
	high := [...]charge.Epoch{
		{Run: "03b3d6f8-0c00-7000-8000-000000000001"},
		{Number: firstEpochNumber + uint64(n%1000), Run: "ffffffffffffffff"},
		{Number: 900_000_000_000 + uint64(n), Run: "ffffffffffffffff"},
	}[n%3]
	// Presence carries the epoch to Central, which has to raise its own for this
	// charging point, and for no other.
	p := b.view.Delivery.Position
	ack := wire.Ack{V: wire.Version, Central: high}
	if p.Journal != "" {
		ack.Journal, ack.Seq = &p.Journal, p.Seq
		by := ackKey{journalKey{a.id, p.Journal}, high}
		b.w.ackedBy[by] = max(b.w.ackedBy[by], p.Seq)
	}
	b.step(point.AckReceived{Ack: ack})
}

// poison publishes a message that cannot be decoded or has an unknown topic, on
// MQTT or on all topics of Kafka that Central reads. It is the first of its
// partition, and everything behind it must pass.
func (w *World) poison(a *agent, s Step) {
	// Nothing, no JSON, an object without fields, and a well-formed record of another
	// charging point.
	garbage := [][]byte{nil, []byte("hello"), []byte(`{"v":1}`), []byte(`{"v":1,"cp_id":"CP_X","journal":"j","seq":1,"prev":"","type":"x","at":"2026-11-25T10:00:00.000Z"}`)}
	raw := garbage[s.N%len(garbage)]
	switch s.N % 3 {
	case 0:
		w.mqtt.route(mqttMessage{topic: w.mqtt.topics.Of(a.id, wire.KindEvent), raw: raw, qos: 1})
	case 1:
		w.mqtt.route(mqttMessage{topic: "cp/" + string(a.id) + "/up/song", raw: raw, qos: 1})
	default:
		w.kafka.append(wire.TopicEvents, message{key: string(a.id), value: raw, receivedAt: w.wall()})
		w.kafka.append(wire.TopicCommands, message{key: string(a.id), kind: wire.KindValueCommand, value: raw, receivedAt: w.wall()})
		w.kafka.append(wire.TopicDriverEvents, message{key: "user9", value: raw, receivedAt: w.wall()})
	}
}
