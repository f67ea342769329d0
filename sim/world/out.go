package world

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// wantAck answers a charging point: at once, then at most ten times a second.
func (r *reign) wantAck(cp charge.CPID, j charge.JournalID) {
	if !r.active() {
		return
	}
	p := r.pacer[cp]
	if p == nil {
		p = &pace{}
		r.pacer[cp] = p
	}
	p.journal = j
	if p.waits {
		return
	}
	p.waits = true
	wait := time.Duration(0)
	if p.sent != 0 {
		wait = max(p.sent.Add(ackGap).Sub(r.c.now()), 0)
	}
	r.after(min(wait, ackGap), "ack", func() {
		if r.busy { // between transactions only, so that the state is that of the database
			r.after(time.Millisecond, "ack", func() { r.ackNow(cp) })
			return
		}
		r.ackNow(cp)
	})
}

func (r *reign) ackNow(id charge.CPID) {
	p := r.pacer[id]
	if p == nil || !p.waits {
		return
	}
	if r.busy && !r.w.bug(BugAckBeforeCommit) {
		r.after(time.Millisecond, "ack", func() { r.ackNow(id) })
		return
	}
	p.waits, p.sent = false, r.c.now()
	cp := r.cps[id]
	if cp == nil || !r.active() {
		return
	}
	ack := ledger.Answer(cp, &ledger.Env{Journal: func(j charge.JournalID) (ledger.Journal, bool) {
		row, ok := r.c.db.journals[journalKey{id, j}]
		return row, ok
	}}, p.journal)
	ack.Central, ack.At = cp.Epoch(r.self), r.c.now()
	r.checkAcking(id, &ack)
	raw, err := ack.Encode()
	if err != nil {
		r.w.object("shell", "acknowledgement cannot be encoded: %v", err)
		return
	}
	r.say(wire.TopicCommands, string(id), wire.KindValueAck, raw, nil)
}

// send says a command after its commit.
func (r *reign) send(c *wire.Command) {
	raw, err := c.Encode()
	if err != nil {
		r.w.object("shell", "command cannot be encoded: %v", err)
		return
	}
	r.w.stats.CommandsSent++
	r.w.sentAt[c.ID] = r.w.now
	r.say(wire.TopicCommands, string(c.CPID), wire.KindValueCommand, raw, func() { r.give(sentIn{c.CPID, c.ID}) })
}

// say sends what may be lost.
func (r *reign) say(topic, key, kind string, raw []byte, done func()) {
	by := r.self
	r.c.line.call("say "+kind, func() bool {
		if r.w.kafka.refuses(r.c.skew) {
			return false
		}
		r.checkFenced(kind)
		r.w.kafka.append(topic, message{key: key, kind: kind, central: by, value: raw, receivedAt: r.w.wall()})
		return true
	}, func(ok bool) {
		if ok && done != nil && r.lives() {
			done()
		}
	})
}

// drain says the rows of the outbox in their order, one under way per
// partition, until Kafka has them.
func (r *reign) drain() {
	if !r.active() {
		return
	}
	for i := range r.c.db.outbox {
		o := r.c.db.outbox[i]
		if r.flying[o.id] {
			continue
		}
		r.flying[o.id] = true
		p := r.w.kafka.partition(o.topic, o.key)
		if r.lanes[p] == nil {
			r.lanes[p] = &lane{}
		}
		r.lanes[p].queue = append(r.lanes[p].queue, &load{
			topic: o.topic, m: message{key: o.key, value: o.value, receivedAt: r.w.wall()}, done: func() { r.confirm(o.id) },
		})
		r.pump(r.lanes[p])
	}
}

func (r *reign) confirm(id int64) {
	r.said = append(r.said, id)
	if len(r.said) == 1 {
		r.after(ackGap, "outbox said", func() {
			ids := r.said
			r.said = nil
			r.give(toldIn{ids})
		})
	}
}

