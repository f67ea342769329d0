package world

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/wire"
)

// What follows is the life of a Central beside other Centrals: the rules of
// central/internal/ingest (life.go) and of central/app (scout.go).

// mint takes a new incarnation, above the present one, all in the database, and
// one that was heard.
func (r *reign) mint(heard charge.Incarnation) {
	above := max(r.c.db.incarnation, heard, r.self)
	id, err := ids.After(string(above), r.c.now().Std(), r.c.c)
	if err != nil {
		r.w.object("shell", "no incarnation above %s: %v", above, err)
		return
	}
	r.self = charge.Incarnation(id)
	r.c.db.incarnation = r.self
	r.load()
}

// scout reads who spoke as Central lately, and waits until nobody else does.
func (r *reign) scout() {
	s := &scouting{r: r, open: map[part]bool{}}
	begin := fromTime(r.w.now - lookBack)
	for _, topic := range []string{wire.TopicMonitor, wire.TopicCommands} {
		r.w.kafka.each(func() bool { return r.lives() && !r.joined }, func(n int, added bool) {
			p := part{topic, n}
			if !added { // one that is added has nothing of before
				s.open[p] = true
			}
			r.scouts = append(r.scouts, r.w.kafka.read(r.c.line, p, begin, s.read))
		})
	}
	s.watch()
}

// fromTime is the first record that is not older.
func fromTime(at time.Duration) func(*log) place {
	return func(l *log) place {
		i := slices.IndexFunc(l.messages, func(m *message) bool { return m.at >= at })
		if i < 0 {
			i = len(l.messages)
		}
		return place{next: l.base + int64(i)}
	}
}

// scouting is what was heard while looking around.
type scouting struct {
	r        *reign
	open     map[part]bool // not read to the end that was seen
	begun    time.Duration // since when none is open; 0: not yet
	greatest charge.Incarnation
	youngest time.Duration // of a sign of life in the log; 0: none
	other    charge.Incarnation
	otherAt  time.Duration
}

func (s *scouting) read(b batch, done func(bool)) {
	r := s.r
	if !r.lives() {
		return
	}
	for i := range b.messages {
		m := b.messages[i]
		id := wire.Speaker(m.kind, m.value)
		s.greatest = max(s.greatest, id)
		switch {
		case m.kind != wire.KindValueCentralAlive:
		case b.first+int64(i) < b.past:
			s.youngest = max(s.youngest, m.at)
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
			r.join(s.greatest)
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
	case s.other != "":
		return now >= s.otherAt+silence
	case s.youngest == 0 || now-s.youngest > young:
		return true
	}
	return now >= s.begun+listenFor
}

// join makes this Central active and opens its readers.
func (r *reign) join(heard charge.Incarnation) {
	if r.believe(heard) && heard >= r.self {
		r.above, r.remintAt = max(r.above, heard), r.c.now()
	}
	if r.orders.FencedBy() != "" {
		r.noticeFence()
		if r.c.takeOver {
			r.give(&asked{ask: orders.AskLift{}, answer: func(orders.Reply) {}})
		}
	}
	r.joined = true
	r.turned()
	r.becomeGreater()
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
		x.blind = r.w.bug(BugOffsetsBlind)
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

// becomeGreater mints anew when a past life with a greater incarnation was
// heard of and nobody spoke for it meanwhile.
func (r *reign) becomeGreater() {
	now := r.c.now()
	if r.remintAt == 0 || r.remintAt > now || r.busy {
		return
	}
	r.remintAt = 0
	if !r.active() || r.above < r.self {
		return
	}
	r.mint(r.above)
	r.greet()
}

// believe reports whether an incarnation may be a real one.
func (r *reign) believe(id charge.Incarnation) bool {
	if id == "" {
		return false
	}
	at, err := ids.Time(string(id))
	return err == nil && at.Before(r.c.now().Std().Add(24*time.Hour))
}

// heardPosition takes the incarnation that a charging point's position
// remembers.
func (r *reign) heardPosition(id charge.Incarnation) {
	if id <= r.self || id <= r.above || !r.active() || !r.believe(id) {
		return
	}
	r.above, r.remintAt = id, r.c.now().Add(remintAfter)
}

// overhear looks whether somebody else speaks as Central.
func (r *reign) overhear(b batch, done func(bool)) {
	for i := range b.messages {
		if id := wire.Speaker(b.messages[i].kind, b.messages[i].value); id != "" && r.lives() {
			r.hear(id)
		}
	}
	done(true)
}

// hear takes what another Central said after this one began.
func (r *reign) hear(id charge.Incarnation) {
	if id <= r.self || id <= r.fencedBy || !r.believe(id) || r.w.bug(BugNoFence) {
		return
	}
	r.fence(id)
	r.after(0, "other central", func() { r.give(otherIn{id}) })
}

// active reports whether this Central reads, orders, acknowledges and bills.
func (r *reign) active() bool { return r.joined && r.fencedBy == "" }

// fence sets who fenced this Central, "" for nobody, and answers who did
// before.
func (r *reign) fence(by charge.Incarnation) (was charge.Incarnation) {
	was, r.fencedBy = r.fencedBy, by
	if (was == "") != (by == "") {
		r.turned()
	}
	return was
}

func (r *reign) turned() {
	r.since = r.w.now
	r.w.mix("central active", nil)
	if r.fencedBy != "" {
		r.w.stats.Fenced++
	}
}

// noticeFence stops what a fenced Central must not do.
func (r *reign) noticeFence() {
	if by := r.orders.FencedBy(); by != "" {
		r.fence(by)
		r.remintAt = 0
		clear(r.pacer)
	} else if was := r.fence(""); was != "" { // an operator lifted it
		r.above, r.remintAt = max(r.above, was), r.c.now()
	}
}
