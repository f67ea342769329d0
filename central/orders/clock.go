package orders

import (
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// minSetBack is the smallest step back that counts as a clock that was set back.
// Smaller ones are normal, because the caller reads the clock once for several
// events.
const minSetBack = time.Second

// maxGap is the longest time between two events while there are groups, which are
// planned every supplyInterval. After a longer one the clock jumped, or the process did
// not run, which looks the same.
const maxGap = time.Minute

// repairTimes runs at the first event, and when Central's clock was set back.
// Moments later than now come from a clock that was ahead, maybe by days. They
// become now, and each deadline is limited to the longest time that its kind may
// last from now. Commands that were issued by that clock end; reconcile issues new
// ones.
//
// Invariant: afterwards every deadline is within the longest time of its kind.
func (x *step) repairTimes() {
	if x.fenced() {
		return
	}
	s := x.s
	s.firstEventAt = min(s.firstEventAt, x.At)
	life := max(s.cfg.ReservationLife, s.cfg.StartTimeout)
	for _, id := range slices.Sorted(maps.Keys(s.points)) {
		p := s.points[id]
		p.due = 1
		for _, r := range byMade(p.reservations) {
			if r.MadeAt > x.At || r.Until > x.At.Add(s.cfg.ReservationLife) && !r.Adopted {
				r.MadeAt, r.ConfirmedAt, r.EndedAt = min(r.MadeAt, x.At), min(r.ConfirmedAt, x.At), min(r.EndedAt, x.At)
				r.Until = min(r.Until, x.At.Add(s.cfg.ReservationLife))
				x.emit(SaveReservation{*r})
			}
		}
		for _, d := range byRequested(p.desired) {
			if d.RequestedAt > x.At || d.Until > x.At.Add(life) {
				d.RequestedAt, d.Until = min(d.RequestedAt, x.At), min(d.Until, x.At.Add(life))
				x.emit(SaveDesired{*d})
			}
		}
		for _, c := range byIssued(p.commands) {
			switch {
			case max(c.IssuedAt, c.ChangedAt) <= x.At:
			case c.State == Accepted:
				c.ChangedAt = x.At
				x.emit(SaveCommand{*c})
			default:
				x.endCommand(c, Expired, EndClockSetBack)
			}
		}
		for k, at := range p.notBefore {
			p.notBefore[k] = min(at, x.At.Add(releaseGrace))
		}
	}
	for t, at := range s.unresponsive {
		s.unresponsive[t] = min(at, x.At)
	}
	for _, k := range slices.SortedFunc(maps.Keys(s.requests), compareRequestKeys) {
		q := s.requests[k]
		if q.ReadAt > x.At {
			q.ReadAt, q.TriedAt, q.AnswerBy = x.At, min(q.TriedAt, x.At), min(q.AnswerBy, x.At.Add(answerTimeout))
			x.emit(SaveRequest{*q})
		}
	}
	for id, r := range s.recentlyReleased {
		r.EndedAt = min(r.EndedAt, x.At)
		s.recentlyReleased[id] = r
	}
}

// boundedUntil limits the end that a charging point reports for a reservation: the
// reservation may have been made by a clock that was ahead.
func (x *step) boundedUntil(until charge.Time) charge.Time {
	return min(until, x.At.Add(x.s.cfg.ReservationLife))
}