func (r *reign) pump(n *lane) {
	if n.busy || len(n.queue) == 0 {
		return
	}
	n.busy = true
	l := n.queue[0]
	r.c.line.call("outbox", func() bool {
		if r.w.kafka.refuses(r.c.skew) {
			return false
		}
		r.w.kafka.append(l.topic, l.m)
		return true
	}, func(ok bool) {
		switch {
		case !r.lives():
		case !ok:
			r.w.kafka.retry(r.c.c, func() {
				if r.lives() {
					n.busy = false
					r.pump(n)
				}
			})
		default:
			n.queue, n.busy = n.queue[1:], false
			l.done()
			r.pump(n)
		}
	})
}

// pulse says that this Central lives, and looks who came back.
func (r *reign) pulse() {
	back, silent := r.live.pulse(r.c.now())
	for _, cp := range back {
		r.give(backIn{cp})
	}
	for _, in := range silent {
		if cp := r.cps[in.cp]; r.active() && cp != nil && cp.SilentAt == 0 && cp.Charges() {
			r.give(in)
		}
	}
	if r.active() {
		r.w.checkShown(r)
		m := wire.CentralAlive{V: wire.Version, Central: r.self, At: r.c.now()}
		raw, err := m.Encode()
		if err != nil {
			r.w.object("shell", "sign of life cannot be encoded: %v", err)
			return
		}
		r.say(wire.TopicMonitor, "central", wire.KindValueCentralAlive, raw, nil)
	}
	r.after(aliveEvery, "central lives", r.pulse)
}

// silentAfter is how long a charging point may be silent during a session.
const silentAfter = 5 * time.Minute

// live is who was heard when, in memory, as ingest.Live keeps it.
type live struct {
	way    ledger.Way
	points map[charge.CPID]*livePoint
	pulsed charge.Time
}

type livePoint struct {
	heard    charge.Time
	interval time.Duration
	gone     charge.Time // a last will, and nothing after it
	known    ledger.Liveness
	link     ledger.Liveness
}

func (l *live) point(id charge.CPID) *livePoint {
	p := l.points[id]
	if p == nil {
		p = &livePoint{}
		l.points[id] = p
	}
	return p
}

func (l *live) hearPoint(id charge.CPID, at charge.Time) {
	p := l.point(id)
	p.heard = max(p.heard, at)
}

func (l *live) telemetry(id charge.CPID, interval time.Duration, at charge.Time) {
	p := l.point(id)
	p.heard, p.interval = max(p.heard, at), interval
}

func (l *live) presence(id charge.CPID, online bool, at charge.Time) {
	p := l.point(id)
	p.gone = 0
	if !online {
		p.gone = at
	}
}

func (l *live) hearBridge(mqttUp bool, since, at, now charge.Time) {
	if at >= l.way.HeardAt() {
		l.way.Heard(mqttUp, since, at)
		l.way.Watch(now)
	}
}

func (l *live) judge(p *livePoint, now charge.Time) (ledger.Liveness, charge.Time) {
	s := ledger.Signs{HeardAt: p.heard, Interval: p.interval}
	if p.gone != 0 && p.gone >= p.heard {
		s.GoneAt = p.gone
	}
	if s.Interval == 0 {
		s.Interval = 5 * time.Minute // not heard yet; the product's comes within a second
	}
	return l.way.Live(s, p.known, now)
}

func (l *live) liveness(id charge.CPID, now charge.Time) (ledger.Liveness, charge.Time) {
	p := l.points[id]
	if p == nil {
		return ledger.Unknown, l.way.Started
	}
	return l.judge(p, now)
}

// pulse judges all links and returns those charging points that are back.
func (l *live) pulse(now charge.Time) (back []charge.CPID, silent []silentIn) {
	if now < l.pulsed {
		l.way.SetBack(now)
		for _, p := range l.points {
			p.heard, p.gone = min(p.heard, now), min(p.gone, now)
		}
	}
	l.pulsed = now
	l.way.Watch(now)
	for _, id := range sortedKeys(l.points) {
		p := l.points[id]
		link, since := l.judge(p, now)
		switch {
		case link != p.link && link == ledger.Online:
			back = append(back, id)
		case link == ledger.Offline && now >= since.Add(silentAfter):
			silent = append(silent, silentIn{id, since})
		}
		if p.link = link; link != ledger.Unknown {
			p.known = link
		}
	}
	return back, silent
}

// sortedKeys are the keys of a map in their order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
