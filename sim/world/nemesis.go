package world

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// harm is what goes wrong. Each fault ends by itself, and with the heal.
func (w *World) harm(s Step, c chance) {
	a := w.points[s.Who%len(w.points)]
	d := a.disk
	w.stats.fault(s.Kind)
	switch s.Kind { //nolint:exhaustive // the others are done by hands
	case KillAgent:
		a.kill(false)
	case PowerCut:
		a.kill(true)
	case KillAtOp, PowerAtOp:
		d.killAt, d.power = d.ops+1+int64(s.N%60), s.Kind == PowerAtOp
	case PowerFlicker:
		for i := range 15 {
			w.after(time.Duration(i)*c.in(span{100 * time.Millisecond, 2 * time.Second}), "flicker", func() {
				a.kill(true)
				a.launch(c.in(span{0, 500 * time.Millisecond}))
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
			x.killAtCommit = func(u *unit) bool { return topic == "" || u.reads(topic) }
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
		w.kafka.retain(c.in(span{10 * time.Minute, 3 * time.Hour}))
	case GrowKafka:
		if w.kafka.parts < mostPartitions {
			w.kafka.grow()
		}
	case Clog:
		w.clog(s, c)
	case Noise:
		w.noise(s, c)
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
	case DiskLies:
		d.lying = true
		a.known.storageLost = true
		w.later(s.For, "the lie comes out", func() {
			a.kill(true)
			d.lying = false
		})
	case DiskBack:
		image := d.image()
		a.known.storageLost = true
		w.later(s.For, "storage set back", func() {
			a.kill(true)
			d.put(image)
		})
	case DiskEmpty:
		a.known.storageLost = true
		a.kill(true)
		d.put(nil)
	case ClockJump:
		w.honest = false
		a.skew = [...]time.Duration{time.Hour, -time.Hour, 10 * 365 * 24 * time.Hour, c.in(span{-10 * time.Minute, 10 * time.Minute})}[s.N%4]
		w.after(s.For, "clock is right", func() { a.skew = 0 })
	case ClockLost:
		w.honest = false
		a.quality = charge.ClockUnset
		a.kill(true)
		w.after(s.For, "clock is synced", func() { a.quality = charge.ClockSynced })
	case CentralClock:
		w.honest = false
		for _, x := range w.centrals {
			x.skew = c.in(span{-20 * time.Minute, 20 * time.Minute})
			w.after(s.For, "clock is right", func() { x.skew = 0 })
		}
	case DaysAhead:
		w.daysAhead(a, s, c)
	case HighEpoch:
		a.obeyHigh(s.N)
	case Twins:
		w.twins(s, c)
	case DBFull:
		w.dbFull = true
		w.after(s.For, "db has room", func() { w.dbFull = false })
	case Restore:
		w.restore(s)
	case TwoCentrals:
		w.second(s, c)
	case Poison:
		w.poison(a, s)
	case Liars:
		w.lie(s)
	case Strays:
		w.strays(a, c)
	}
}

// mostPartitions bounds how often topics grow.
const mostPartitions = 6

// later does some harm in a while, unless everything was healed before.
func (w *World) later(d time.Duration, tag string, do func()) {
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
		for _, o := range a.hw {
			o.set(false)
		}
	}
}

func (w *World) stopKafka(s Step, lose int, replaced bool) {
	w.kafka.kill(lose, replaced)
	w.after(s.For, "kafka starts", w.kafka.start)
}

// lines are all ways that can be cut.
func (w *World) lines() []*line {
	all := []*line{w.bridge.mqtt, w.bridge.kafka, w.crowd.line}
	for _, a := range w.points {
		all = append(all, a.line)
	}
	for _, c := range w.centrals {
		all = append(all, c.line)
	}
	return all
}

// clog cuts lines one by one, each in one direction or both, and heals them in
// another order.
func (w *World) clog(s Step, c chance) {
	lines := w.lines()
	n := 1 + s.N%len(lines)
	cut := c.Perm(len(lines))[:n]
	heal := c.Perm(n)
	step := s.For/time.Duration(2*n) + time.Millisecond
	for i, k := range cut {
		l, dirs := lines[k], 1+c.IntN(3)
		w.later(time.Duration(i)*step, "clog "+l.name, func() { l.clogDirs(dirs, true) })
	}
	for i, k := range heal {
		l := lines[cut[k]]
		w.after(time.Duration(n+i)*step, "unclog "+l.name, func() { l.clogDirs(3, false) })
	}
}

func (l *line) clogDirs(dirs int, on bool) {
	if dirs&1 != 0 {
		l.clog(up, on)
	}
	if dirs&2 != 0 {
		l.clog(down, on)
	}
}

// noise makes a line lose, double and reorder for a while.
func (w *World) noise(s Step, c chance) {
	lines := w.lines()
	l := lines[s.N%len(lines)]
	drop, double, reorder := l.drop, l.double, l.reorder
	l.drop, l.double, l.reorder = c.IntN(300), c.IntN(300), c.IntN(500)
	w.later(s.For, "quiet "+l.name, func() { l.drop, l.double, l.reorder = drop, double, reorder })
}

// restore kills Central and starts it on a copy of its database that was made a
// while ago.
func (w *World) restore(s Step) {
	c := w.inCharge()
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
		c.launch(w.plan.restartOf(c.c))
	})
}

