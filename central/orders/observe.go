package orders

import (
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// observed takes in a record the ledger has applied.
func (x *step) observed(e Observed) {
	if x.fenced() || e.Outcome.Verdict != ledger.Applied {
		return
	}
	if e.Outcome.NewBoot {
		x.newBoot(e.CPID)
		if cp := x.v.CP(e.CPID); cp != nil {
			x.dropOtherBoots(cp)
		}
	}
	switch p := e.Outcome.Payload.(type) {
	case *wire.CommandAccepted:
		x.accepted(e)
	case *wire.CommandFinished:
		x.finished(e, p)
	case *wire.Authorized:
		if s, ok := x.v.Session(e.Record.SessionID); ok && s.CPID == e.CPID && p.ReservationID != "" {
			x.used(e.CPID, p.ReservationID, s.ID)
		}
	case *wire.ReservationEnded:
		x.reservationEnded(e.CPID, p)
	case *wire.FaultRaised:
		if e.Outcome.Present {
			x.tellFault(e, p.Fault, p.Detail, wire.CentralFault)
			x.free(Target{e.CPID, e.Record.Connector}, charge.ReservationFault)
		}
	case *wire.FaultCleared:
		if e.Outcome.Present {
			x.tellFault(e, p.Fault, "", wire.CentralFaultCleared)
		}
	default:
		x.tellStep(e, p)
	}
	if x.fenced() {
		return
	}
	x.tickets(e.Changes)
	x.compare(e.CPID)
}

// reservationEnded takes in that the charging point let a reservation go. Of the
// reservations of others it can say nothing.
func (x *step) reservationEnded(cp charge.CPID, p *wire.ReservationEnded) {
	r := x.s.reservations[p.ReservationID]
	if r == nil || r.CPID != cp {
		return
	}
	if r.EndedAt != 0 {
		x.gone(r)
		return
	}
	r.Gone = true
	x.endReservation(r, string(p.Reason))
}
