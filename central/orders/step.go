package orders

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// recheck is after what time something wanted of a charging point that cannot
// be reached is looked at again, if nothing is heard of it before.
const recheck = 5 * time.Second

// recentFor is how long an ended reservation stays in memory: longer than a
// transaction takes.
const recentFor = time.Minute

// Step folds one event into s and returns what is to be done, in order.
func Step(s *State, v View, e Event) []Effect {
	x := &step{s: s, v: v}
	switch e := e.(type) {
	case DriverAsked:
		x.begin(e.Now)
		x.driverAsked(e)
	case AnswerHeard:
		x.begin(e.Now)
		x.answerHeard(e)
	case OperatorAsked:
		x.begin(e.Now)
		x.operatorAsked(e.Ask)
	case Observed:
		x.begin(e.Now)
		x.observed(e)
	case PointHeard:
		x.begin(e.Now)
		x.pointHeard(e)
	case CommandSent:
		x.begin(e.Now)
		x.commandSent(e)
	case CentralHeard:
		x.begin(e.Now)
		x.centralHeard(e.Central)
	case Tick:
		x.begin(e.Now)
		x.tick()
	}
	return x.out
}

// begin notes the moment of an event, and of the first one.
func (x *step) begin(n Now) {
	x.Now = n
	first := x.s.begun == 0
	if first {
		x.s.begun = n.At
	}
	if first || n.At < x.s.latest.Add(-setBack) {
		x.mend()
		x.s.latest = n.At
	}
	x.s.latest = max(x.s.latest, n.At)
}

// step is one event: its moment, its source of ids, and the effects so far.
type step struct {
	Now
	s   *State
	v   View
	out []Effect
}

func (x *step) do(e Effect) { x.out = append(x.out, e) }

// centralHeard fences this Central if one with a higher epoch speaks. Whether it
// is to be believed the shell has judged.
func (x *step) centralHeard(other charge.Epoch) {
	if !x.s.self.Less(other) || !x.s.fencedBy.Less(other) {
		return
	}
	x.s.fencedBy = other
	x.do(SaveFence{By: other})
}

func (x *step) fenced() bool { return !x.s.fencedBy.IsZero() }

