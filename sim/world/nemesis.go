package world

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// injectFault is what goes wrong. Each fault ends by itself, and with the heal.
func (w *World) injectFault(s Step, rng random) {
	a := w.agents[s.Target%len(w.agents)]
	d := a.disk
	w.stats.fault(s.Kind)
	switch s.Kind { //nolint:exhaustive // the others are done by hands
	case KillAgent:
		a.kill(false)
	case PowerCut:
		a.kill(true)
	case KillAtOp, PowerAtOp:
		d.killAt, d.deathCutsPower = d.ops+1+int64(s.N%60), s.Kind == PowerAtOp
	case PowerFlicker:
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
		topic := [...]string{"", wire.TopicDriverEvents, wire.TopicEvents}[s.N%3]
		for _, x := range w.centrals {
			x.killAtCommit = func(u *unit) bool { return topic == "" || u.readsTopic(topic) }
		}
	case KillMQTT, WipeMQTT:
		w.mqtt.kill(s.Kind == WipeMQTT)
		w.after(s.For, "mqtt is back", w.mqtt.start)
	case KillKafka:
		w.stopKafka(s, 0, false)
	case CutKafka:
		w.stopKafka(s, 1+s.N%20, false)
	case NewKafka:
		w.stopKafka(s, 0, true)
	case OldKafka:
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
		d.full = true
		w.after(s.For, "disk has room", func() { d.full = false })
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
		d.dropsSyncs = true
		a.truth.storageLost = true
		w.afterUnlessHealed(s.For, "the lie comes out", func() {
			a.kill(true)
			d.dropsSyncs = false
		})
	case DiskBack:
		image := d.image()
		a.truth.storageLost = true
		w.afterUnlessHealed(s.For, "storage set back", func() {
			a.kill(true)
			d.restoreImage(image)
		})
	case DiskEmpty:
		a.truth.storageLost = true
		a.kill(true)
		d.restoreImage(nil)
	case ClockJump:
		w.clocksRight = false
		a.skew = [...]time.Duration{time.Hour, -time.Hour, 10 * 365 * 24 * time.Hour, rng.between(span{-10 * time.Minute, 10 * time.Minute})}[s.N%4]
		w.after(s.For, "clock is right", func() { a.skew = 0 })
	case ClockLost:
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
		w.after(s.For, "db has room", func() { w.dbFull = false })
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

// maxPartitions bounds how often topics grow.
const maxPartitions = 6

// afterUnlessHealed does some harm in a while, unless everything was healed before.
func (w *World) afterUnlessHealed(d time.Duration, tag string, do func()) {
	w.after(d, tag, func() {
		if !w.healed {
			do()
		}
	})
}

// kill ends the process of a charging point, if there is one.
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

func (w *World) stopKafka(s Step, lose int, replaced bool) {
	w.kafka.kill(lose, replaced)
	w.after(s.For, "kafka starts", w.kafka.start)
}

// lines are all ways that can be cut.
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
// another order.
func (w *World) cutLines(s Step, rng random) {
	lines := w.lines()
	n := 1 + s.N%len(lines)
	cut := rng.Perm(len(lines))[:n]
	heal := rng.Perm(n)
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

func (l *line) setCutDirections(dirs int, on bool) {
	if dirs&1 != 0 {
		l.setCut(up, on)
	}
	if dirs&2 != 0 {
		l.setCut(down, on)
	}
}

// noise makes a line lose, double and reorder for a while.
func (w *World) noise(s Step, rng random) {
	lines := w.lines()
	l := lines[s.N%len(lines)]
	drop, double, reorder := l.drop, l.duplicate, l.reorder
	l.drop, l.duplicate, l.reorder = rng.IntN(300), rng.IntN(300), rng.IntN(500)
	w.afterUnlessHealed(s.For, "quiet "+l.name, func() { l.drop, l.duplicate, l.reorder = drop, double, reorder })
}

// restore kills Central and starts it on a copy of its database that was made a
// while ago.
func (w *World) restore(s Step) {
	c := w.activeCentral()
	if c == nil {
		return
	}
	copied := c.db.backup()
	w.after(s.For, "central restored", func() {
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

// startSecondCentral starts another Central on a copy of the database while the first one
// runs; the first one is switched off later.
func (w *World) startSecondCentral(s Step, rng random) {
	old := w.activeCentral()
	if old == nil || len(w.centrals) > 6 {
		return
	}
	x := newCentral(w, fmt.Sprint("central", len(w.centrals)), old.db.backup())
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

// twins starts two Centrals at once on copies of one backup, in place of the one
// that runs; one of them is switched off later.
func (w *World) twins(s Step, rng random) {
	old := w.activeCentral()
	if old == nil || len(w.centrals) > 6 {
		return
	}
	copied := old.db.backup()
	w.afterUnlessHealed(s.For/2, "central restored twice", func() {
		if old.retired || old != w.centrals[len(w.centrals)-1] {
			return
		}
		old.retired = true
		old.stop()
		w.answersMayDiffer, w.restored = true, true
		takeOver := rng.IntN(2) == 0
		var both []*central
		for range 2 {
			x := newCentral(w, fmt.Sprint("central", len(w.centrals)), copied.backup())
			x.skipsWait = takeOver
			w.centrals, both = append(w.centrals, x), append(both, x)
			x.launch(0)
		}
		w.after(s.For, "one of two off", func() {
			both[0].retired = true
			both[0].stop()
		})
	})
}

// daysAhead sets clocks days ahead, and right again.
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

// acceptHighEpoch has an agent obey an epoch that no Central here ever had: that of a
// copy, of an earlier version with a clock of 2099, or of a fault.
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
	b.state.Position.Central = charge.Highest(b.state.Position.Central, high)
	b.maybePresence()
}

// poison says what cannot be used, at the head of everything.
func (w *World) poison(a *agent, s Step) {
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
		w.kafka.append(wire.TopicDriverEvents, message{key: "nobody", value: raw, receivedAt: w.wall()})
	}
}
