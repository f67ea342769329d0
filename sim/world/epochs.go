package world

import (
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// This file is one Central beside others: which epoch it has, when it becomes
// active, and when a later Central fences it. It follows central/internal/ingest
// (epoch.go) and central/app (others.go).

// writtenBy is the epoch of the Central that wrote a message; zero if none did.
func (m *message) writtenBy() charge.Epoch {
	return wire.WriterEpoch(m.kind, []byte(m.central.String()), m.value)
}

// raiseEpoch starts a new epoch, above the present one, the one in the database, and
// read, one that was read from Kafka. The state is loaded again for it.
func (r *centralRun) raiseEpoch(read charge.Epoch) {
	// A restored database has an old epoch; what was read from Kafka corrects it.
	number := max(r.central.db.epoch.Number, read.Number, r.epoch.Number, firstEpochNumber) + 1
	r.epoch = charge.Epoch{Number: min(number, charge.MaxEpochNumber), Run: r.runID}
	r.central.db.epoch = r.epoch
	// The epoch is durable before anything is published in it.
	r.w.checkRise(r)
	r.load()
}

// scout reads what Centrals published lately, and waits until no other one is
// active. Then this Central becomes active itself.
func (r *centralRun) scout() {
	s := &scouting{run: r, unread: map[partition]bool{}}
	for _, topic := range []string{wire.TopicMonitor, wire.TopicCommands} {
		r.w.kafka.eachPartition(func() bool { return r.alive() && !r.joined }, func(n int, added bool) {
			p := partition{topic, n}
			if !added { // a new partition has no past
				s.unread[p] = true
			}
			r.scouts = append(r.scouts, r.w.kafka.read(r.central.line, p, fromLast, s.read))
		})
	}
	s.watch()
}

// fromLast starts a reader lookBack records before the end.
func fromLast(l *partitionLog) cursor { return cursor{next: max(l.base, l.end()-lookBack)} }

// scouting is what a Central learns of the others before it becomes active.
type scouting struct {
	run *centralRun
	// Partitions not read up to their initial end.
	unread map[partition]bool
	// When the last of them was read; 0: not yet.
	allReadAt time.Duration
	highest   charge.Epoch // that any message names
	// A Central's heartbeat is in the log of before.
	heartbeatBefore bool
	// Of a heartbeat that came meanwhile; zero for none.
	other   charge.Epoch
	otherAt time.Duration // when it came
}

// read notes the epochs of a batch.
func (s *scouting) read(b batch, done func(bool)) {
	r := s.run
	if !r.alive() {
		return
	}
	for i := range b.messages {
		m := b.messages[i]
		id := m.writtenBy()
		// Acknowledgements and commands carry the epoch of their Central too.
		s.highest = charge.Highest(s.highest, id)
		switch {
		case m.kind != wire.KindValueCentralAlive:
		case b.first+int64(i) < b.initialEnd:
			s.heartbeatBefore = true
		default:
			s.other, s.otherAt = id, r.w.now
		}
	}
	done(true)
}

// watch checks every half second whether everything is read and no other is active.
func (s *scouting) watch() {
	r := s.run
	for _, x := range r.scouts {
		if s.unread[x.partition] && x.caughtUp() {
			delete(s.unread, x.partition)
		}
	}
	if len(s.unread) == 0 {
		if s.allReadAt == 0 {
			s.allReadAt = r.w.now
		}
		// All that was there is read, so the own epoch can be raised above it.
		if s.quiet() {
			for _, x := range r.scouts {
				x.stop()
			}
			r.scouts = nil
			r.activate(s.highest)
			return
		}
	}
	r.after(500*time.Millisecond, "scout", s.watch)
}

// quiet reports whether no other Central is active: none ever was, or it has been
// silent for long enough. A heartbeat in the past proves nothing until listenWindow
// has passed without another.
func (s *scouting) quiet() bool {
	now := s.run.w.now
	switch {
	case s.run.central.skipsWait:
		return true
	case !s.other.IsZero():
		return now >= s.otherAt+takeoverSilence
	case !s.heartbeatBefore:
		return true
	}
	return now >= s.allReadAt+listenWindow
}

// activate makes this Central active, and starts its readers: from the committed
// offsets what it has to process, from the end what other Centrals publish and
// what is only of the moment. read is the highest epoch that scouting read.
func (r *centralRun) activate(read charge.Epoch) {
	if r.epoch.Less(read) && r.plausible(read) {
		r.scheduleRaise(read, 0)
	}
	if !r.orders.FencedBy().IsZero() {
		r.applyFence()
		if r.central.skipsWait {
			r.submit(&operatorInput{ask: orders.OperatorLiftFence{}, answer: func(orders.Reply) {}})
		}
	}
	r.joined = true
	r.activityChanged()
	r.maybeRaise()
	r.acknowledgeAll()
	r.readCommitted(wire.TopicMonitor)
	r.afterPublished(r.readCommitted(wire.TopicCentralEvents))
	r.w.kafka.eachPartition(r.alive, func(n int, added bool) {
		begin := fromEnd
		if added { // everything in a new partition is new
			begin = fromFirst
		}
		for _, topic := range []string{wire.TopicCommands, wire.TopicMonitor} {
			r.readers = append(r.readers, r.w.kafka.read(r.central.line, partition{topic, n}, begin, r.readOthers))
		}
		r.readers = append(r.readers, r.w.kafka.read(r.central.line, partition{wire.TopicTelemetry, n}, begin, func(b batch, done func(bool)) {
			for i := range b.messages {
				if t, err := wire.DecodeTelemetry(b.messages[i].value); err == nil && r.alive() {
					r.live.telemetry(t.CPID, time.Duration(t.IntervalMS)*time.Millisecond, r.central.now())
				}
			}
			done(true)
		}))
	})
}

// readCommitted reads a topic from the committed offsets, and returns the readers.
func (r *centralRun) readCommitted(topic string) (all []*reader) {
	r.w.kafka.eachPartition(r.alive, func(n int, added bool) {
		if added && r.w.bug(BugAddedUnread) {
			return
		}
		p := partition{topic, n}
		at, known := r.central.db.offsets[p]
		x := r.w.kafka.read(r.central.line, p, func(l *partitionLog) cursor {
			if !known {
				return fromFirst(l)
			}
			return at
		}, r.acceptBatch)
		// The clock makes batch.after known, which drivers' requests need.
		x.ignoresReplaced, x.clock = r.w.bug(BugOffsetsBlind), r.central.now
		if r.readers = append(r.readers, x); !added {
			all = append(all, x)
		}
	})
	return all
}

// afterPublished starts to read records and drivers' requests once all that was
// published before is known: a restored Central must not bill again what an earlier
// one has billed, nor decide again what that one has answered.
func (r *centralRun) afterPublished(published []*reader) {
	for _, x := range published {
		if !x.caughtUp() {
			r.after(200*time.Millisecond, "published", func() { r.afterPublished(published) })
			return
		}
	}
	r.caughtUp = true
	r.readCommitted(wire.TopicEvents)
	r.readCommitted(wire.TopicDriverEvents)
	r.scheduleTick()
}

// fromEnd starts a reader at the end: only what is new.
func fromEnd(l *partitionLog) cursor { return cursor{next: l.end()} }

// fromFirst starts a reader at the first record there is.
func fromFirst(l *partitionLog) cursor { return cursor{next: l.base} }

// acknowledgeAll sends each charging point its position, so that agents learn of a
// new epoch, and of what a restored database lacks.
func (r *centralRun) acknowledgeAll() {
	if !r.active() {
		return
	}
	for _, id := range sortedKeys(r.cps) {
		cp := r.cps[id]
		journal := cp.CurrentJournal
		if cp.Next.Journal != "" {
			journal = cp.Next.Journal
		}
		if journal != "" {
			r.scheduleAck(id, journal)
		}
	}
}

// scheduleRaise schedules a new epoch above one of the past.
func (r *centralRun) scheduleRaise(past charge.Epoch, in time.Duration) {
	r.raisePending, r.raiseAbove, r.raiseAt = true, charge.Highest(r.raiseAbove, past), r.w.now+in
	r.after(in, "central raises its epoch", r.maybeRaise)
}

// maybeRaise raises the epoch if that is due, and no later Central has fenced this
// one meanwhile.
func (r *centralRun) maybeRaise() {
	// During a commit the state in memory cannot be loaded again; commit calls this at
	// its end.
	if !r.raisePending || r.raiseAt > r.w.now || r.committing {
		return
	}
	r.raisePending = false
	if !r.active() || r.raiseAbove.Less(r.epoch) {
		return
	}
	r.raiseEpoch(r.raiseAbove)
	r.acknowledgeAll()
}

// plausible reports whether an epoch may be that of a Central. A number far above
// the own is an error or an attack, and must not make this Central stop.
func (r *centralRun) plausible(id charge.Epoch) bool {
	return !id.IsZero() && id.Number <= r.epoch.Number+maxEpochStep
}

// observePastEpoch handles the epoch of a heartbeat that was in the log before: if
// that Central still runs, it will publish again within raiseDelay and fence this one.
func (r *centralRun) observePastEpoch(id charge.Epoch) {
	if r.epoch.Less(id) && r.raiseAbove.Less(id) && r.active() && r.plausible(id) {
		r.scheduleRaise(id, raiseDelay)
	}
}

// readOthers looks for messages of other Centrals.
func (r *centralRun) readOthers(b batch, done func(bool)) {
	for i := range b.messages {
		if id := b.messages[i].writtenBy(); !id.IsZero() && r.alive() {
			r.observeEpoch(id)
		}
	}
	done(true)
}

// observeEpoch handles an epoch that was published after this Central became
// active: a later Central fences this one at once, before that is committed.
func (r *centralRun) observeEpoch(id charge.Epoch) {
	if !r.epoch.Less(id) || !r.fencedBy.Less(id) || !r.plausible(id) || r.w.bug(BugNoFence) {
		return
	}
	// At once in memory, and by orders with the next commit.
	r.fence(id)
	r.after(0, "other central", func() { r.submit(otherCentralInput{id}) })
}

// active reports whether this Central reads, sends commands, acknowledges and bills.
func (r *centralRun) active() bool { return r.joined && r.fencedBy.IsZero() }

// fence sets the Central that fences this one, zero for none, and returns the
// previous one.
func (r *centralRun) fence(by charge.Epoch) (was charge.Epoch) {
	was, r.fencedBy = r.fencedBy, by
	if was.IsZero() != by.IsZero() {
		r.activityChanged()
	}
	return was
}

// activityChanged notes a change of active, from which the checks of S14 count.
func (r *centralRun) activityChanged() {
	r.activeSince = r.w.now
	r.w.mix("central active", nil)
	if !r.fencedBy.IsZero() {
		r.w.stats.Fenced++
	}
}

// applyFence applies what orders decided about the fence: a fenced Central sends no
// acknowledgement, and an operator may have lifted the fence.
func (r *centralRun) applyFence() {
	if by := r.orders.FencedBy(); !by.IsZero() {
		r.fence(by)
		r.raisePending = false
		clear(r.ackPacers)
	} else if was := r.fence(charge.Epoch{}); !was.IsZero() { // lifted: this Central has to be above the one that fenced it
		r.scheduleRaise(was, 0)
	}
}
