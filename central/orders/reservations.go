package orders

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// releaseGrace is how long after its end a charging point may still name a
// reservation before it is told to let go: its own record of the end is under
// way.
const releaseGrace = 30 * time.Second

// reserve makes a reservation and orders it.
func (x *step) reserve(t Target, user charge.Username, message string) *Reservation {
	r := &Reservation{
		ID: charge.ReservationID(x.IDs()), CPID: t.CPID, Connector: t.Connector, Username: user, Tariff: x.s.cfg.Tariff,
		MadeAt: x.At, Until: x.At.Add(x.s.cfg.ReservationLife), MessageID: message, Announced: message == "",
	}
	x.addReservation(r)
	x.emit(SaveReservation{*r})
	x.reconcile(t.CPID)
	return r
}

func (x *step) addReservation(r *Reservation) {
	x.s.reservations[r.ID] = r
	x.s.point(r.CPID).reservations[r.ID] = r
}

// forgetIfReleased takes a reservation out of memory once nothing is to be done
// about it.
func (x *step) forgetIfReleased(r *Reservation) {
	if r.Released && r.EndedAt != 0 {
		delete(x.s.reservations, r.ID)
		delete(x.s.point(r.CPID).reservations, r.ID)
		x.s.recentlyReleased[r.ID] = *r
	}
}

// confirm writes down that the charging point holds the reservation. One that
// was given up meanwhile stays given up: compare cancels it.
func (x *step) confirm(r *Reservation) {
	if r.ConfirmedAt != 0 || r.EndedAt != 0 {
		return
	}
	r.ConfirmedAt, r.Announced = x.At, true
	delete(x.s.unresponsive, Target{r.CPID, r.Connector})
	x.emit(SaveReservation{*r})
	x.releaseEarlier(r)
	x.answerConfirmed(r)
}

// releaseEarlier writes down that the charging point holds none of the reservations
// that ended at the connector: it holds r. Their RESERVE is overtaken, should it
// still be on its way.
func (x *step) releaseEarlier(r *Reservation) {
	for _, old := range byMade(x.s.point(r.CPID).reservations) {
		if old.Connector == r.Connector && old.EndedAt != 0 {
			x.markReleased(old)
		}
	}
}

// endReservation ends a reservation for Central, tells its driver, and ends the
// wish to start that named it. Requests that waited for it go on with another.
func (x *step) endReservation(r *Reservation, reason string) {
	if r.EndedAt != 0 {
		return
	}
	r.EndedAt, r.Reason = x.At, reason
	x.emit(SaveReservation{*r})
	if r.Announced {
		x.publishReservationEnded(r)
	}
	x.endStartOf(r)
	x.forgetIfReleased(r)
	x.continueWaiting(r)
}

// endStartOf ends the wish to start that names a reservation which is over.
func (x *step) endStartOf(r *Reservation) {
	p := x.s.point(r.CPID)
	if w := p.startOf(r.ID); w != nil {
		x.endDesired(p, w, endedWithReservation)
	}
}

// reservationUsed writes down which session used a reservation, also one that Central took
// for ended: the order of the charging point's journal decides. A charging point
// cannot use a reservation of another one.
func (x *step) reservationUsed(cp charge.CPID, id charge.ReservationID, by charge.SessionID) {
	r := x.s.reservations[id]
	if r == nil {
		old, ok := x.pastReservation(id)
		if !ok || old.Reason == EndUsed {
			return
		}
		r = &old
	}
	if r.CPID != cp {
		return
	}
	x.confirm(r) // a driver who still waits for the answer learns of it
	r.SessionID, r.Released, r.EndedAt, r.Reason = by, true, x.At, EndUsed
	x.emit(SaveReservation{*r})
	x.forgetIfReleased(r)
	if w := x.s.point(r.CPID).startOf(r.ID); w != nil && w.SessionID != by {
		x.endDesired(x.s.point(r.CPID), w, endedWithReservation)
	}
}

// pastReservation finds a reservation that is not in memory any more.
func (x *step) pastReservation(id charge.ReservationID) (Reservation, bool) {
	if r, ok := x.s.recentlyReleased[id]; ok {
		return r, true
	}
	return x.v.Reservation(id)
}

// reconcileReservations orders what is wanted of reservations and not so.
func (x *step) reconcileReservations(cp *ledger.CP, p *point) {
	for _, r := range byMade(p.reservations) {
		if p.reservations[r.ID] != r {
			continue // gone while another was looked at
		}
		c := cp.Connectors[r.Connector]
		held := c != nil && c.Held.ID == r.ID
		switch {
		case r.EndedAt != 0 && x.At >= r.Until.Add(releaseGrace) && (!held || x.v.Liveness(cp.ID, x.At) == ledger.Offline):
			x.markReleased(r) // nobody holds it beyond its end; who comes back with it is told then
		case r.EndedAt != 0 && p.unconfirmedAt(r.Connector) != nil: // its RESERVE says so, too
			x.endOpenCommands(p, wire.CommandReserve, r.ID)
			x.endOpenCommands(p, wire.CommandCancel, r.ID)
		case r.EndedAt != 0:
			x.endOpenCommands(p, wire.CommandReserve, r.ID)
			x.issue(cp, r.Connector, &wire.CancelReservation{ReservationID: r.ID}, subject{reservation: r.ID})
		case held && r.ConfirmedAt == 0:
			x.confirm(r)
		case !held:
			x.issue(cp, r.Connector, &wire.Reserve{
				ReservationID: r.ID, Username: r.Username, Until: r.Until, Tariff: r.Tariff, Replaces: x.replaced(p, c, r),
			}, subject{reservation: r.ID})
		}
	}
}

