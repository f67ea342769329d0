package orders

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// stopDesiredFor bounds how long a session that did not begin is prevented from
// beginning after its driver stopped it.
const stopDesiredFor = 10 * time.Minute

// endedWithReservation is the outcome of a desired start whose reservation ended.
// The driver gets the event about the reservation and no second one.
const endedWithReservation = "reservation_ended"

// addDesired adds a desired state of a charging point, or replaces the one with the
// same key.
func (x *step) addDesired(d Desired) {
	d.RequestedAt = x.At
	x.s.point(d.CPID).desired[d.key()] = &d
	x.emit(SaveDesired{d})
}

// endDesired ends a desired state. If it is a session that did not start, its driver
// is informed, and the open START ends, unless the charging point accepted it: an
// accepted START ends there by itself, and its session may still begin before that.
func (x *step) endDesired(p *point, d *Desired, outcome string) {
	if p.desired[d.key()] != d {
		return
	}
	delete(p.desired, d.key())
	d.EndedAt, d.Outcome = x.At, outcome
	x.emit(SaveDesired{*d})
	if d.Kind != DesiredStart || outcome == string(Done) {
		return
	}
	if outcome != endedWithReservation {
		x.publishNotStarted(d, outcome)
	}
	for _, c := range byIssued(p.commands) {
		if c.Type == wire.CommandStart && c.SessionID == d.SessionID && c.State != Accepted {
			x.endCommand(c, Superseded, EndUnwanted)
		}
	}
}

// desireStart makes a session desired and returns its id. With r, the driver's
// reservation, it is desired until the end of r, else for StartTimeout.
func (x *step) desireStart(t Target, user charge.Username, r *Reservation, limit charge.SessionLimit) charge.SessionID {
	d := Desired{
		Kind: DesiredStart, CPID: t.CPID, Connector: t.Connector, SessionID: charge.SessionID(x.IDs()), Username: user,
		Tariff: x.tariff(), Until: x.At.Add(x.s.cfg.StartTimeout),
	}
	if r != nil {
		d.ReservationID, d.Tariff, d.Until = r.ID, r.Tariff, r.Until
	}
	d.Limit = x.withEnergy(limit, d.Tariff)
	x.addDesired(d)
	x.reconcile(t.CPID)
	return d.SessionID
}

// desireStop makes the end of a session desired, until a moment; zero: no limit.
func (x *step) desireStop(t Target, id charge.SessionID, user charge.Username, until charge.Time) {
	p := x.s.point(t.CPID)
	if p.desired[desiredKey{kind: DesiredStop, session: id}] != nil {
		return
	}
	x.addDesired(Desired{Kind: DesiredStop, CPID: t.CPID, Connector: t.Connector, SessionID: id, Username: user, Until: until})
}

// startOf finds the desired start that names a reservation.
func (p *point) startOf(id charge.ReservationID) *Desired {
	for _, d := range p.desired {
		if d.Kind == DesiredStart && d.ReservationID == id {
			return d
		}
	}
	return nil
}

// reconcileSessions issues START and STOP for the desired sessions.
func (x *step) reconcileSessions(cp *ledger.CP, p *point) {
	for _, d := range byRequested(p.desired) {
		if p.desired[d.key()] != d {
			continue // ended by another of them
		}
		switch d.Kind {
		case DesiredStart:
			x.reconcileStart(cp, p, d)
		case DesiredStop:
			x.reconcileStop(cp, p, d)
		case DesiredAvailability:
		}
	}
}

// reconcileStart ends the desired start if its session began or its reservation
// ended; otherwise it issues START, once the reservation is confirmed.
func (x *step) reconcileStart(cp *ledger.CP, p *point, d *Desired) {
	if _, began := x.v.Session(d.SessionID); began {
		x.endDesired(p, d, string(Done))
		return
	}
	if d.ReservationID != "" {
		r := x.s.reservations[d.ReservationID]
		if r == nil || r.EndedAt != 0 {
			x.endDesired(p, d, endedWithReservation)
			return
		}
		if r.ConfirmedAt == 0 {
			return // its RESERVE comes first
		}
	}
	x.issue(cp, d.Connector, &wire.Start{
		SessionID: d.SessionID, Username: d.Username, ReservationID: d.ReservationID, Tariff: d.Tariff,
		Limit: d.Limit.Energy, LimitAmount: d.Limit.Amount,
	}, subject{session: d.SessionID, reservation: d.ReservationID})
}

// reconcileStop ends the desired stop if its session ended; otherwise it ends the
// desired start of the session and issues STOP.
func (x *step) reconcileStop(cp *ledger.CP, p *point, d *Desired) {
	if s, began := x.v.Session(d.SessionID); began && s.State != ledger.SessionOpen {
		x.endDesired(p, d, string(Done))
		return
	}
	if start := p.desired[desiredKey{kind: DesiredStart, session: d.SessionID}]; start != nil {
		x.endDesired(p, start, "stopped")
	}
	x.issue(cp, d.Connector, &wire.Stop{SessionID: d.SessionID}, subject{session: d.SessionID})
}

// outcomeSettled is the outcome of the desired states of a connector whose session
// an operator settled.
const outcomeSettled = "settled"

