package orders

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// stopDesiredFor bounds how long a session that did not begin is kept from beginning
// after its driver stopped it.
const stopDesiredFor = 10 * time.Minute

// endedWithReservation is the outcome of a wish to start whose reservation
// ended; the driver is told of that alone.
const endedWithReservation = "reservation_ended"

func (x *step) addDesired(w Desired) {
	w.RequestedAt = x.At
	x.s.point(w.CPID).desired[w.key()] = &w
	x.emit(SaveDesired{w})
}

// endDesired ends a wish. A session to start that did not come about is told to its
// driver. A START that was accepted ends at the charging point, by the end of its
// reservation or by its own time; if the session began before that, it began.
func (x *step) endDesired(p *point, w *Desired, outcome string) {
	if p.desired[w.key()] != w {
		return
	}
	delete(p.desired, w.key())
	w.EndedAt, w.Outcome = x.At, outcome
	x.emit(SaveDesired{*w})
	if w.Kind != DesiredStart || outcome == string(Done) {
		return
	}
	if outcome != endedWithReservation {
		x.publishNotStarted(w, outcome)
	}
	for _, c := range byIssued(p.commands) {
		if c.Type == wire.CommandStart && c.SessionID == w.SessionID && c.State != Accepted {
			x.endCommand(c, Superseded, "not wanted any more")
		}
	}
}

// desireStart wishes a session to start: by the driver's reservation if r is
// given, until its end.
func (x *step) desireStart(t Target, user charge.Username, r *Reservation) charge.SessionID {
	w := Desired{
		Kind: DesiredStart, CPID: t.CPID, Connector: t.Connector, SessionID: charge.SessionID(x.IDs()), Username: user,
		Tariff: x.s.cfg.Tariff, Until: x.At.Add(x.s.cfg.StartTimeout),
	}
	if r != nil {
		w.ReservationID, w.Tariff, w.Until = r.ID, r.Tariff, r.Until
	}
	x.addDesired(w)
	x.reconcile(t.CPID)
	return w.SessionID
}

func (x *step) desireStop(t Target, id charge.SessionID, user charge.Username, until charge.Time) {
	p := x.s.point(t.CPID)
	if p.desired[desiredKey{kind: DesiredStop, session: id}] != nil {
		return
	}
	x.addDesired(Desired{Kind: DesiredStop, CPID: t.CPID, Connector: t.Connector, SessionID: id, Username: user, Until: until})
}

// startOf finds the wish to start that names a reservation.
func (p *point) startOf(id charge.ReservationID) *Desired {
	for _, w := range p.desired {
		if w.Kind == DesiredStart && w.ReservationID == id {
			return w
		}
	}
	return nil
}

// reconcileSessions orders sessions to start and to stop.
func (x *step) reconcileSessions(cp *ledger.CP, p *point) {
	for _, w := range byRequested(p.desired) {
		if p.desired[w.key()] != w {
			continue // ended by another of them
		}
		switch w.Kind {
		case DesiredStart:
			x.reconcileStart(cp, p, w)
		case DesiredStop:
			x.reconcileStop(cp, p, w)
		case DesiredAvailability:
		}
	}
}

func (x *step) reconcileStart(cp *ledger.CP, p *point, w *Desired) {
	if _, began := x.v.Session(w.SessionID); began {
		x.endDesired(p, w, string(Done))
		return
	}
	if w.ReservationID != "" {
		r := x.s.reservations[w.ReservationID]
		if r == nil || r.EndedAt != 0 {
			x.endDesired(p, w, endedWithReservation)
			return
		}
		if r.ConfirmedAt == 0 {
			return // its RESERVE comes first
		}
	}
	x.issue(cp, w.Connector, &wire.Start{SessionID: w.SessionID, Username: w.Username, ReservationID: w.ReservationID, Tariff: w.Tariff},
		subject{session: w.SessionID, reservation: w.ReservationID})
}

