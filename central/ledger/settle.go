package ledger

import (
	"fmt"
	"maps"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// Settle ends a session at an operator's request, with a ticket up to its last
// known register that names the moment of the settlement, or with the one that is
// published, see Env.Published. It settles an orphaned session and, if silent reports
// that its charging point is silent, an open one. It returns an error for any other
// session.
//
// What the charging point reports of the session later goes to the session, not
// to a second bill: its charging_stopped makes one correction ticket with the
// difference, if there is one. Until then energy beyond the ticket is shown as
// unaccounted.
func Settle(cp *CP, env *Env, id charge.SessionID, silent bool) ([]Change, error) {
	s := cp.Sessions[id]
	switch {
	case s == nil:
		return nil, fmt.Errorf("session %s of %s is not open; it has its ticket, or does not exist", id, cp.ID)
	case s.State == SessionOpen && !silent:
		return nil, fmt.Errorf("session %s is running and its charging point is online; stop it instead", id)
	}
	f := fold{cp: cp, env: env, rec: &wire.Record{}}
	settled := *s
	settled.Reason = charge.StopRemote
	if s.State == SessionOrphaned {
		settled.Reason = charge.StopPowerLoss
	}
	t := MakeTicket(&settled, f.tariffOf(s))
	p, published := env.published(t.ID)
	if published && !t.sameBill(&p) {
		t = t.adopt(&p)
		if !s.StartKnown { // nor is where its energy is
			t.Start, t.Stop = s.Register, s.Register
		}
	}
	t.SettledAt, t.SettledAfter = set(env.Now), cp.latest()
	f.settleSession(s, TicketMade{t, published})
	return f.emit(), nil
}

// latest is the position of the journal that grew last; zero if none did.
func (cp *CP) latest() (at wire.Position) {
	var grown charge.Time
	for _, id := range slices.Sorted(maps.Keys(cp.Journals)) {
		if j := cp.Journals[id]; j.GrownAt >= grown && j.Last > 0 {
			grown, at = j.GrownAt, wire.Position{Journal: id, Seq: j.Last}
		}
	}
	return at
}

// Resettle ends an open or orphaned session as an earlier settlement did, whose
// ticket is known. A rebuild needs it: a settlement is an operator's decision and
// in no record.
func Resettle(cp *CP, env *Env, t Ticket) ([]Change, error) {
	s := cp.Sessions[t.SessionID]
	if s == nil {
		return nil, fmt.Errorf("session %s of %s is not open; it has its ticket, or does not exist", t.SessionID, cp.ID)
	}
	f := fold{cp: cp, env: env, rec: &wire.Record{}}
	f.settleSession(s, TicketMade{Ticket: t})
	return f.emit(), nil
}

// ResettleAll is Resettle for every session of the charging point that is not ended
// and was settled after no later record than those applied: ticket returns the ticket
// of the session, also if it belongs to another charging point or is of no settlement.
// A rebuild calls it after each record, since cp_registered opens sessions other than
// its own. At which record it settles makes no difference for records that are
// possible; those of a faulty charging point name other sessions than their own.
func ResettleAll(cp *CP, env *Env, ticket func(charge.SessionID) (Ticket, bool)) []Change {
	return resettle(cp, env, func(id charge.SessionID) (Ticket, bool) {
		t, ok := ticket(id)
		return t, ok && cp.passed(t.SettledAfter)
	})
}

// ResettleRest is ResettleAll after all records: it settles also those sessions whose
// settlement followed a record that no longer exists.
func ResettleRest(cp *CP, env *Env, ticket func(charge.SessionID) (Ticket, bool)) []Change {
	return resettle(cp, env, ticket)
}

func resettle(cp *CP, env *Env, ticket func(charge.SessionID) (Ticket, bool)) (all []Change) {
	for _, id := range slices.Sorted(maps.Keys(cp.Sessions)) {
		t, ok := ticket(id)
		if !ok || t.SettledAt == 0 || t.CPID != cp.ID {
			continue
		}
		if changes, err := Resettle(cp, env, t); err == nil { // it is not ended
			all = append(all, changes...)
		}
	}
	return all
}

// passed reports whether the records up to a position are applied or in a gap. The
// zero position is passed from the beginning.
func (cp *CP) passed(at wire.Position) bool {
	if at.Seq == 0 {
		return true
	}
	j := cp.Journals[at.Journal]
	return j != nil && j.Last >= at.Seq
}

// settleSession ends a session with the ticket of its settlement.
func (f *fold) settleSession(s *Session, made TicketMade) {
	f.closeSession(s)
	s.Settled, s.Reason = true, made.Ticket.Reason
	touch(&f.sessions, s)
	f.bill(s, made)
}

// correctable reports whether a session was settled and has no correction yet.
func (f *fold) correctable(s *Session) bool {
	if !s.Settled || f.env.Ticket == nil {
		return false
	}
	_, settled := f.env.Ticket(TicketID(s.ID))
	_, corrected := f.env.Ticket(CorrectionID(s.ID))
	return settled && !corrected
}

// applyAfterSettlement applies a record of a session that an operator settled. s is
// a copy of its row.
func (f *fold) applyAfterSettlement(s *Session, p wire.Payload) {
	if settled, ok := f.env.Ticket(TicketID(s.ID)); ok {
		f.settled = &settled
	}
	f.extendDuration(s)
	stopped := f.updateSession(s, p)
	touch(&f.sessions, s)
	f.updateConnector(s, p)
	f.readRegisters(p)
	if stopped && f.settled != nil {
		f.correct(s, f.settled)
	}
}

// CorrectionID is the id of the ticket that corrects a session's ticket.
func CorrectionID(id charge.SessionID) string { return TicketID(id) + ".1" }

// MakeCorrection returns the difference between what a settled session costs by
// its records and what its ticket states. The sum of both is the price of the
// whole session, priced and rounded once, by the tariff of the ticket. Below zero
// it is a credit: the ticket was made up to a register above that of the stop. Time
// and fees are never credited: what is in a gap by now was known for the ticket.
func MakeCorrection(s *Session, t Tariff, settled *Ticket) Ticket {
	c := MakeTicket(s, t)
	whole := c.Usage()
	whole.Seconds, whole.IdleSec = max(whole.Seconds, settled.DurationSec), max(whole.IdleSec, settled.IdleSec)
	whole.Started = whole.Started || settled.Started
	c.ID, c.Corrects = CorrectionID(s.ID), settled.ID
	c.Energy -= settled.Energy
	c.Start = c.Stop - c.Energy // settled.Stop, unless the start became known later
	c.Cost = t.Cost(whole)
	c.Cost.Minor -= settled.Cost.Minor
	c.DurationSec = max(0, c.DurationSec-settled.DurationSec)
	c.IdleSec = max(0, c.IdleSec-settled.IdleSec)
	return c
}

// RaiseSilence raises an alarm for each open session of a charging point that has
// been silent since a moment. ClearSilence clears them all, the end of a session
// its own.
func RaiseSilence(cp *CP, env *Env, since charge.Time) []Change {
	if cp.SilentSince != 0 || !cp.HasOpenSession() {
		return nil
	}
	f := fold{cp: cp, env: env, pointChanged: true}
	cp.SilentSince = set(since)
	for _, s := range cp.Sessions {
		if s.State == SessionOpen {
			f.raiseAlarm(AlarmSilent, string(s.ID), s.Connector, reason.Reason{
				Code: reason.SessionSilent, Since: since.String(), Session: string(s.ID), Driver: string(s.Username), Energy: int64(s.Energy()),
			})
		}
	}
	return f.emit()
}

// ClearSilence clears the alarms of RaiseSilence: the charging point sent something.
func ClearSilence(cp *CP) []Change {
	if cp.SilentSince == 0 {
		return nil
	}
	f := fold{cp: cp, env: &Env{}, pointChanged: true}
	for _, s := range cp.Sessions {
		f.clearAlarm(AlarmSilent, string(s.ID), s.Connector)
	}
	cp.SilentSince = 0
	return f.emit()
}

// clearSilenceOf clears the alarm of RaiseSilence for a session that is not open
// any more.
func (f *fold) clearSilenceOf(s *Session) {
	if f.cp.SilentSince == 0 {
		return
	}
	f.clearAlarm(AlarmSilent, string(s.ID), s.Connector)
	if !f.cp.HasOpenSession() {
		f.cp.SilentSince, f.pointChanged = 0, true
	}
}

// HasOpenSession reports whether a session is open.
func (cp *CP) HasOpenSession() bool {
	for _, s := range cp.Sessions {
		if s.State == SessionOpen {
			return true
		}
	}
	return false
}