// tick does what time alone brings about.
func (x *step) tick() {
	if x.fenced() {
		return
	}
	for _, k := range slices.SortedFunc(maps.Keys(x.s.requests), byKey) {
		if q := x.s.requests[k]; q != nil && x.s.requestDue(q) <= x.At {
			x.requestLate(q)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(x.s.points)) {
		if p := x.s.points[id]; p.due != 0 && p.due <= x.At {
			x.compare(id)
		}
	}
	x.forget()
}

// forget lets go of what memory holds for a while only.
func (x *step) forget() {
	for id, p := range x.s.points {
		if p.due == 0 && len(p.reservations)+len(p.wishes)+len(p.commands)+len(p.notBefore) == 0 {
			delete(x.s.points, id)
		}
	}
	for id, r := range x.s.recent {
		if x.At >= r.EndedAt.Add(recentFor) {
			delete(x.s.recent, id)
		}
	}
	for t, at := range x.s.silent {
		if x.At >= at.Add(silentFor) {
			delete(x.s.silent, t)
		}
	}
}

func (x *step) pointHeard(e PointHeard) {
	if x.fenced() {
		return
	}
	x.tickets(e.Changes)
	if e.NewBoot {
		x.newBoot(e.CPID)
		if cp := x.v.CP(e.CPID); cp != nil {
			x.dropOtherBoots(cp) // also of a quarantined one, which is not compared
		}
	}
	x.resend(e.CPID)
	x.compare(e.CPID)
}

// compare looks at all that is wanted of one charging point beside what its
// records say, ends what is over, and orders what is missing.
func (x *step) compare(id charge.CPID) {
	p := x.s.points[id]
	cp := x.v.CP(id)
	if p != nil {
		x.expire(p)
	}
	if cp != nil && cp.Present != "" && !cp.Forked() {
		x.dropOtherBoots(cp)
		x.adopt(cp)
		if p = x.s.points[id]; p != nil {
			x.compareReservations(cp, p)
			x.compareWishes(cp, p)
		}
		x.stopEnded(cp)
		x.compareAvailability(cp)
	}
	if p = x.s.points[id]; p != nil {
		x.sendDue(p)
		x.s.settle(p, x.At)
	}
}

// expire ends what has outlived its time, whatever the charging point says.
func (x *step) expire(p *point) {
	for _, r := range byMade(p.reservations) {
		if r.EndedAt == 0 && x.At >= r.Until {
			r.Gone = true // the charging point ends it by itself at the same moment
			x.endReservation(r, string(charge.ReservationExpired))
		}
	}
	for _, w := range byAsked(p.wishes) {
		if w.Until != 0 && x.At >= w.Until {
			x.endWish(p, w, "expired")
		}
	}
	for _, c := range byIssued(p.commands) {
		switch {
		case !c.State.Open(): // ended by one of the above
		case c.State != Accepted && x.At >= c.ExpiresAt:
			x.endCommand(c, Expired, "no result in its time")
		case c.State == Accepted && x.At >= c.ChangedAt.Add(acceptedFor(x.s.cfg)):
			x.endCommand(c, Expired, "accepted, and no result in its time")
		}
	}
}

// acceptedFor bounds how long an accepted command may wait for its result: a
// START waits for the plug until its reservation ends.
func acceptedFor(cfg Config) time.Duration {
	return max(cfg.ReservationLife, cfg.StartWait) + 10*time.Minute
}

// settle finds out when the point is due again.
func (s *State) settle(p *point, now charge.Time) {
	p.due = 0
	for _, r := range p.reservations {
		if r.EndedAt == 0 {
			p.due = sooner(p.due, r.Until)
		}
		if r.EndedAt != 0 || r.ConfirmedAt == 0 {
			p.due = sooner(p.due, now.Add(recheck))
		}
	}
	for _, w := range p.wishes {
		p.due = sooner(p.due, w.Until)
		if w.Kind != WishAvailability {
			p.due = sooner(p.due, now.Add(recheck))
		}
	}
	for _, c := range p.commands {
		if c.State == Accepted {
			p.due = sooner(p.due, c.ChangedAt.Add(acceptedFor(s.cfg)))
			continue
		}
		p.due = sooner(sooner(p.due, c.NextAt), c.ExpiresAt)
	}
	for k, at := range p.notBefore {
		if at <= now {
			delete(p.notBefore, k)
			continue
		}
		p.due = sooner(p.due, at)
	}
}

func byKey(a, b RequestKey) int {
	return cmp.Or(cmp.Compare(a.MessageID, b.MessageID), cmp.Compare(a.Username, b.Username))
}

func byMade(m map[charge.ReservationID]*Reservation) []*Reservation {
	return slices.SortedFunc(maps.Values(m), func(a, b *Reservation) int {
		return cmp.Or(cmp.Compare(a.MadeAt, b.MadeAt), cmp.Compare(a.ID, b.ID))
	})
}

func byAsked(m map[wishKey]*Wish) []*Wish {
	return slices.SortedFunc(maps.Values(m), func(a, b *Wish) int {
		return cmp.Or(cmp.Compare(a.AskedAt, b.AskedAt), cmp.Compare(a.SessionID, b.SessionID), cmp.Compare(a.Connector, b.Connector),
			cmp.Compare(a.Kind, b.Kind))
	})
}

func byIssued(m map[charge.CommandID]*Command) []*Command {
	return slices.SortedFunc(maps.Values(m), func(a, b *Command) int {
		return cmp.Or(cmp.Compare(a.IssuedAt, b.IssuedAt), cmp.Compare(a.Connector, b.Connector), cmp.Compare(a.N, b.N), cmp.Compare(a.ID, b.ID))
	})
}

func byNumber(m map[charge.ConnectorID]*ledger.Connector) []*ledger.Connector {
	return slices.SortedFunc(maps.Values(m), func(a, b *ledger.Connector) int { return cmp.Compare(a.ID, b.ID) })
}