// sessionSettled ends what is desired of a connector whose session was settled: its
// reservation, and sessions to start and to stop. Its availability stays desired.
func (x *step) sessionSettled(t Target) {
	x.endReservationsAt(t, charge.ReservationCancelled)
	p := x.s.points[t.CPID]
	if p == nil {
		return
	}
	for _, d := range byRequested(p.desired) {
		if d.Connector == t.Connector && d.Kind != DesiredAvailability {
			x.endDesired(p, d, outcomeSettled)
		}
	}
	for _, c := range byIssued(p.commands) {
		if c.Connector == t.Connector && (c.Type == wire.CommandStart || c.Type == wire.CommandStop) {
			x.endCommand(c, Superseded, EndSettled)
		}
	}
	x.reconcile(t.CPID)
}

// endedSessionStop is the key of the pause in stopEndedSessions, different from that
// of desired stops.
const endedSessionStop wire.CommandType = "STOP of an ended session"

// stopEndedSessions issues STOP for sessions that have their ticket but that the
// charging point reports as running: an operator settled them, and the charging
// point came back. There is no desired state for them, so nothing else ends them.
func (x *step) stopEndedSessions(cp *ledger.CP) {
	for _, c := range byNumber(cp.Connectors) {
		if c.Session == "" || cp.Sessions[c.Session] != nil {
			continue
		}
		p, k := x.s.point(cp.ID), paceKey{connector: c.ID, kind: endedSessionStop}
		if x.At < p.notBefore[k] {
			continue
		}
		p.notBefore[k] = x.At.Add(retryLater)
		if s, ok := x.v.Session(c.Session); ok && s.CPID == cp.ID && s.State == ledger.SessionEnded {
			x.issue(cp, c.ID, &wire.Stop{SessionID: s.ID}, subject{session: s.ID})
		}
	}
}

// adoptStart makes the session of an accepted START desired if Central does not
// know it: an earlier run issued it after the backup that this database was
// restored from.
func (x *step) adoptStart(p *point, c *Command, o *wire.Start) {
	if p.desired[desiredKey{kind: DesiredStart, session: o.SessionID}] != nil || p.desired[desiredKey{kind: DesiredStop, session: o.SessionID}] != nil {
		return
	}
	if _, began := x.v.Session(o.SessionID); began {
		return
	}
	until := x.At.Add(x.s.cfg.StartTimeout)
	if r := x.s.reservations[o.ReservationID]; r != nil {
		until = r.Until
	}
	if o.ReservationID != "" && x.s.reservations[o.ReservationID] == nil {
		x.adoptHeldReservations(x.v.CP(c.CPID))
	}
	x.addDesired(Desired{
		Kind: DesiredStart, CPID: c.CPID, Connector: c.Connector, SessionID: o.SessionID, Username: o.Username,
		ReservationID: o.ReservationID, Tariff: o.Tariff, Until: until,
		Limit: charge.SessionLimit{Energy: o.Limit, Amount: o.LimitAmount},
	})
}

// setAvailability makes availability desired of a connector, a charging point or
// the network. It replaces the narrower ones below it.
func (x *step) setAvailability(t Target, available bool) {
	for id, p := range x.s.points {
		for k, d := range p.desired {
			below := d.Kind == DesiredAvailability && (t.CPID == "" || id == t.CPID && (t.Connector == 0 || t.Connector == d.Connector))
			if below {
				delete(p.desired, k)
				d.EndedAt, d.Outcome = x.At, "replaced"
				x.emit(SaveDesired{*d})
			}
		}
	}
	d := Desired{Kind: DesiredAvailability, CPID: t.CPID, Connector: t.Connector, Available: available, RequestedAt: x.At}
	if t.CPID != "" {
		x.addDesired(d)
		x.reconcile(t.CPID)
		return
	}
	x.s.networkAvailability = &d
	x.emit(SaveDesired{d})
	for _, id := range x.allPoints() {
		x.reconcile(id)
	}
}

// allPoints returns the ids of all charging points, sorted: effects must not depend
// on the order of a map.
func (x *step) allPoints() []charge.CPID {
	var ids []charge.CPID
	for cp := range x.v.CPs() {
		ids = append(ids, cp.ID)
	}
	slices.Sort(ids)
	return ids
}

// reconcileAvailability issues SET_AVAILABILITY for connectors that differ from the
// desired availability. Taking a connector out of service ends its reservation at
// once.
func (x *step) reconcileAvailability(cp *ledger.CP) {
	if x.s.networkAvailability == nil && x.s.points[cp.ID] == nil {
		return // no availability was ever set
	}
	for _, c := range byNumber(cp.Connectors) {
		t := Target{cp.ID, c.ID}
		want, ok := x.s.DesiredAvailability(t)
		if !ok {
			continue
		}
		if !want {
			x.endReservationsAt(t, charge.ReservationUnavailable)
		}
		order := &wire.SetAvailability{Available: want}
		if superseded := x.supersedeOpposite(t, order); superseded || c.Available != want {
			x.issue(cp, c.ID, order, subject{})
		}
	}
}

// supersedeOpposite ends an open command for the opposite availability, and reports
// whether there was one. The charging point may still execute that command, so the
// new one must follow even if the reported availability is already as desired.
func (x *step) supersedeOpposite(t Target, order *wire.SetAvailability) (superseded bool) {
	p := x.s.points[t.CPID]
	if p == nil || len(p.commands) == 0 {
		return false
	}
	data, err := wire.EncodeOrder(order)
	if err != nil {
		return false // cannot be: it holds one boolean
	}
	for _, c := range byIssued(p.commands) {
		if c.Type == wire.CommandSetAvailability && c.Connector == t.Connector && string(c.Data) != string(data) {
			x.endCommand(c, Superseded, EndUnwanted)
			superseded = true
		}
	}
	return superseded
}
