package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// findOrCreateSession returns the session with the id, or creates it. If ended, it
// has its ticket and s is a copy of its row. s is nil if the id belongs to another
// charging point, or to another connector of this one: a session stays at the
// connector of its first record.
func (f *fold) findOrCreateSession(id charge.SessionID, connector charge.ConnectorID) (s *Session, ended bool) {
	s = f.cp.Sessions[id]
	if s == nil && f.env.Session != nil {
		got, ok := f.env.Session(id)
		switch {
		case ok && got.CPID != f.cp.ID:
			f.reportUnusable(reason.Reason{Code: reason.SessionElsewhere, Session: string(id)})
			return nil, false
		case ok && got.State == SessionEnded:
			got.Spans = slices.Clone(got.Spans)
			s, ended = &got, true
		}
	}
	if s != nil && s.Connector != connector {
		f.reportUnusable(reason.Reason{Code: reason.SessionConnector, Session: string(id), Value: fmt.Sprint(s.Connector), Allowed: fmt.Sprint(connector)})
		return nil, false
	}
	if s != nil {
		return s, ended
	}
	s = &Session{ID: id, CPID: f.cp.ID, Connector: connector, State: SessionOpen, FirstSeenAt: f.env.Now}
	f.cp.Sessions[id] = s
	return s, false
}

// extendSettledDuration counts a record into the duration of a settled session
// that it names, if the record is none of applySessionRecord. So the duration is
// the same whether the record arrives before or after the settlement.
func (f *fold) extendSettledDuration(p wire.Payload) {
	switch p.(type) {
	case *wire.Authorized, *wire.ChargingStarted, *wire.MeterRead, *wire.Suspended, *wire.Resumed, *wire.ChargingStopped:
		return // applySessionRecord extends the duration
	}
	if f.rec.SessionID == "" || f.env.Session == nil || f.cp.Sessions[f.rec.SessionID] != nil {
		return
	}
	if s, ok := f.env.Session(f.rec.SessionID); ok && s.CPID == f.cp.ID && s.Settled && f.correctable(&s) {
		s.Spans = slices.Clone(s.Spans)
		f.extendDuration(&s)
		touch(&f.sessions, &s)
	}
}

// extendDuration extends the session's span in the record's journal to the
// record. Any record that names the session counts, also one of another kind.
func (f *fold) extendDuration(s *Session) {
	if s == nil || f.rec.SessionID == "" || f.rec.Connector != 0 && f.rec.Connector != s.Connector {
		return
	}
	if s.State != SessionEnded {
		touch(&f.sessions, s)
	}
	for i := range s.Spans {
		if sp := &s.Spans[i]; sp.Journal == f.rec.Journal {
			sp.FirstMS, sp.LastMS = min(sp.FirstMS, f.rec.UptimeMS), max(sp.LastMS, f.rec.UptimeMS)
			return
		}
	}
	s.Spans = append(s.Spans, Span{Journal: f.rec.Journal, FirstMS: f.rec.UptimeMS, LastMS: f.rec.UptimeMS})
}

// noteFlow notes in the session's span of the record's journal, which
// extendDuration made, when the vehicle paused and when it did not. The result does
// not depend on the order of the records.
func (f *fold) noteFlow(s *Session, p wire.Payload) {
	i := slices.IndexFunc(s.Spans, func(sp Span) bool { return sp.Journal == f.rec.Journal })
	if i < 0 {
		return
	}
	sp, at := &s.Spans[i], f.rec.UptimeMS
	sp.noteMoment(p, f.rec)
	switch p := p.(type) {
	case *wire.Suspended:
		if p.By == "ev" {
			sp.PausedMS = max(sp.PausedMS, at)
		} else {
			sp.ActiveMS = max(sp.ActiveMS, at)
		}
	case *wire.ChargingStarted, *wire.Resumed:
		sp.ActiveMS = max(sp.ActiveMS, at)
	case *wire.ChargingStopped:
		sp.StopMS = at
	}
}

// applySessionRecord applies a record of the life of a session: grant, start of
// charging, samples, pauses, stop.
func (f *fold) applySessionRecord(p wire.Payload) {
	r := f.rec
	if r.SessionID == "" || r.Connector < 1 {
		f.reportUnusable(reason.Reason{Code: reason.SessionUnnamed})
		return
	}
	s, ended := f.findOrCreateSession(r.SessionID, r.Connector)
	if s == nil {
		return
	}
	switch {
	case ended && f.correctable(s):
		f.applyAfterSettlement(s, p)
		return
	case ended:
		f.applyAfterTicket(s, p)
		return
	}
	f.extendDuration(s)
	stopped := f.updateSession(s, p)
	f.updateConnector(s, p)
	f.readRegisters(p)
	if stopped {
		f.endSession(s)
		return
	}
	f.updateAllOrphaned() // a new session of a connector shows that the one before it ended
	f.updateRunning(s.Connector)
}

