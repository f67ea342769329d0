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

// scheduleAck answers a charging point: at once, then at most ten times a second.
func (r *centralRun) scheduleAck(cp charge.CPID, j charge.JournalID) {
	if !r.active() {
		return
	}
	p := r.ackPacers[cp]
	if p == nil {
		p = &ackPacer{}
		r.ackPacers[cp] = p
	}
	p.journal = j
	if p.scheduled {
		return
	}
	p.scheduled = true
	wait := time.Duration(0)
	if p.sent != 0 {
		wait = max(p.sent.Add(ackGap).Sub(r.central.now()), 0)
	}
	r.after(min(wait, ackGap), "ack", func() {
		if r.committing { // between transactions only, so that the state is that of the database
			r.after(time.Millisecond, "ack", func() { r.sendAck(cp) })
			return
		}
		r.sendAck(cp)
	})
}

func (r *centralRun) sendAck(id charge.CPID) {
	p := r.ackPacers[id]
	if p == nil || !p.scheduled {
		return
	}
	if r.committing && !r.w.bug(BugAckBeforeCommit) {
		r.after(time.Millisecond, "ack", func() { r.sendAck(id) })
		return
	}
	p.scheduled, p.sent = false, r.central.now()
	cp := r.cps[id]
	if cp == nil || !r.active() {
		return
	}
	ack := ledger.AckFor(cp, &ledger.Env{Journal: func(j charge.JournalID) (ledger.Journal, bool) {
		row, ok := r.central.db.journals[journalKey{id, j}]
		return row, ok
	}}, p.journal)
	ack.Central, ack.At = cp.Epoch(r.epoch), r.central.now()
	r.checkAcking(id, &ack)
	raw, err := ack.Encode()
	if err != nil {
		r.w.violated("shell", "acknowledgement cannot be encoded: %v", err)
		return
	}
	r.publish(wire.TopicCommands, string(id), wire.KindValueAck, raw, nil)
}

// publishCommand says a command after its commit.
func (r *centralRun) publishCommand(c *wire.Command) {
	raw, err := c.Encode()
	if err != nil {
		r.w.violated("shell", "command cannot be encoded: %v", err)
		return
	}
	r.w.stats.CommandsSent++
	r.w.sentAt[c.ID] = r.w.now
	r.publish(wire.TopicCommands, string(c.CPID), wire.KindValueCommand, raw, func() { r.submit(commandSentInput{c.CPID, c.ID}) })
}

// publish sends what may be lost.
func (r *centralRun) publish(topic, key, kind string, raw []byte, done func()) {
	by := r.epoch
	r.central.line.call("say "+kind, func() bool {
		if r.w.kafka.refuses(r.central.skew) {
			return false
		}
		r.checkFenced(kind)
		r.w.kafka.append(topic, message{key: key, kind: kind, central: by, value: raw, receivedAt: r.w.wall()})
		return true
	}, func(ok bool) {
		if ok && done != nil && r.alive() {
			done()
		}
	})
}

// publishOutbox says the rows of the outbox in their order, one under way per
// partition, until Kafka has them.
func (r *centralRun) publishOutbox() {
	if !r.active() {
		return
	}
	for i := range r.central.db.outbox {
		o := r.central.db.outbox[i]
		if r.inFlight[o.id] {
			continue
		}
		r.inFlight[o.id] = true
		p := r.w.kafka.partitionOf(o.topic, o.key)
		if r.queues[p] == nil {
			r.queues[p] = &partitionQueue{}
		}
		r.queues[p].queue = append(r.queues[p].queue, &pendingRecord{
			topic: o.topic, m: message{key: o.key, value: o.value, receivedAt: r.w.wall()}, done: func() { r.confirmOutbox(o.id) },
		})
		r.produceNext(r.queues[p])
	}
}

func (r *centralRun) confirmOutbox(id int64) {
	r.published = append(r.published, id)
	if len(r.published) == 1 {
		r.after(ackGap, "outbox said", func() {
			ids := r.published
			r.published = nil
			r.submit(outboxInput{ids})
		})
	}
}

func (r *centralRun) produceNext(q *partitionQueue) {
	if q.busy || len(q.queue) == 0 {
		return
	}
	q.busy = true
	l := q.queue[0]
	r.central.line.call("outbox", func() bool {
		if r.w.kafka.refuses(r.central.skew) {
			return false
		}
		r.w.kafka.append(l.topic, l.m)
		return true
	}, func(ok bool) {
		switch {
		case !r.alive():
		case !ok:
			r.w.kafka.retry(r.central.rng, func() {
				if r.alive() {
					q.busy = false
					r.produceNext(q)
				}
			})
		default:
			q.queue, q.busy = q.queue[1:], false
			l.done()
			r.produceNext(q)
		}
	})
}