// second starts another Central on a copy of the database while the first one
// runs; the first one is switched off later.
func (w *World) second(s Step, c chance) {
	old := w.inCharge()
	if old == nil || len(w.centrals) > 6 {
		return
	}
	x := newCentral(w, fmt.Sprint("central", len(w.centrals)), old.db.backup())
	x.takeOver = c.IntN(2) == 0
	w.restored = true
	w.forgetful = true
	w.centrals = append(w.centrals, x)
	x.launch(0)
	w.after(s.For, "old central off", func() {
		old.retired = true
		old.stop()
	})
}

// twins starts two Centrals at once on copies of one backup, in place of the one
// that runs; one of them is switched off later.
func (w *World) twins(s Step, c chance) {
	old := w.inCharge()
	if old == nil || len(w.centrals) > 6 {
		return
	}
	copied := old.db.backup()
	w.later(s.For/2, "central restored twice", func() {
		if old.retired || old != w.centrals[len(w.centrals)-1] {
			return
		}
		old.retired = true
		old.stop()
		w.forgetful, w.restored = true, true
		takeOver := c.IntN(2) == 0
		var both []*central
		for range 2 {
			x := newCentral(w, fmt.Sprint("central", len(w.centrals)), copied.backup())
			x.takeOver = takeOver
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
func (w *World) daysAhead(a *agent, s Step, c chance) {
	w.honest = false
	ahead := c.in(span{24 * time.Hour, 60 * 24 * time.Hour})
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

// obeyHigh has an agent obey an epoch that no Central here ever had: that of a
// copy, of an earlier version with a clock of 2099, or of a fault.
func (a *agent) obeyHigh(n int) {
	b := a.run
	if b == nil || !b.ready {
		return
	}
	high := [...]charge.Epoch{
		{Run: "03b3d6f8-0c00-7000-8000-000000000001"},
		{Number: firstNumber + uint64(n%1000), Run: "ffffffffffffffff"},
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
		w.mqtt.accept(note{topic: w.mqtt.topics.Of(a.id, wire.KindEvent), raw: raw, qos: 1})
	case 1:
		w.mqtt.accept(note{topic: "cp/" + string(a.id) + "/up/song", raw: raw, qos: 1})
	default:
		w.kafka.append(wire.TopicEvents, message{key: string(a.id), value: raw, receivedAt: w.wall()})
		w.kafka.append(wire.TopicCommands, message{key: string(a.id), kind: wire.KindValueCommand, value: raw, receivedAt: w.wall()})
		w.kafka.append(wire.TopicDriverEvents, message{key: "nobody", value: raw, receivedAt: w.wall()})
	}
}
