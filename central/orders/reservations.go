package orders

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// releaseGrace is how long after the end of a reservation Central waits for the
// charging point's own record of the end before it sends a CANCEL_RESERVATION.
const releaseGrace = 30 * time.Second

// reserve makes a reservation and sends its RESERVE. Until the charging point
// confirms it, its driver is informed only if there is no request to answer.
func (x *step) reserve(t Target, user charge.Username, message string) *Reservation {
	r := &Reservation{
		ID: charge.ReservationID(x.IDs()), CPID: t.CPID, Connector: t.Connector, Username: user, Tariff: x.tariff(),
		MadeAt: x.At, Until: x.At.Add(x.s.cfg.ReservationLife), MessageID: message, Announced: message == "",
	}
	x.addReservation(r)
	x.emit(SaveReservation{*r})
	x.reconcile(t.CPID)
	return r
}

// addReservation adds a reservation to the state, in both indexes.
func (x *step) addReservation(r *Reservation) {
	x.s.reservations[r.ID] = r
	x.s.point(r.CPID).reservations[r.ID] = r
}

// forgetIfReleased removes a reservation from memory once nothing is left to do.
// recentlyReleased keeps it for a while, until its row is certainly committed.
func (x *step) forgetIfReleased(r *Reservation) {
	if r.Released && r.EndedAt != 0 {
		delete(x.s.reservations, r.ID)
		delete(x.s.point(r.CPID).reservations, r.ID)
		x.s.recentlyReleased[r.ID] = *r
	}
}

// confirm notes that the charging point holds the reservation, and answers the
// requests that wait for it. A reservation that ended meanwhile stays ended:
// reconcile cancels it.
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

// releaseEarlier marks the ended reservations of a connector as released, since
// the charging point holds r there. A RESERVE of theirs that is still on its way
// has a lower number and is rejected.
func (x *step) releaseEarlier(r *Reservation) {
	for _, old := range byMade(x.s.point(r.CPID).reservations) {
		if old.Connector == r.Connector && old.EndedAt != 0 {
			x.markReleased(old)
		}
	}
}

// endReservation ends a reservation for Central, publishes that if its driver knows
// of it, and ends the desired start that names it. Requests that waited for it
// continue with another one.
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

// endStartOf ends the desired start that names a reservation which ended.
func (x *step) endStartOf(r *Reservation) {
	p := x.s.point(r.CPID)
	if d := p.startOf(r.ID); d != nil {
		x.endDesired(p, d, endedWithReservation)
	}
}

// reservationUsed notes which session used a reservation, even one that ended for
// Central: the order in the charging point's journal decides. A reservation of
// another charging point is ignored.
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
	x.confirm(r) // answers a request that still waits
	r.SessionID, r.Released, r.EndedAt, r.Reason = by, true, x.At, EndUsed
	x.emit(SaveReservation{*r})
	x.forgetIfReleased(r)
	if d := x.s.point(r.CPID).startOf(r.ID); d != nil && d.SessionID != by {
		x.endDesired(x.s.point(r.CPID), d, endedWithReservation)
	}
}

// pastReservation finds a reservation that State.reservations no longer holds.
func (x *step) pastReservation(id charge.ReservationID) (Reservation, bool) {
	if r, ok := x.s.recentlyReleased[id]; ok {
		return r, true
	}
	return x.v.Reservation(id)
}

// reconcileReservations issues RESERVE for reservations that the charging point
// does not hold, and CANCEL_RESERVATION for ended ones that it may hold.
func (x *step) reconcileReservations(cp *ledger.CP, p *point) {
	for _, r := range byMade(p.reservations) {
		if p.reservations[r.ID] != r {
			continue // released while another one was handled
		}
		c := cp.Connectors[r.Connector]
		held := c != nil && c.Held.ID == r.ID
		switch {
		case r.EndedAt != 0 && x.At >= r.Until.Add(releaseGrace) && (!held || x.v.Liveness(cp.ID, x.At) == ledger.Offline):
			x.markReleased(r) // agents end reservations themselves; one that comes back with it gets a CANCEL then
		case r.EndedAt != 0 && p.unconfirmedAt(r.Connector) != nil: // the RESERVE of that one replaces it
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

// unconfirmedAt finds the reservation of a connector that the charging point has
// not confirmed yet.
func (p *point) unconfirmedAt(id charge.ConnectorID) *Reservation {
	for _, r := range p.reservations {
		if r.Connector == id && r.EndedAt == 0 && r.ConfirmedAt == 0 {
			return r
		}
	}
	return nil
}

// maxReplaced bounds the ended reservations of a connector that the charging point
// may still hold. Beyond it the connector is not reserved: its charging point does
// not respond. With the one it reports as held they fit into wire.MaxReplaces.
const maxReplaced = 8

// replaced returns the ended reservations that the charging point may hold in
// place of r: the one that it reports as held, and those not released yet. RESERVE
// names them, so that the agent releases them and does not refuse r.
func (x *step) replaced(p *point, c *ledger.Connector, r *Reservation) []charge.ReservationID {
	var ids []charge.ReservationID
	for _, old := range byMade(p.reservations) {
		if old.Connector == r.Connector && old.EndedAt != 0 {
			ids = append(ids, old.ID)
		}
	}
	if c != nil && c.Held.ID != "" && c.Held.ID != r.ID && !slices.Contains(ids, c.Held.ID) {
		ids = append(ids, c.Held.ID) // adoptHeldReservations has adopted all that are active
	}
	return ids[max(0, len(ids)-wire.MaxReplaces):]
}

// endOpenCommands ends the open commands of a kind for a reservation that is no
// longer desired. If one still arrives, the CANCEL after it undoes its effect.
func (x *step) endOpenCommands(p *point, kind wire.CommandType, id charge.ReservationID) {
	for _, c := range byIssued(p.commands) {
		if c.Type == kind && c.ReservationID == id {
			x.endCommand(c, Superseded, EndUnwanted)
		}
	}
}

// adoptHeldReservations adopts the reservations that the current boot holds and
// Central does not know: an earlier run made them after the backup that this
// database was restored from. Those that ended for Central are cancelled.
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
			continue // it belongs to another charging point; this one ends it at its expiry
		}
		switch {
		case known && r.EndedAt != 0 && r.Reason == EndUsed:
		case x.At >= h.Until && x.At < h.Until.Add(releaseGrace):
			// The charging point's own record of the end is on its way. A key without a
			// kind delays no command; it only makes the point due again.
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

// cancelHeld makes reconcile cancel an ended reservation that the charging point
// still holds.
func (x *step) cancelHeld(r Reservation) {
	r.Released = false
	x.addReservation(&r)
	x.emit(SaveReservation{r})
}

// markReleased notes that the charging point does not hold an ended reservation.
func (x *step) markReleased(r *Reservation) {
	r.Released = true
	x.emit(SaveReservation{*r})
	x.forgetIfReleased(r)
}

// adoptReservation adds a reservation that the charging point holds. It ends the
// ones that Central has at the connector, because the charging point's state
// decides.
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
		default: // it expired, and reconcile has not run since
			other.Released = true
			x.endReservation(other, string(charge.ReservationExpired))
		}
	}
	x.addReservation(r)
	x.emit(SaveReservation{*r})
}

// bootChanged marks ended reservations as released that the new boot does not
// report: it does not hold them, and commands to the boot before have no effect.
// The pauses before further commands are lifted.
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

// endReservationsAt ends the reservations of a connector (0: of all connectors):
// after a fault, when it is taken out of service, or when the admission is
// withdrawn.
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