// unconfirmedAt finds the reservation of a connector that the charging point is asked
// to keep.
func (p *point) unconfirmedAt(id charge.ConnectorID) *Reservation {
	for _, r := range p.reservations {
		if r.Connector == id && r.EndedAt == 0 && r.ConfirmedAt == 0 {
			return r
		}
	}
	return nil
}

// maxReplaced bounds how many reservations may have ended at a connector of
// which it is not known whether the charging point holds them: one that answers
// nothing is not asked for ever. With the one it is known to hold they fit into
// wire.MaxReplaces.
const maxReplaced = 8

// replaced are the reservations that are over and that the charging point may
// hold instead of r: the one it said it holds, and those of which it said
// nothing.
func (x *step) replaced(p *point, c *ledger.Connector, r *Reservation) []charge.ReservationID {
	var ids []charge.ReservationID
	for _, old := range byMade(p.reservations) {
		if old.Connector == r.Connector && old.EndedAt != 0 {
			ids = append(ids, old.ID)
		}
	}
	if c != nil && c.Held.ID != "" && c.Held.ID != r.ID && !slices.Contains(ids, c.Held.ID) {
		ids = append(ids, c.Held.ID) // adopt has taken all that are not over
	}
	return ids[max(0, len(ids)-wire.MaxReplaces):]
}

// endOpenCommands ends the open commands of a kind for a reservation that is not wanted
// any more. One that arrives all the same is overtaken by the CANCEL.
func (x *step) endOpenCommands(p *point, kind wire.CommandType, id charge.ReservationID) {
	for _, c := range byIssued(p.commands) {
		if c.Type == kind && c.ReservationID == id {
			x.endCommand(c, Superseded, "not wanted any more")
		}
	}
}

// adoptHeldReservations takes what the present boot holds and Central does not know as wanted;
// what Central ended it has cancelled.
func (x *step) adoptHeldReservations(cp *ledger.CP) {
	held := false
	for _, c := range cp.Connectors {
		held = held || c.Held.ID != ""
	}
	if !held {
		return
	}
	for _, c := range byNumber(cp.Connectors) {
		h := c.Held
		if h.ID == "" || x.s.reservations[h.ID] != nil || x.At >= h.Until && x.v.Liveness(cp.ID, x.At) == ledger.Offline {
			continue
		}
		r, known := x.pastReservation(h.ID)
		if known && r.CPID != cp.ID {
			continue // of another charging point: it ends here at its end
		}
		switch {
		case known && r.EndedAt != 0 && r.Reason == EndUsed:
		case x.At >= h.Until && x.At < h.Until.Add(releaseGrace):
			// Its own record of the end is under way. The pace has no kind: it delays
			// nothing, but has the point looked at again.
			x.s.point(cp.ID).notBefore[paceKey{connector: c.ID}] = h.Until.Add(releaseGrace)
		case known && r.EndedAt != 0:
			x.cancelHeld(r)
		case x.At < h.Until:
			x.adoptReservation(cp.ID, c.ID, h)
		default:
			x.cancelHeld(Reservation{
				ID: h.ID, CPID: cp.ID, Connector: c.ID, Username: h.Username, MadeAt: x.At, Until: h.Until, EndedAt: x.At,
				Reason: string(charge.ReservationExpired), Adopted: true,
			})
		}
	}
}

// cancelHeld has a charging point cancel a reservation that is over.
func (x *step) cancelHeld(r Reservation) {
	r.Released = false
	x.addReservation(&r)
	x.emit(SaveReservation{r})
}

// markReleased writes down that the charging point does not hold a reservation that
// ended.
func (x *step) markReleased(r *Reservation) {
	r.Released = true
	x.emit(SaveReservation{*r})
	x.forgetIfReleased(r)
}

func (x *step) adoptReservation(cp charge.CPID, connector charge.ConnectorID, h ledger.Held) {
	r := &Reservation{
		ID: h.ID, CPID: cp, Connector: connector, Username: h.Username, Tariff: h.Tariff, MadeAt: x.At, Until: x.boundedUntil(h.Until),
		ConfirmedAt: x.At, Adopted: true, Announced: true,
	}
	for _, other := range byMade(x.s.point(cp).reservations) {
		switch {
		case other.Connector != connector || other.EndedAt != 0:
		case other.Active(x.At):
			x.endReservation(other, string(charge.ReservationCancelled))
		default: // nobody looked since its end
			other.Released = true
			x.endReservation(other, string(charge.ReservationExpired))
		}
	}
	x.addReservation(r)
	x.emit(SaveReservation{*r})
}

// bootChanged forgets the reservations that Central ended: a new boot that does not
// name them does not hold them, and an order for the boot before has no effect.
func (x *step) bootChanged(id charge.CPID) {
	p, cp := x.s.points[id], x.v.CP(id)
	if p == nil || cp == nil {
		return
	}
	for _, r := range byMade(p.reservations) {
		if c := cp.Connectors[r.Connector]; r.EndedAt != 0 && (c == nil || c.Held.ID != r.ID) {
			x.markReleased(r)
		}
	}
	clear(p.notBefore)
}

// endReservationsAt ends the active reservations of a connector (0: of all of them) at once:
// a fault, a stop, a cancelled admission.
func (x *step) endReservationsAt(t Target, why charge.ReservationEnd) {
	p := x.s.points[t.CPID]
	if p == nil {
		return
	}
	for _, r := range byMade(p.reservations) {
		if t.Connector == 0 || r.Connector == t.Connector {
			x.endReservation(r, string(why))
		}
	}
}
