package ingest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// fact adds a fact with a text for people.
func (u *unit) fact(f view.Fact, format string, args ...any) {
	f.At, f.Text = u.now, fmt.Sprintf(format, args...)
	u.facts = append(u.facts, f)
}

// factOf adds a fact about a session and its driver.
func (u *unit) factOf(id charge.SessionID, f view.Fact, format string, args ...any) {
	if id != "" {
		s, _ := u.Session(id) // in this unit, but for commands
		f.SessionID, f.Username = id, s.Username
	}
	u.fact(f, format, args...)
}

// sessionFact adds a fact about a session that a record changed.
func (u *unit) sessionFact(s *ledger.Session, f view.Fact, format string, args ...any) {
	f.Kind, f.CPID, f.Connector = view.FactSession, s.CPID, s.Connector
	u.factOf(s.ID, f, format, args...)
}

// recordFacts adds the facts of an applied record, changeFacts those of a
// change of the ledger, effectFacts those of an effect of orders. changes are what
// the ledger made of the record: of one that it could not use, nothing has happened.
func (u *unit) recordFacts(r *wire.Record, out *ledger.Outcome, changes []ledger.Change) {
	if out.Verdict != ledger.Applied {
		return
	}
	switch p := out.Payload.(type) {
	case *wire.Registered:
		if r.Seq == 1 {
			u.fact(view.Fact{Kind: view.FactLink, What: view.WhatStarted, CPID: r.CPID}, "%s started", r.CPID)
		}
	case *wire.Authorized:
		if s := changedSession(changes, r.SessionID); s != nil && s.State == ledger.SessionOpen {
			u.sessionFact(s, view.Fact{What: view.WhatBegun}, "session %s of %s begins at %s/%d", s.ID, name(s.Username), s.CPID, s.Connector)
		}
	case *wire.ChargingStarted:
		if s := changedSession(changes, r.SessionID); s != nil && s.State == ledger.SessionOpen {
			u.sessionFact(s, view.Fact{What: view.WhatCharges}, "session %s charges at %s/%d", s.ID, s.CPID, s.Connector)
		}
	case *wire.ChargingStopped:
		if s := changedSession(changes, r.SessionID); s != nil && s.State == ledger.SessionEnded {
			u.sessionFact(s, view.Fact{What: view.WhatStopped, Reason: string(s.Reason)}, "session %s at %s/%d stopped: %s", s.ID, s.CPID, s.Connector, s.Reason)
		}
	case *wire.AuthRequested:
		if p.Decided != "" {
			u.fact(view.Fact{
				Kind: view.FactCard, What: view.FactWhat(p.Decided), CPID: r.CPID, Connector: r.Connector, Reason: "without_central",
			}, "a card at %s was %s without Central", place(r.CPID, r.Connector), p.Decided)
		}
	case *wire.FaultRaised:
		if now, ok := changedFaults(changes, r.Connector); ok && slices.Contains(now, p.Fault) {
			u.fact(faultFact(r, p.Fault, view.WhatRaised), "fault %s at %s/%d", p.Fault, r.CPID, r.Connector)
		}
	case *wire.FaultCleared:
		if now, ok := changedFaults(changes, r.Connector); ok && !slices.Contains(now, p.Fault) {
			u.fact(faultFact(r, p.Fault, view.WhatOver), "fault %s at %s/%d is over", p.Fault, r.CPID, r.Connector)
		}
	}
}

// faultFact is a fact about a fault in a record.
func faultFact(r *wire.Record, fault charge.Fault, what view.FactWhat) view.Fact {
	return view.Fact{Kind: view.FactFault, What: what, CPID: r.CPID, Connector: r.Connector, Subject: string(fault)}
}

// changedSession returns a session as the changes leave it; nil if they do not
// change it.
func changedSession(changes []ledger.Change, id charge.SessionID) (s *ledger.Session) {
	for _, c := range changes {
		if c, ok := c.(ledger.SessionChanged); ok && c.Session.ID == id {
			s = &c.Session
		}
	}
	return s
}

// changedFaults returns the faults of a connector, or of the charging point for 0,
// as the changes leave them; ok is false if they do not change it.
func changedFaults(changes []ledger.Change, id charge.ConnectorID) (now []charge.Fault, ok bool) {
	for _, c := range changes {
		switch c := c.(type) {
		case ledger.PointChanged:
			if id == 0 {
				now, ok = c.Point.Faults, true
			}
		case ledger.ConnectorChanged:
			if c.Connector.ID == id {
				now, ok = c.Connector.Faults, true
			}
		case ledger.JournalChanged, ledger.BootDeleted, ledger.MeterChanged, ledger.SessionChanged, ledger.TicketMade,
			ledger.TicketPublished, ledger.GapChanged, ledger.AlarmRaised:
		}
	}
	return now, ok
}

