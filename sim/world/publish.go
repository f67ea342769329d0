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

// pendingRecord is a record that waits for Kafka.
type pendingRecord struct {
	topic string
	m     message
	// Called when Kafka's acknowledgement arrives.
	done func()
}

// partitionQueue holds the records for one partition. One of them is in flight at
// a time, so that a retry cannot overtake a later record.
type partitionQueue struct {
	queue []*pendingRecord
	busy  bool
}

// scheduleAck schedules an acknowledgement of a journal, as soon as the charging
// point may get one. A later call replaces the journal of one that is scheduled.
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
	r.after(p.pace.Free(r.w.now)-r.w.now, "ack", func() {
		if r.committing { // not during a commit: the state would be ahead of the database
			r.after(time.Millisecond, "ack", func() { r.sendAck(cp) })
			return
		}
		r.sendAck(cp)
	})
}

// sendAck publishes the acknowledgement of what the database holds.
func (r *centralRun) sendAck(id charge.CPID) {
	p := r.ackPacers[id]
	if p == nil || !p.scheduled {
		return
	}
	// Another transaction may have started since.
	if r.committing && !r.w.bug(BugAckBeforeCommit) {
		r.after(time.Millisecond, "ack", func() { r.sendAck(id) })
		return
	}
	p.scheduled = false
	p.pace.Sent(r.w.now)
	cp := r.cps[id]
	if cp == nil || !r.active() {
		return
	}
	// From rows, not from memory: only what is committed is acknowledged.
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

// publishCommand publishes a command after its commit.
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

// publish sends a message once. It may be lost: acknowledgements, commands and
// heartbeats are sent again by those that need them. done is called if Kafka
// acknowledged it.
func (r *centralRun) publish(topic, key, kind string, raw []byte, done func()) {
	// The epoch at the time of publishing, even if it is raised before Kafka answers.
	by := r.epoch
	r.central.line.call("publish "+kind, func() bool {
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

// publishOutbox queues the new rows of the outbox, which must not be lost: in their
// order, and one in flight per partition.
func (r *centralRun) publishOutbox() {
	if !r.active() {
		return
	}
	for i := range r.central.db.outbox {
		o := r.central.db.outbox[i]
		// It is queued already, and stays in the outbox until Kafka's answer is
		// committed.
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

// confirmOutbox collects rows that Kafka has, and deletes them together.
func (r *centralRun) confirmOutbox(id int64) {
	r.published = append(r.published, id)
	// The first of a group schedules the deletion of all that follow within outboxGap.
	if len(r.published) == 1 {
		r.after(outboxGap, "outbox published", func() {
			ids := r.published
			r.published = nil
			r.submit(outboxInput{ids})
		})
	}
}

// produceNext sends the first row of a queue, and retries it until Kafka
// acknowledges it.
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
		r.w.checkBilledAgain(&l.m)
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

// heartbeat publishes that this Central is active, and updates the liveness of all
// charging points.
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
		// The page is checked as often as a heartbeat is published.
		r.w.checkShown(r)
		m := wire.CentralAlive{V: wire.Version, Central: r.epoch, At: r.central.now()}
		raw, err := m.Encode()
		if err != nil {
			r.w.violated("shell", "heartbeat cannot be encoded: %v", err)
			return
		}
		r.publish(wire.TopicMonitor, "central", wire.KindValueCentralAlive, raw, nil)
	}
	r.after(heartbeatInterval, "central heartbeat", r.heartbeat)
}

// silentAfter is how long a charging point may be silent during a session.
const silentAfter = 5 * time.Minute

// livenessTable is when each charging point was last received, in memory, as
// ingest.Live keeps it. A restart begins with an empty table.
type livenessTable struct {
	// Freshness of the path from the charging points to here.
	pipeline  ledger.Pipeline
	points    map[charge.CPID]*pointLiveness
	updatedAt charge.Time
}

// pointLiveness is what is known of one charging point.
type pointLiveness struct {
	receivedAt charge.Time   // of the last message
	interval   time.Duration // of its telemetry; 0: not known yet
	// Of its last will, if no message followed; 0: none.
	willAt charge.Time
	known  ledger.Liveness // the last result that was not unknown
	link   ledger.Liveness // the last result
}

// point returns the entry of a charging point.
func (l *livenessTable) point(id charge.CPID) *pointLiveness {
	p := l.points[id]
	if p == nil {
		p = &pointLiveness{}
		l.points[id] = p
	}
	return p
}

// received notes a message.
func (l *livenessTable) received(id charge.CPID, at charge.Time) {
	p := l.point(id)
	p.receivedAt = max(p.receivedAt, at)
}

// telemetry notes a telemetry message, and the interval that it announces.
func (l *livenessTable) telemetry(id charge.CPID, interval time.Duration, at charge.Time) {
	p := l.point(id)
	p.receivedAt, p.interval = max(p.receivedAt, at), interval
}

// presence notes a presence or a last will.
func (l *livenessTable) presence(id charge.CPID, online bool, at charge.Time) {
	p := l.point(id)
	p.willAt = 0
	if !online {
		p.willAt = at
	}
}

// bridgeHeartbeat notes a heartbeat of the bridge, unless it is older than the last.
func (l *livenessTable) bridgeHeartbeat(mqttUp bool, since, at, now charge.Time) {
	if at >= l.pipeline.LastHeartbeat() {
		l.pipeline.BridgeHeartbeat(mqttUp, since, at)
		l.pipeline.Refresh(now)
	}
}

// evaluate decides whether a charging point is online, offline or unknown, and since when.
func (l *livenessTable) evaluate(p *pointLiveness, now charge.Time) (ledger.Liveness, charge.Time) {
	s := ledger.Contact{LastSeenAt: p.receivedAt, Interval: p.interval}
	// A will that is older than the last message is of an earlier connection.
	if p.willAt != 0 && p.willAt >= p.receivedAt {
		s.WillAt = p.willAt
	}
	if s.Interval == 0 {
		s.Interval = 5 * time.Minute // not announced yet; the product's first telemetry comes within a second
	}
	return l.pipeline.Liveness(s, p.known, now)
}

// of returns the liveness of a charging point, and since when.
func (l *livenessTable) of(id charge.CPID, now charge.Time) (ledger.Liveness, charge.Time) {
	p := l.points[id]
	if p == nil {
		return ledger.Unknown, l.pipeline.Started
	}
	return l.evaluate(p, now)
}

// update evaluates all charging points, and returns those that are back online and
// those that have been offline for silentAfter. After a clock that went back all
// times are limited to now.
func (l *livenessTable) update(now charge.Time) (back []charge.CPID, silent []silentInput) {
	if now < l.updatedAt {
		// Times in the future would make everything look alive until the clock gets
		// there.
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

// sortedKeys returns the keys of a map in their order, so that loops over maps are
// deterministic.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
