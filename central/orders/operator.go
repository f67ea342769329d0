package orders

import (
	"cmp"
	"fmt"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// operatorRequest handles one request to the operator API and emits its Reply. A
// fenced Central refuses all but the request to lift the fence.
func (x *step) operatorRequest(a OperatorRequest) {
	if _, lift := a.(OperatorLiftFence); x.fenced() && !lift {
		x.emit(Reply{Refused: RefusedFenced})
		return
	}
	switch a := a.(type) {
	case OperatorReserve:
		x.emit(x.operatorReserve(a))
	case OperatorCancel:
		x.emit(x.operatorCancel(a))
	case OperatorStart:
		x.emit(x.operatorStart(a))
	case OperatorCharge:
		x.emit(x.operatorCharge(a))
	case OperatorStop:
		x.emit(x.operatorStop(a))
	case OperatorAvailability:
		x.emit(x.operatorAvailability(a))
	case OperatorSimulate:
		x.emit(x.operatorSimulate(a))
	case OperatorOnSite:
		x.emit(x.operatorOnSite(a))
	case OperatorAdmitted:
		if !a.Admitted {
			x.endReservationsAt(Target{CPID: a.CPID}, charge.ReservationCancelled)
		}
		x.reconcile(a.CPID)
		x.emit(Reply{Target: Target{CPID: a.CPID}})
	case OperatorSettled:
		x.sessionSettled(a.Target)
		x.emit(Reply{SessionID: a.SessionID, Target: a.Target})
	case OperatorIssueCard:
		x.emit(x.issueCard(a.Card))
	case OperatorChangeCard:
		x.emit(x.changeCard(a))
	case OperatorSaveGroup:
		x.emit(x.saveGroup(a))
	case OperatorDeleteGroup:
		x.emit(x.deleteGroup(a))
	case OperatorLiftFence:
		x.s.fencedBy = charge.Epoch{}
		x.startSupplies() // the other Central may have granted
		x.emit(SaveFence{})
		x.emit(Reply{})
	}
}

// operatorReserve reserves for a driver, with the same limit as the driver's own
// requests. It replies at once: the operator sees the confirmation on the page.
func (x *step) operatorReserve(a OperatorReserve) Reply {
	q := &Request{Username: a.Username, CPID: a.CPID}
	n := 0
	for _, r := range x.s.reservations {
		if r.Username == a.Username && r.Active(x.At) {
			n++
		}
	}
	if n >= x.s.cfg.PerDriver {
		return Reply{Refused: wire.RefusedLimit}
	}
	refusal := x.unknownTarget(a.Target)
	var t Target
	switch {
	case refusal != "":
	case a.Connector != 0:
		t, refusal = x.chooseConnector(a.Target, true)
	default:
		t, refusal = x.choose(q, true)
	}
	if refusal != "" {
		return Reply{Refused: refusal}
	}
	r := x.reserve(t, a.Username, "")
	return Reply{ReservationID: r.ID, Target: t}
}

// unknownTarget returns the refusal for a target that does not exist; "" if it may.
// The connectors of a charging point whose current boot is not known cannot be
// checked. Zero values name nothing.
func (x *step) unknownTarget(t Target) (refusal string) {
	cp := x.v.CP(t.CPID)
	switch {
	case t.CPID != "" && cp == nil:
		return wire.RefusedUnknownCP
	case cp != nil && t.Connector != 0 && len(cp.Connectors) > 0 && cp.Connectors[t.Connector] == nil:
		return RefusedUnknownConnector
	}
	return ""
}

// chooseConnector returns the target if it may be reserved, else the refusal.
func (x *step) chooseConnector(t Target, replace bool) (Target, string) {
	found := false
	refusal := x.eachFree(x.v.CP(t.CPID), replace, func(c candidate) { found = found || c.Target == t })
	if found {
		return t, ""
	}
	return Target{}, cmp.Or(refusal, wire.RefusedBusy)
}

// operatorCancel ends a reservation; its charging point releases it later.
func (x *step) operatorCancel(a OperatorCancel) Reply {
	r := x.s.reservations[a.ReservationID]
	if r == nil {
		if _, ok := x.pastReservation(a.ReservationID); !ok {
			return Reply{Refused: RefusedUnknownReservation}
		}
	}
	if r == nil || r.EndedAt != 0 {
		return Reply{Refused: RefusedReservationEnded}
	}
	x.endReservation(r, string(charge.ReservationCancelled))
	x.reconcile(r.CPID)
	return Reply{ReservationID: r.ID, Target: Target{r.CPID, r.Connector}}
}

// operatorStart starts a session by the driver's reservation at the target, or
// without one at a free connector. With a reservation, a repeated request returns
// the same session.
func (x *step) operatorStart(a OperatorStart) Reply {
	cp := x.v.CP(a.CPID)
	refusal := x.unknownTarget(a.Target)
	switch {
	case refusal != "":
		return Reply{Refused: refusal}
	case cp == nil || !cp.Admitted:
		return Reply{Refused: wire.RefusedUnknownCP}
	case cp.CurrentJournal == "" || x.v.Liveness(a.CPID, x.At) == ledger.Offline:
		return Reply{Refused: RefusedOffline}
	case cp.Forked():
		return Reply{Refused: wire.RefusedNotAvailable}
	}
	t := a.Target
	r := x.s.activeAt(t, x.At)
	if t.Connector == 0 {
		if r = x.reservationAt(a.CPID, a.Username); r != nil {
			t.Connector = r.Connector
		}
	}
	switch {
	case r != nil && r.Username != a.Username:
		return Reply{Refused: wire.RefusedBusy}
	case r != nil:
		return x.startBy(r, a.Limit)
	case x.tooSmall(a.Limit, x.tariff()):
		return Reply{Refused: RefusedLimitTooSmall}
	}
	if t.Connector == 0 {
		t, refusal = x.choose(&Request{CPID: a.CPID}, false)
	} else {
		t, refusal = x.chooseConnector(t, false)
	}
	if refusal != "" {
		return Reply{Refused: refusal}
	}
	return Reply{SessionID: x.desireStart(t, a.Username, nil, a.Limit), Target: t}
}

// startBy makes the session of a reservation desired, unless it is already. A session
// that is desired keeps its limit: its START may be at the charging point.
func (x *step) startBy(r *Reservation, limit charge.SessionLimit) Reply {
	reply := Reply{ReservationID: r.ID, Target: Target{r.CPID, r.Connector}}
	d := x.s.point(r.CPID).startOf(r.ID)
	switch {
	case x.tooSmall(limit, r.Tariff):
		return Reply{Refused: RefusedLimitTooSmall}
	case d == nil:
		reply.SessionID = x.desireStart(reply.Target, r.Username, r, limit)
	case d.Limit != x.withEnergy(limit, d.Tariff):
		return Reply{Refused: RefusedLimitDiffers}
	default:
		reply.SessionID = d.SessionID
	}
	return reply
}

// operatorCharge reserves as operatorReserve does, and makes the session of the
// reservation desired at once: its START follows when the charging point holds the
// reservation. A driver that has a reservation there charges by that one, so that a
// repeated request has the same result.
func (x *step) operatorCharge(a OperatorCharge) Reply {
	for _, r := range byMade(x.s.reservations) {
		if r.Username == a.Username && r.Active(x.At) && (a.CPID == "" || a.CPID == r.CPID) && (a.Connector == 0 || a.Connector == r.Connector) {
			return x.startBy(r, a.Limit)
		}
	}
	if x.tooSmall(a.Limit, x.tariff()) {
		return Reply{Refused: RefusedLimitTooSmall}
	}
	reply := x.operatorReserve(OperatorReserve{Target: a.Target, Username: a.Username})
	if reply.Refused != "" {
		return reply
	}
	return x.startBy(x.s.reservations[reply.ReservationID], a.Limit)
}

// operatorStop makes the end of a session desired. For a session that has not begun,
// which only a desired start names, that lasts for stopDesiredFor.
func (x *step) operatorStop(a OperatorStop) Reply {
	if s, ok := x.v.Session(a.SessionID); ok {
		switch s.State {
		case ledger.SessionOpen:
		case ledger.SessionOrphaned:
			return Reply{Refused: RefusedSessionOrphaned}
		case ledger.SessionEnded:
			return Reply{Refused: RefusedSessionEnded}
		}
		x.desireStop(Target{s.CPID, s.Connector}, s.ID, s.Username, 0)
		x.reconcile(s.CPID)
		return Reply{SessionID: s.ID, Target: Target{s.CPID, s.Connector}}
	}
	for id, p := range x.s.points {
		if d := p.desired[desiredKey{kind: DesiredStart, session: a.SessionID}]; d != nil {
			x.desireStop(Target{id, d.Connector}, d.SessionID, d.Username, x.At.Add(stopDesiredFor))
			x.reconcile(id)
			return Reply{SessionID: a.SessionID, Target: Target{id, d.Connector}}
		}
	}
	return Reply{Refused: RefusedUnknownSession}
}

// operatorAvailability sets the desired availability, if the target may exist.
func (x *step) operatorAvailability(a OperatorAvailability) Reply {
	if refusal := x.unknownTarget(a.Target); refusal != "" {
		return Reply{Refused: refusal}
	}
	if cp := x.v.CP(a.CPID); cp != nil && a.Connector != 0 && cp.Connectors[a.Connector] == nil {
		return Reply{Refused: RefusedOffline} // whether it has this connector is not known
	}
	x.setAvailability(a.Target, a.Available)
	return Reply{Target: a.Target}
}

// operatorSimulate replies with the id of the first command, or refuses if none
// could be issued.
func (x *step) operatorSimulate(a OperatorSimulate) Reply {
	cp := x.v.CP(a.CPID)
	switch refusal := x.unknownTarget(a.Target); {
	case refusal != "":
		return Reply{Refused: refusal}
	case !cp.Simulated:
		return Reply{Refused: RefusedNotSimulated}
	}
	ids := x.simulate(cp, a.Connector, &a.Order, "")
	if len(ids) == 0 {
		return Reply{Refused: RefusedOffline}
	}
	return Reply{CommandID: ids[0], Target: a.Target}
}

// operatorOnSite replies with the id of the command, or refuses if it could not be
// issued.
func (x *step) operatorOnSite(a OperatorOnSite) Reply {
	if refusal := x.unknownTarget(a.Target); refusal != "" {
		return Reply{Refused: refusal}
	}
	cp := x.v.CP(a.CPID)
	if cp == nil || cp.Connectors[a.Connector] == nil {
		return Reply{Refused: RefusedOffline} // whether it has this connector is not known
	}
	cmd := x.issue(cp, a.Connector, a.Order, subject{message: "o." + x.IDs()}) // each request is a new one
	if cmd == nil {
		return Reply{Refused: RefusedOffline}
	}
	x.reconcile(cp.ID)
	return Reply{CommandID: cmd.ID, Target: a.Target}
}

// simulate issues SIMULATE for a connector of a simulated charging point, or for
// all if connector is 0, and returns the ids of the commands. message names the
// driver's request, which has one effect however often it is repeated.
func (x *step) simulate(cp *ledger.CP, connector charge.ConnectorID, o *wire.Simulate, message string) []charge.CommandID {
	var ids []charge.CommandID
	for _, c := range byNumber(cp.Connectors) {
		if connector != 0 && connector != c.ID {
			continue
		}
		about := subject{message: message}
		if message == "" {
			about.message = "o." + x.IDs() // each request of an operator is a new one
		}
		if cmd := x.issue(cp, c.ID, o, about); cmd != nil {
			ids = append(ids, cmd.ID)
		}
	}
	x.reconcile(cp.ID)
	return ids
}

// simulateForDriver serves a driver's SIMULATE_CP_ERROR and FIX_CP_ERROR.
func (x *step) simulateForDriver(q wire.DriverRequest) {
	if q.Error != "" && !q.Error.Valid() {
		x.refuse(q, wire.RefusedInvalid, fmt.Sprintf("field error: %.64q is not a fault; one of %q is expected", q.Error, charge.Faults()))
		return
	}
	r := x.newRequest(q, false)
	ev := x.newAnswer(&r)
	cp := x.v.CP(r.CPID)
	o := &wire.Simulate{Action: wire.SimulateRepair}
	if q.EventType == wire.DriverSimulateError {
		o = &wire.Simulate{Action: wire.SimulateFault, Fault: charge.FaultOther}
		if q.Error != "" {
			o.Fault = q.Error
		}
	}
	switch {
	case cp == nil:
		ev.Reason, ev.Message = wire.RefusedUnknownCP, refusalText(wire.RefusedUnknownCP)
	case !cp.Simulated:
		ev.Reason, ev.Message = RefusedNotSimulated, "this charging point is real hardware"
	case len(x.simulate(cp, 0, o, ev.EventID)) == 0:
		ev.Reason, ev.Message = RefusedOffline, "the charging point cannot be reached"
	default:
		ev.Message = "the command was sent to the charging point"
	}
	x.finish(&r, ev)
}