// updateSession copies the content of the record into the session. The result does
// not depend on the order of the records: registers only grow, the first grant
// wins, and the stop has the last word on the register.
func (f *fold) updateSession(s *Session, p wire.Payload) (stopped bool) {
	f.noteFlow(s, p)
	switch p := p.(type) {
	case *wire.Authorized:
		s.Register = max(s.Register, p.Register)
		if s.By != "" {
			break // the first grant wins
		}
		s.Start, s.StartKnown, s.AuthorizedAt = p.Register, true, f.rec.At
		s.Username, s.By, s.Tariff, s.ReservationID = p.Username, p.By, p.Tariff, p.ReservationID
		s.Limit, s.Card = charge.SessionLimit{Energy: p.Limit, Amount: p.LimitAmount}, p.TokenHash
	case *wire.ChargingStarted:
		s.Started = true
		if s.StartedAt == 0 || f.rec.At < s.StartedAt {
			s.StartedAt = f.rec.At
		}
		s.Register = max(s.Register, p.Register)
	case *wire.MeterRead:
		s.Register = max(s.Register, p.Register)
	case *wire.Suspended:
		s.Register = max(s.Register, p.Register)
	case *wire.Resumed:
		s.Register = max(s.Register, p.Register)
	case *wire.ChargingStopped:
		f.updateStopped(s, p)
		return true
	}
	return false
}

// updateStopped copies the stop into the session. A stop repeats the start register
// and the driver, so a session whose grant is in a gap can be billed.
func (f *fold) updateStopped(s *Session, p *wire.ChargingStopped) {
	switch {
	case !s.StartKnown:
		s.Start, s.StartKnown = p.Start, true
	case s.Start != p.Start:
		f.reportUnusable(reason.Reason{Code: reason.SessionBegan, Session: string(s.ID), From: int64(s.Start), To: int64(p.Start)})
	}
	if s.By == "" { // its grant is in a gap
		s.Username, s.ReservationID, s.Tariff = p.Username, p.ReservationID, p.Tariff
	}
	s.Reason, s.EndedAt = p.Reason, f.rec.At
	s.Register = p.Register // the register reported at a boot may be that of another meter
}

// updateConnector applies the record to the connector in the record's boot; it
// does nothing for late records.
func (f *fold) updateConnector(s *Session, p wire.Payload) {
	f.updateOpen(s, p)
	c := f.connector(f.rec.Connector)
	if c == nil {
		return
	}
	if _, grant := p.(*wire.Authorized); !grant && c.Session != "" && c.Session != s.ID {
		return
	}
	switch p := p.(type) {
	case *wire.Authorized:
		c.Session, c.Phase, c.Finishing = s.ID, charge.StatusSuspendedEV, false
		c.IdleSince = f.env.Now
		if c.Held.ID == p.ReservationID {
			c.Held = Held{}
		}
		return
	case *wire.ChargingStopped:
		if c.Session == s.ID {
			c.Session, c.Phase = "", ""
		}
		c.Finishing = c.Plugged
		c.IdleSince = f.env.Now
		return
	case *wire.Suspended:
		c.Phase = charge.StatusSuspendedEV
		if p.By == "evse" {
			c.Phase = charge.StatusSuspendedEVSE
		}
	case *wire.ChargingStarted, *wire.Resumed, *wire.MeterRead:
		if _, sample := p.(*wire.MeterRead); !sample || c.Session == "" {
			c.Phase = charge.StatusCharging
		}
	}
	if c.Session == "" { // its grant is in a gap
		c.Session = s.ID
	}
}

// updateOpen notes which session the newest boot has open at the connector.
func (f *fold) updateOpen(s *Session, p wire.Payload) {
	if f.late {
		return
	}
	m := f.changeMeter(s.Connector)
	switch p.(type) {
	case *wire.Authorized:
		m.Session = s.ID
	case *wire.ChargingStopped:
		if m.Session == s.ID {
			m.Session = ""
		}
	default:
		m.Session = cmp.Or(m.Session, s.ID) // if there was none, its grant is in a gap
	}
}

// readRegisters applies the registers of a session's record to the meter.
func (f *fold) readRegisters(p wire.Payload) {
	c := f.rec.Connector
	switch p := p.(type) {
	case *wire.Authorized:
		f.applyRegister(c, p.Register)
	case *wire.ChargingStarted:
		f.applyRegister(c, p.Register)
	case *wire.MeterRead:
		f.applyRegister(c, p.Register)
	case *wire.Suspended:
		f.applyRegister(c, p.Register)
	case *wire.Resumed:
		f.applyRegister(c, p.Register)
	case *wire.ChargingStopped:
		if p.OtherMeter {
			f.extendMeter(c, p.Register, ReadAt{}, true)
		} else {
			f.applyRegister(c, p.Register)
		}
		f.extendMeter(c, p.Start, ReadAt{}, true) // read earlier, at a moment that the record does not state
	}
}