func (x *step) reconcileStop(cp *ledger.CP, p *point, w *Desired) {
	if s, began := x.v.Session(w.SessionID); began && s.State != ledger.SessionOpen {
		x.endDesired(p, w, string(Done))
		return
	}
	if start := p.desired[desiredKey{kind: DesiredStart, session: w.SessionID}]; start != nil {
		x.endDesired(p, start, "stopped")
	}
	x.issue(cp, w.Connector, &wire.Stop{SessionID: w.SessionID}, subject{session: w.SessionID})
}

// outcomeSettled is how what was wanted of a connector ends when an operator
// settles its session without the charging point.
const outcomeSettled = "settled"

// sessionSettled ends what is wanted of a connector whose session was settled: its
// reservation, and sessions to start and to stop. Its availability stays wanted.
func (x *step) sessionSettled(t Target) {
	x.endReservationsAt(t, charge.ReservationCancelled)
	p := x.s.points[t.CPID]
	if p == nil {
		return
	}
	for _, w := range byRequested(p.desired) {
		if w.Connector == t.Connector && w.Kind != DesiredAvailability {
			x.endDesired(p, w, outcomeSettled)
		}
	}
	for _, c := range byIssued(p.commands) {
		if c.Connector == t.Connector && (c.Type == wire.CommandStart || c.Type == wire.CommandStop) {
			x.endCommand(c, Superseded, "an operator settled the session")
		}
	}
	x.reconcile(t.CPID)
}

// endedSessionStop is the pace of stopEnded: another than that of the stops that
// somebody wants.
const endedSessionStop wire.CommandType = "STOP of an ended session"

// stopEndedSessions orders sessions to stop that have their ticket and that the charging
// point reports as running: settled ones, of a charging point that was not gone
// for good. Nobody wants them, and nothing else would end them.
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

// adoptStart takes an accepted START that Central does not know as wanted.
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
	})
}

// setAvailability makes availability wanted of a connector, a charging point or
// the network. The wider wish replaces the narrower ones below it.
func (x *step) setAvailability(t Target, available bool) {
	for id, p := range x.s.points {
		for k, w := range p.desired {
			below := w.Kind == DesiredAvailability && (t.CPID == "" || id == t.CPID && (t.Connector == 0 || t.Connector == w.Connector))
			if below {
				delete(p.desired, k)
				w.EndedAt, w.Outcome = x.At, "replaced"
				x.emit(SaveDesired{*w})
			}
		}
	}
	w := Desired{Kind: DesiredAvailability, CPID: t.CPID, Connector: t.Connector, Available: available, RequestedAt: x.At}
	if t.CPID != "" {
		x.addDesired(w)
		x.reconcile(t.CPID)
		return
	}
	x.s.networkAvailability = &w
	x.emit(SaveDesired{w})
	for _, id := range x.allPoints() {
		x.reconcile(id)
	}
}

func (x *step) allPoints() []charge.CPID {
	var ids []charge.CPID
	for cp := range x.v.CPs() {
		ids = append(ids, cp.ID)
	}
	slices.Sort(ids)
	return ids
}

// reconcileAvailability orders availability until it is so. A connector that is
// taken out of service frees its reservation at once.
func (x *step) reconcileAvailability(cp *ledger.CP) {
	if x.s.networkAvailability == nil && x.s.points[cp.ID] == nil {
		return // nobody ever said
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
		if overtaken := x.supersedeOpposite(t, order); overtaken || c.Available != want {
			x.issue(cp, c.ID, order, subject{})
		}
	}
}

// supersedeOpposite ends an open order of the opposite availability. Its place in line is
// before the next one, so the next one must follow even if it asks for what is
// so already.
func (x *step) supersedeOpposite(t Target, order *wire.SetAvailability) (overtaken bool) {
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
			x.endCommand(c, Superseded, "not wanted any more")
			overtaken = true
		}
	}
	return overtaken
}