// name returns a username for people; free vend has none.
func name(u charge.Username) string {
	if u == "" {
		return "an unnamed driver"
	}
	return string(u)
}

func (u *unit) changeFacts(c ledger.Change) {
	switch c := c.(type) {
	case ledger.TicketMade:
		t := &c.Ticket
		u.factOf(t.SessionID, view.Fact{
			Kind: view.FactTicket, What: view.WhatMade, CPID: t.CPID, Connector: t.Connector, Energy: t.Energy, Cost: t.Cost.Decimal(), Currency: t.Cost.Currency,
		}, "ticket of %s at %s/%d: %s kWh, %s", name(t.Username), t.CPID, t.Connector, t.Energy.KWh(), t.Cost)
	case ledger.AlarmRaised:
		f := view.Fact{Kind: view.FactAlarm, What: view.WhatRaised, CPID: c.Alarm.CPID, Connector: c.Alarm.Connector, Subject: string(c.Alarm.Kind)}
		if c.Alarm.Cleared {
			f.What = view.WhatOver
			u.fact(f, "alarm %s is over", c.Alarm.Kind)
		} else {
			f.Detail, f.Why = c.Alarm.Detail, c.Alarm.Why
			u.fact(f, "alarm %s: %s", c.Alarm.Kind, c.Alarm.Detail)
		}
	case ledger.PointChanged, ledger.JournalChanged, ledger.ConnectorChanged, ledger.BootDeleted, ledger.MeterChanged,
		ledger.SessionChanged, ledger.TicketPublished, ledger.GapChanged:
	}
}

func (u *unit) effectFacts(e orders.Effect) {
	switch e := e.(type) {
	case orders.SaveReservation:
		r := &e.Reservation
		f := view.Fact{Kind: view.FactReservation, CPID: r.CPID, Connector: r.Connector, Username: r.Username}
		switch {
		case r.EndedAt == u.now:
			f.What, f.Reason = view.WhatEnded, r.Reason
			u.fact(f, "reservation of %s at %s/%d ended: %s", r.Username, r.CPID, r.Connector, r.Reason)
		case r.MadeAt == u.now && r.ConfirmedAt == 0:
			f.What = view.WhatAsked
			u.fact(f, "%s/%d is asked to reserve for %s", r.CPID, r.Connector, r.Username)
		}
	case orders.SaveCommand:
		c := &e.Command
		if u.answerFact(c) {
			return
		}
		if !c.State.Open() {
			u.factOf(c.SessionID, view.Fact{
				Kind: view.FactCommand, What: view.FactWhat(c.State), CPID: c.CPID, Connector: c.Connector, Subject: string(c.Type), Reason: c.Reason,
			}, "%s at %s/%d: %s %s", c.Type, c.CPID, c.Connector, c.State, c.Reason)
		}
	case orders.SaveDesired, orders.SaveRequest, orders.SaveCard, orders.SaveLocalList, orders.SaveGroup, orders.SaveGroupMember, orders.SaveFence, orders.SendCommand, orders.PublishEvent, orders.CountRefusal, orders.Reply:
	}
}

// answerFact adds the fact of an answer to a card once it is written; it reports
// whether e is about such an answer at that moment.
func (u *unit) answerFact(c *orders.Command) bool {
	if c.Type != wire.CommandAuthorize || c.State != orders.Written || c.SendCount > 1 {
		return false
	}
	var o wire.Authorize
	if err := json.Unmarshal(c.Data, &o); err != nil {
		return false // cannot happen: Central wrote it
	}
	at := place(c.CPID, c.Connector)
	f := view.Fact{Kind: view.FactCard, CPID: c.CPID, Connector: c.Connector, Username: o.Username, Reason: o.Reason}
	if f.What = view.WhatRefused; o.Allowed {
		f.What = view.WhatAccepted
		u.fact(f, "a card of %s at %s may charge", o.Username, at)
		return true
	}
	u.fact(f, "a card at %s was refused: %s", at, o.Reason)
	return true
}

// place names a connector, or with 0 the charging point.
func place(cp charge.CPID, n charge.ConnectorID) string {
	if n == 0 {
		return string(cp)
	}
	return fmt.Sprintf("%s/%d", cp, n)
}

// factAttrs returns the fact for the log.
func factAttrs(f *view.Fact) []any {
	all := []any{slog.String("kind", string(f.Kind)), slog.String("cp_id", string(f.CPID)), slog.String("text", f.Text)}
	if f.SessionID != "" {
		all = append(all, slog.String("session_id", string(f.SessionID)))
	}
	return all
}