// endSession ends a session and makes its ticket.
func (f *fold) endSession(s *Session) {
	t := MakeTicket(s, f.tariffOf(s))
	p, published := f.env.published(t.ID)
	if published && !t.sameBill(&p) {
		f.endAsPublished(s, &t, &p)
		return
	}
	f.closeSession(s)
	f.bill(s, TicketMade{t, published})
}

// closeSession marks a session as ended, removes it from memory and clears its
// alarms.
func (f *fold) closeSession(s *Session) {
	if s.State == SessionOrphaned {
		f.clearAlarm(AlarmOrphaned, string(s.ID), s.Connector)
	}
	s.State = SessionEnded
	delete(f.cp.Sessions, s.ID)
	f.clearSilenceOf(s)
	touch(&f.sessions, s)
}

// bill emits the ticket of a session, or its correction, and counts its energy as
// billed.
func (f *fold) bill(s *Session, made TicketMade) {
	m, t := f.changeMeter(s.Connector), &made.Ticket
	if other, yes := f.billedTwice(m, t); yes {
		f.raiseAlarm(AlarmOverlap, fmt.Sprintf("%d.%s", s.Connector, s.ID), s.Connector,
			reason.Reason{Code: reason.TicketsOverlap, Other: string(other), Session: string(s.ID)})
	}
	f.inserts = append(f.inserts, made)
	m.Billed += t.Energy
	f.updateRunning(s.Connector)
}

// billedTwice finds another session with a ticket over energy that this ticket
// bills too. After a meter was replaced it finds none: the registers of two
// meters cannot be compared.
func (f *fold) billedTwice(m *Meter, t *Ticket) (other charge.SessionID, yes bool) {
	if f.env.Billed == nil || t.Energy <= 0 || m.Previous.Known || m.Carried != 0 {
		return "", false
	}
	return f.env.Billed(t.Connector, t.Start, t.Stop)
}

// tariffOf returns the prices of a session.
func (f *fold) tariffOf(s *Session) Tariff { return f.env.TariffOf(s.Tariff, s.AuthorizedAt) }

// applyAfterTicket applies a record of a session that has its ticket. A ticket
// never changes: if this record would have changed it, an alarm informs an
// operator.
func (f *fold) applyAfterTicket(s *Session, p wire.Payload) {
	was := MakeTicket(s, f.tariffOf(s))
	f.extendDuration(s)
	f.updateSession(s, p)
	f.updateConnector(s, p) // the connector of an agent whose storage was rolled back is in that session until a record ends it
	f.readRegisters(p)
	if now := MakeTicket(s, f.tariffOf(s)); now != was {
		f.raiseAlarm(AlarmTicket, string(s.ID), s.Connector,
			reason.Reason{Code: reason.TicketDiffers, Session: string(s.ID), Detail: now.Diff(&was)})
	}
}

// updateOrphaned decides whether an open session is orphaned. It is if the newest
// boot does not have it at its connector, although the boot reported its whole
// state (record 1) or another session there. Without either, only the earlier one
// of two open sessions at one connector is orphaned.
func (f *fold) updateOrphaned(s *Session) {
	state := s.State
	switch m := f.cp.Meters[s.Connector]; {
	case m != nil && m.Session == s.ID:
		state = SessionOpen
	case f.newestBootRegistered(), m != nil && m.Session != "", f.hasLaterSession(s):
		state = SessionOrphaned
	}
	if s.State == state {
		return
	}
	s.State = state
	touch(&f.sessions, s)
	if state == SessionOpen {
		f.clearAlarm(AlarmOrphaned, string(s.ID), s.Connector)
		return
	}
	f.clearSilenceOf(s)
	f.raiseAlarm(AlarmOrphaned, string(s.ID), s.Connector,
		reason.Reason{Code: reason.SessionOrphaned, Session: string(s.ID), Energy: int64(s.Energy())})
}

// newestBootRegistered reports whether record 1 of the newest boot is known.
func (f *fold) newestBootRegistered() bool {
	newest := f.findJournal(f.cp.NewestJournal)
	return newest != nil && newest.Registered
}

// hasLaterSession reports whether another session that is open at the connector began
// after this one, by the charging point's clock.
func (f *fold) hasLaterSession(s *Session) bool {
	for _, o := range f.cp.Sessions {
		if o.Connector == s.Connector && o.State == SessionOpen && o != s &&
			cmp.Or(cmp.Compare(o.AuthorizedAt, s.AuthorizedAt), cmp.Compare(o.ID, s.ID)) > 0 {
			return true
		}
	}
	return false
}

// updateAllOrphaned calls updateOrphaned for all sessions that are not ended.
func (f *fold) updateAllOrphaned() {
	for _, id := range slices.Sorted(maps.Keys(f.cp.Sessions)) {
		s := f.cp.Sessions[id]
		f.updateOrphaned(s)
		f.updateRunning(s.Connector)
	}
}
