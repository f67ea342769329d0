package world

import (
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// speaker is the epoch of the Central that wrote it; zero if none did.
func (m *message) speaker() charge.Epoch {
	return wire.Speaker(m.kind, []byte(m.central.String()), m.value)
}

// What follows is the life of a Central beside other Centrals: the rules of
// central/internal/ingest (life.go) and of central/app (scout.go).

// rise takes a new epoch, above the present one, that in the database, and one
// that was heard.
func (r *reign) rise(heard charge.Epoch) {
	number := max(r.c.db.epoch.Number, heard.Number, r.self.Number, firstNumber) + 1
	r.self = charge.Epoch{Number: min(number, charge.MaxEpochNumber), Run: r.name}
	r.c.db.epoch = r.self
	r.w.checkRise(r)
	r.load()
}

// scout reads who spoke as Central lately, and waits until nobody else does.
func (r *reign) scout() {
	s := &scouting{r: r, open: map[part]bool{}}
	for _, topic := range []string{wire.TopicMonitor, wire.TopicCommands} {
		r.w.kafka.each(func() bool { return r.lives() && !r.joined }, func(n int, added bool) {
			p := part{topic, n}
			if !added { // one that is added has nothing of before
				s.open[p] = true
			}
			r.scouts = append(r.scouts, r.w.kafka.read(r.c.line, p, fromLast, s.read))
		})
	}
	s.watch()
}

// fromLast is some way before the end.
func fromLast(l *log) place { return place{next: max(l.base, l.end()-lookBack)} }

// scouting is what was heard while looking around.
type scouting struct {
	r       *reign
	open    map[part]bool // not read to the end that was seen
	begun   time.Duration // since when none is open; 0: not yet
	highest charge.Epoch
	past    bool // a sign of life is in the log
	other   charge.Epoch
	otherAt time.Duration
}

func (s *scouting) read(b batch, done func(bool)) {
	r := s.r
	if !r.lives() {
		return
	}
	for i := range b.messages {
		m := b.messages[i]
		id := m.speaker()
		s.highest = charge.Highest(s.highest, id)
		switch {
		case m.kind != wire.KindValueCentralAlive:
		case b.first+int64(i) < b.past:
			s.past = true
		default:
			s.other, s.otherAt = id, r.w.now
		}
	}
	done(true)
}

// watch looks again and again whether all was read and the others are silent.
func (s *scouting) watch() {
	r := s.r
	for _, x := range r.scouts {
		if s.open[x.p] && x.caughtUp() {
			delete(s.open, x.p)
		}
	}
	if len(s.open) == 0 {
		if s.begun == 0 {
			s.begun = r.w.now
		}
		if s.quiet() {
			for _, x := range r.scouts {
				x.stop()
			}
			r.scouts = nil
			r.join(s.highest)
			return
		}
	}
	r.after(500*time.Millisecond, "scout", s.watch)
}

func (s *scouting) quiet() bool {
	now := s.r.w.now
	switch {
	case s.r.c.takeOver:
		return true
	case !s.other.IsZero():
		return now >= s.otherAt+silence
	case !s.past:
		return true
	}
	return now >= s.begun+listenFor
}

// join makes this Central active and opens its readers.
func (r *reign) join(heard charge.Epoch) {
	if r.self.Less(heard) && r.believe(heard) {
		r.riseSoon(heard, 0)
	}
	if !r.orders.FencedBy().IsZero() {
		r.noticeFence()
		if r.c.takeOver {
			r.give(&asked{ask: orders.AskLift{}, answer: func(orders.Reply) {}})
		}
	}
	r.joined = true
	r.turned()
	r.maybeRise()
	r.greet()
	r.committed(wire.TopicMonitor)
	r.committed(wire.TopicEvents)
	r.afterAnswers(r.committed(wire.TopicCentralEvents))
	r.w.kafka.each(r.lives, func(n int, added bool) {
		begin := fromEnd
		if added { // all in it is new
			begin = fromFirst
		}
		for _, topic := range []string{wire.TopicCommands, wire.TopicMonitor} {
			r.readers = append(r.readers, r.w.kafka.read(r.c.line, part{topic, n}, begin, r.overhear))
		}
		r.readers = append(r.readers, r.w.kafka.read(r.c.line, part{wire.TopicTelemetry, n}, begin, func(b batch, done func(bool)) {
			for i := range b.messages {
				if t, err := wire.DecodeTelemetry(b.messages[i].value); err == nil && r.lives() {
					r.live.telemetry(t.CPID, time.Duration(t.IntervalMS)*time.Millisecond, r.c.now())
				}
			}
			done(true)
		}))
	})
	r.armTick()
}

// committed reads a topic on from where the database says.
func (r *reign) committed(topic string) (all []*reader) {
	r.w.kafka.each(r.lives, func(n int, added bool) {
		if added && r.w.bug(BugAddedUnread) {
			return
		}
		p := part{topic, n}
		at, known := r.c.db.offsets[p]
		x := r.w.kafka.read(r.c.line, p, func(l *log) place {
			if !known {
				return fromFirst(l)
			}
			return at
		}, r.take)
		x.blind, x.clock = r.w.bug(BugOffsetsBlind), r.c.now
		if r.readers = append(r.readers, x); !added {
			all = append(all, x)
		}
	})
	return all
}

// afterAnswers reads drivers' requests once the writer knows what drivers were
// answered before.
func (r *reign) afterAnswers(answers []*reader) {
	for _, x := range answers {
		if !x.caughtUp() {
			r.after(200*time.Millisecond, "answers", func() { r.afterAnswers(answers) })
			return
		}
	}
	r.committed(wire.TopicDriverEvents)
}

func fromEnd(l *log) place { return place{next: l.end()} }

func fromFirst(l *log) place { return place{next: l.base} }

// greet tells each charging point where it stands.
func (r *reign) greet() {
	if !r.active() {
		return
	}
	for _, id := range sortedKeys(r.cps) {
		cp := r.cps[id]
		journal := cp.Present
		if cp.Next.Journal != "" {
			journal = cp.Next.Journal
		}
		if journal != "" {
			r.wantAck(id, journal)
		}
	}
}

// riseSoon lets this Central take an epoch above one of the past, in a while.
func (r *reign) riseSoon(heard charge.Epoch, in time.Duration) {
	r.above, r.riseAt = charge.Highest(r.above, heard), max(r.w.now+in, 1)
	r.after(in, "central rises", r.maybeRise)
}

// maybeRise takes a new epoch when a higher one of the past was heard of and
// nobody spoke for it meanwhile.
func (r *reign) maybeRise() {
	if r.riseAt == 0 || r.riseAt > r.w.now || r.busy {
		return
	}
	r.riseAt = 0
	if !r.active() || r.above.Less(r.self) {
		return
	}
	r.rise(r.above)
	r.greet()
}

// believe reports whether an epoch may be that of a Central.
func (r *reign) believe(id charge.Epoch) bool {
	return !id.IsZero() && id.Number <= r.self.Number+maxRise
}

// heardPast takes the epoch of a sign of life that was in the log before.
func (r *reign) heardPast(id charge.Epoch) {
	if r.self.Less(id) && r.above.Less(id) && r.active() && r.believe(id) {
		r.riseSoon(id, listenBefore)
	}
}

// overhear looks whether somebody else speaks as Central.
func (r *reign) overhear(b batch, done func(bool)) {
	for i := range b.messages {
		if id := b.messages[i].speaker(); !id.IsZero() && r.lives() {
			r.hear(id)
		}
	}
	done(true)
}

// hear takes what another Central said after this one began.
func (r *reign) hear(id charge.Epoch) {
	if !r.self.Less(id) || !r.fencedBy.Less(id) || !r.believe(id) || r.w.bug(BugNoFence) {
		return
	}
	r.fence(id)
	r.after(0, "other central", func() { r.give(otherIn{id}) })
}

// active reports whether this Central reads, orders, acknowledges and bills.
func (r *reign) active() bool { return r.joined && r.fencedBy.IsZero() }

// fence sets who fenced this Central, zero for nobody, and answers who did
// before.
func (r *reign) fence(by charge.Epoch) (was charge.Epoch) {
	was, r.fencedBy = r.fencedBy, by
	if was.IsZero() != by.IsZero() {
		r.turned()
	}
	return was
}

func (r *reign) turned() {
	r.since = r.w.now
	r.w.mix("central active", nil)
	if !r.fencedBy.IsZero() {
		r.w.stats.Fenced++
	}
}

// noticeFence stops what a fenced Central must not do.
func (r *reign) noticeFence() {
	if by := r.orders.FencedBy(); !by.IsZero() {
		r.fence(by)
		r.riseAt = 0
		clear(r.pacer)
	} else if was := r.fence(charge.Epoch{}); !was.IsZero() { // an operator lifted it
		r.riseSoon(was, 0)
	}
}
