package orders

import (
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// recordReceived reacts to a record that the ledger applied; it ignores all other
// verdicts. Events are published before tickets, and reconcile runs last.
func (x *step) recordReceived(e RecordReceived) {
	if x.fenced() {
		return
	}
	if !e.Outcome.Late { // a late record fills a gap
		x.doubtList(e.CPID, e.Changes)
	}
	if e.Outcome.Verdict != ledger.Applied {
		return
	}
	if e.Outcome.NewBoot {
		x.bootChanged(e.CPID)
		x.doubtGrants(e.CPID)
		if cp := x.v.CP(e.CPID); cp != nil {
			x.endCommandsOfOtherBoots(cp)
		}
	}
	switch p := e.Outcome.Payload.(type) {
	case *wire.CommandAccepted:
		x.commandAccepted(e)
	case *wire.CommandFinished:
		x.commandFinished(e, p)
	case *wire.Authorized:
		if s, ok := x.v.Session(e.Record.SessionID); ok && s.CPID == e.CPID && p.ReservationID != "" {
			x.reservationUsed(e.CPID, p.ReservationID, s.ID)
		}
	case *wire.Registered:
		x.listRegistered(e, p)
	case *wire.AuthRequested:
		x.cardPresented(e, p)
	case *wire.ReservationEnded:
		x.reservationEnded(e.CPID, p)
	case *wire.FaultRaised:
		if e.Outcome.Current {
			x.publishFault(e, p.Fault, p.Detail, wire.CentralFault)
			x.endReservationsAt(Target{e.CPID, e.Record.Connector}, charge.ReservationFault)
		}
	case *wire.FaultCleared:
		if e.Outcome.Current {
			x.publishFault(e, p.Fault, "", wire.CentralFaultCleared)
		}
	default:
		x.publishSessionStep(e, p)
	}
	if x.fenced() {
		return
	}
	x.publishTickets(e.Changes)
	x.reconcile(e.CPID)
}

// reservationEnded reacts to the record that a charging point no longer holds a
// reservation. A record about a reservation of another charging point is ignored.
func (x *step) reservationEnded(cp charge.CPID, p *wire.ReservationEnded) {
	r := x.s.reservations[p.ReservationID]
	if r == nil || r.CPID != cp {
		return
	}
	if r.EndedAt != 0 {
		x.markReleased(r)
		return
	}
	r.Released = true
	x.endReservation(r, string(p.Reason))
}
