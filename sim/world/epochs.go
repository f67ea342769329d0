package world

import (
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// writtenBy is the epoch of the Central that wrote it; zero if none did.
func (m *message) writtenBy() charge.Epoch {
	return wire.WriterEpoch(m.kind, []byte(m.central.String()), m.value)
}

// What follows is the life of a Central beside other Centrals: the rules of
// central/internal/ingest (life.go) and of central/app (scout.go).

// raiseEpoch takes a new epoch, above the present one, that in the database, and one
// that was heard.
func (r *centralRun) raiseEpoch(heard charge.Epoch) {
	number := max(r.central.db.epoch.Number, heard.Number, r.epoch.Number, firstEpochNumber) + 1
	r.epoch = charge.Epoch{Number: min(number, charge.MaxEpochNumber), Run: r.runID}
	r.central.db.epoch = r.epoch
	r.w.checkRise(r)
	r.load()
}

// scout reads who spoke as Central lately, and waits until nobody else does.
func (r *centralRun) scout() {
	s := &scouting{run: r, unread: map[partition]bool{}}
	for _, topic := range []string{wire.TopicMonitor, wire.TopicCommands} {
		r.w.kafka.eachPartition(func() bool { return r.alive() && !r.joined }, func(n int, added bool) {
			p := partition{topic, n}
			if !added { // one that is added has nothing of before
				s.unread[p] = true
			}
			r.scouts = append(r.scouts, r.w.kafka.read(r.central.line, p, fromLast, s.read))
		})
	}
	s.watch()
}

// fromLast is some way before the end.
func fromLast(l *partitionLog) cursor { return cursor{next: max(l.base, l.end()-lookBack)} }

// scouting is what was heard while looking around.
type scouting struct {
	run             *centralRun
	unread          map[partition]bool // not read to the end that was seen
	allReadAt       time.Duration      // since when none is open; 0: not yet
	highest         charge.Epoch
	heartbeatBefore bool // a sign of life is in the log
	other           charge.Epoch
	otherAt         time.Duration
}

func (s *scouting) read(b batch, done func(bool)) {
	r := s.run
	if !r.alive() {
		return
	}
	for i := range b.messages {
		m := b.messages[i]
		id := m.writtenBy()
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

// watch looks again and again whether all was read and the others are silent.
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

// activate makes this Central active and opens its readers.
func (r *centralRun) activate(heard charge.Epoch) {
	if r.epoch.Less(heard) && r.plausible(heard) {
		r.scheduleRaise(heard, 0)
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
	r.readCommitted(wire.TopicEvents)
	r.afterAnswers(r.readCommitted(wire.TopicCentralEvents))
	r.w.kafka.eachPartition(r.alive, func(n int, added bool) {
		begin := fromEnd
		if added { // all in it is new
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
	r.scheduleTick()
}

// readCommitted reads a topic on from where the database says.
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
		x.ignoresReplaced, x.clock = r.w.bug(BugOffsetsBlind), r.central.now
		if r.readers = append(r.readers, x); !added {
			all = append(all, x)
		}
	})
	return all
}

// afterAnswers reads drivers' requests once the writer knows what drivers were
// answered before.
func (r *centralRun) afterAnswers(answers []*reader) {
	for _, x := range answers {
		if !x.caughtUp() {
			r.after(200*time.Millisecond, "answers", func() { r.afterAnswers(answers) })
			return
		}
	}
	r.readCommitted(wire.TopicDriverEvents)
}

func fromEnd(l *partitionLog) cursor { return cursor{next: l.end()} }

func fromFirst(l *partitionLog) cursor { return cursor{next: l.base} }

// acknowledgeAll tells each charging point where it stands.
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

// scheduleRaise lets this Central take an epoch above one of the past, in a while.
func (r *centralRun) scheduleRaise(heard charge.Epoch, in time.Duration) {
	r.raiseAbove, r.raiseAt = charge.Highest(r.raiseAbove, heard), max(r.w.now+in, 1)
	r.after(in, "central rises", r.maybeRaise)
}

// maybeRaise takes a new epoch when a higher one of the past was heard of and
// nobody spoke for it meanwhile.
func (r *centralRun) maybeRaise() {
	if r.raiseAt == 0 || r.raiseAt > r.w.now || r.committing {
		return
	}
	r.raiseAt = 0
	if !r.active() || r.raiseAbove.Less(r.epoch) {
		return
	}
	r.raiseEpoch(r.raiseAbove)
	r.acknowledgeAll()
}

// plausible reports whether an epoch may be that of a Central.
func (r *centralRun) plausible(id charge.Epoch) bool {
	return !id.IsZero() && id.Number <= r.epoch.Number+maxEpochStep
}

// observePastEpoch takes the epoch of a sign of life that was in the log before.
func (r *centralRun) observePastEpoch(id charge.Epoch) {
	if r.epoch.Less(id) && r.raiseAbove.Less(id) && r.active() && r.plausible(id) {
		r.scheduleRaise(id, raiseDelay)
	}
}

// readOthers looks whether somebody else speaks as Central.
func (r *centralRun) readOthers(b batch, done func(bool)) {
	for i := range b.messages {
		if id := b.messages[i].writtenBy(); !id.IsZero() && r.alive() {
			r.observeEpoch(id)
		}
	}
	done(true)
}

// observeEpoch takes what another Central said after this one began.
func (r *centralRun) observeEpoch(id charge.Epoch) {
	if !r.epoch.Less(id) || !r.fencedBy.Less(id) || !r.plausible(id) || r.w.bug(BugNoFence) {
		return
	}
	r.fence(id)
	r.after(0, "other central", func() { r.submit(otherCentralInput{id}) })
}

// active reports whether this Central reads, orders, acknowledges and bills.
func (r *centralRun) active() bool { return r.joined && r.fencedBy.IsZero() }

// fence sets who fenced this Central, zero for nobody, and answers who did
// before.
func (r *centralRun) fence(by charge.Epoch) (was charge.Epoch) {
	was, r.fencedBy = r.fencedBy, by
	if was.IsZero() != by.IsZero() {
		r.activityChanged()
	}
	return was
}

func (r *centralRun) activityChanged() {
	r.activeSince = r.w.now
	r.w.mix("central active", nil)
	if !r.fencedBy.IsZero() {
		r.w.stats.Fenced++
	}
}

// applyFence stops what a fenced Central must not do.
func (r *centralRun) applyFence() {
	if by := r.orders.FencedBy(); !by.IsZero() {
		r.fence(by)
		r.raiseAt = 0
		clear(r.ackPacers)
	} else if was := r.fence(charge.Epoch{}); !was.IsZero() { // an operator lifted it
		r.scheduleRaise(was, 0)
	}
}