// heartbeat says that this Central lives, and looks who came back.
func (r *centralRun) heartbeat() {
	back, silent := r.live.update(r.central.now())
	for _, cp := range back {
		r.submit(backOnlineInput{cp})
	}
	for _, in := range silent {
		if cp := r.cps[in.cp]; r.active() && cp != nil && cp.SilentSince == 0 && cp.HasOpenSession() {
			r.submit(in)
		}
	}
	if r.active() {
		r.w.checkShown(r)
		m := wire.CentralAlive{V: wire.Version, Central: r.epoch, At: r.central.now()}
		raw, err := m.Encode()
		if err != nil {
			r.w.violated("shell", "sign of life cannot be encoded: %v", err)
			return
		}
		r.publish(wire.TopicMonitor, "central", wire.KindValueCentralAlive, raw, nil)
	}
	r.after(heartbeatInterval, "central lives", r.heartbeat)
}

// silentAfter is how long a charging point may be silent during a session.
const silentAfter = 5 * time.Minute

// livenessTable is who was heard when, in memory, as ingest.Live keeps it.
type livenessTable struct {
	pipeline  ledger.Pipeline
	points    map[charge.CPID]*pointLiveness
	updatedAt charge.Time
}

type pointLiveness struct {
	receivedAt charge.Time
	interval   time.Duration
	willAt     charge.Time // a last will, and nothing after it
	known      ledger.Liveness
	link       ledger.Liveness
}

func (l *livenessTable) point(id charge.CPID) *pointLiveness {
	p := l.points[id]
	if p == nil {
		p = &pointLiveness{}
		l.points[id] = p
	}
	return p
}

func (l *livenessTable) received(id charge.CPID, at charge.Time) {
	p := l.point(id)
	p.receivedAt = max(p.receivedAt, at)
}

func (l *livenessTable) telemetry(id charge.CPID, interval time.Duration, at charge.Time) {
	p := l.point(id)
	p.receivedAt, p.interval = max(p.receivedAt, at), interval
}

func (l *livenessTable) presence(id charge.CPID, online bool, at charge.Time) {
	p := l.point(id)
	p.willAt = 0
	if !online {
		p.willAt = at
	}
}

func (l *livenessTable) bridgeHeartbeat(mqttUp bool, since, at, now charge.Time) {
	if at >= l.pipeline.LastHeartbeat() {
		l.pipeline.BridgeHeartbeat(mqttUp, since, at)
		l.pipeline.Refresh(now)
	}
}

func (l *livenessTable) evaluate(p *pointLiveness, now charge.Time) (ledger.Liveness, charge.Time) {
	s := ledger.Contact{LastSeenAt: p.receivedAt, Interval: p.interval}
	if p.willAt != 0 && p.willAt >= p.receivedAt {
		s.WillAt = p.willAt
	}
	if s.Interval == 0 {
		s.Interval = 5 * time.Minute // not heard yet; the product's comes within a second
	}
	return l.pipeline.Liveness(s, p.known, now)
}

func (l *livenessTable) of(id charge.CPID, now charge.Time) (ledger.Liveness, charge.Time) {
	p := l.points[id]
	if p == nil {
		return ledger.Unknown, l.pipeline.Started
	}
	return l.evaluate(p, now)
}

// update judges all links and returns those charging points that are back.
func (l *livenessTable) update(now charge.Time) (back []charge.CPID, silent []silentInput) {
	if now < l.updatedAt {
		l.pipeline.ClockSetBack(now)
		for _, p := range l.points {
			p.receivedAt, p.willAt = min(p.receivedAt, now), min(p.willAt, now)
		}
	}
	l.updatedAt = now
	l.pipeline.Refresh(now)
	for _, id := range sortedKeys(l.points) {
		p := l.points[id]
		link, since := l.evaluate(p, now)
		switch {
		case link != p.link && link == ledger.Online:
			back = append(back, id)
		case link == ledger.Offline && now >= since.Add(silentAfter):
			silent = append(silent, silentInput{id, since})
		}
		if p.link = link; link != ledger.Unknown {
			p.known = link
		}
	}
	return back, silent
}

// sortedKeys are the keys of a map in their order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
