package orders

import (
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// setBack is by how much an event may be older than the one before without the
// clock having been set back: it is read once for many.
const setBack = time.Second

// mend is done at the first event, and when Central's clock was set back. What
// was noted later than now was noted by a clock that was ahead, maybe by days:
// nothing lasts until then. What lasts for a time lasts at most as long from now;
// a command that was written then is given again.
//
// Invariant: afterwards every deadline is within the time that its kind may last.
func (x *step) mend() {
	if x.fenced() {
		return
	}
	s := x.s
	s.begun = min(s.begun, x.At)
	life := max(s.cfg.ReservationLife, s.cfg.StartWait)
	for _, id := range slices.Sorted(maps.Keys(s.points)) {
		p := s.points[id]
		p.due = 1
		for _, r := range byMade(p.reservations) {
			if r.MadeAt > x.At || r.Until > x.At.Add(s.cfg.ReservationLife) && !r.Adopted {
				r.MadeAt, r.ConfirmedAt, r.EndedAt = min(r.MadeAt, x.At), min(r.ConfirmedAt, x.At), min(r.EndedAt, x.At)
				r.Until = min(r.Until, x.At.Add(s.cfg.ReservationLife))
				x.do(SaveReservation{*r})
			}
		}
		for _, w := range byAsked(p.wishes) {
			if w.AskedAt > x.At || w.Until > x.At.Add(life) {
				w.AskedAt, w.Until = min(w.AskedAt, x.At), min(w.Until, x.At.Add(life))
				x.do(SaveWish{*w})
			}
		}
		for _, c := range byIssued(p.commands) {
			switch {
			case max(c.IssuedAt, c.ChangedAt) <= x.At:
			case c.State == Accepted:
				c.ChangedAt = x.At
				x.do(SaveCommand{*c})
			default:
				x.endCommand(c, Expired, "Central's clock was set back")
			}
		}
		for k, at := range p.notBefore {
			p.notBefore[k] = min(at, x.At.Add(heldBeyond))
		}
	}
	for t, at := range s.silent {
		s.silent[t] = min(at, x.At)
	}
	for _, k := range slices.SortedFunc(maps.Keys(s.requests), byKey) {
		q := s.requests[k]
		if q.ReadAt > x.At {
			q.ReadAt, q.AskedAt, q.AnswerBy = x.At, min(q.AskedAt, x.At), min(q.AnswerBy, x.At.Add(answerWithin))
			x.do(SaveRequest{*q})
		}
	}
	for id, r := range s.recent {
		r.EndedAt = min(r.EndedAt, x.At)
		s.recent[id] = r
	}
}

// lasts is the end of something that a charging point says it holds until a
// moment: it may have been ordered by a clock that was ahead.
func (x *step) lasts(until charge.Time) charge.Time {
	return min(until, x.At.Add(x.s.cfg.ReservationLife))
}
