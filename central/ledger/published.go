package ledger

import "github.com/carga-ev/carga/internal/reason"

// This file is about tickets that are published and not in the database: those of a
// run of Central whose database was replaced by an older copy. What its driver got
// stays the ticket; see Env.Published.

// ReadPublished handles a ticket that was read back from where Central publishes
// tickets. One that this database lacks is kept until the session ends here; see
// Env.Published. One that differs from the ticket of this database raises an alarm:
// two Centrals have billed the session, and neither ticket can change.
func ReadPublished(env *Env, p Ticket) []Change {
	if env.Ticket == nil {
		return nil
	}
	t, ok := env.Ticket(p.ID)
	switch {
	case !ok:
		return []Change{TicketPublished{p}}
	case t.sameBill(&p):
		return nil
	}
	f := fold{cp: NewCP(p.CPID), env: env}
	f.raiseAlarm(AlarmTicket, string(p.SessionID), p.Connector,
		reason.Reason{Code: reason.TicketTwice, Session: string(p.SessionID), Detail: p.billDiff(&t)})
	return f.emit()
}

// published finds a ticket that an earlier run published and this database lacks.
func (e *Env) published(id string) (Ticket, bool) {
	if e.Published == nil {
		return Ticket{}, false
	}
	return e.Published(id)
}

// sameBill reports whether two tickets bill the same to the same driver. A published
// ticket has no more than that.
func (t *Ticket) sameBill(o *Ticket) bool {
	return t.Username == o.Username && t.Energy == o.Energy && t.Cost == o.Cost && t.DurationSec == o.DurationSec && t.Reason == o.Reason
}

// billDiff lists in what the bill of t differs from that of o.
func (t *Ticket) billDiff(o *Ticket) string {
	same := *o
	same.copyBill(t)
	return same.Diff(o)
}

// copyBill copies what a published ticket has.
func (t *Ticket) copyBill(p *Ticket) {
	t.Username, t.Energy, t.Cost, t.DurationSec, t.Reason = p.Username, p.Energy, p.Cost, p.DurationSec, p.Reason
}

// adopt returns the ticket that p is of: what its driver got, completed by what t,
// the ticket of the records known here, has in addition.
func (t *Ticket) adopt(p *Ticket) Ticket {
	k := *t
	k.copyBill(p)
	k.Adopted, k.SettledAt = true, p.SettledAt
	k.IdleSec = min(k.IdleSec, k.DurationSec)
	k.Stop = k.Start + k.Energy
	k.Started = k.Started || k.Energy > 0
	return k
}

// endAsPublished ends a session whose ticket was published with another bill than t,
// that of the records known here. The records may be fewer than those of then, or
// more: the agent, whose storage went back too, ended the session once more.
func (f *fold) endAsPublished(s *Session, t, p *Ticket) {
	k := t.adopt(p)
	s.Settled = k.SettledAt != 0
	f.closeSession(s)
	f.bill(s, TicketMade{k, true})
	if k.Energy != t.Energy && !s.Settled {
		f.raiseAlarm(AlarmTicket, string(s.ID), s.Connector,
			reason.Reason{Code: reason.TicketStays, Session: string(s.ID), Detail: t.billDiff(&k)})
	}
	f.correct(s, &k)
}

// correct makes the correction of a session's ticket, if the records state another
// price. A published correction stays as it is too. An adopted ticket of a session
// that was not settled is corrected only if the energy differs: its duration and fees
// may follow from records that are in a gap here.
func (f *fold) correct(s *Session, ticket *Ticket) {
	tariff, ok := f.env.tariff(ticket.Tariff)
	if !ok {
		tariff = f.env.Default
	}
	t := MakeCorrection(s, tariff, ticket)
	none := t.Cost.Currency != ticket.Cost.Currency || // amounts in two currencies have no difference
		t.Energy == 0 && (t.Cost.Minor == 0 || ticket.Adopted && ticket.SettledAt == 0)
	p, published := f.env.published(t.ID)
	if none && !published {
		return
	}
	if published && (none || !t.sameBill(&p)) {
		t = t.adopt(&p)
	}
	f.bill(s, TicketMade{t, published})
}
