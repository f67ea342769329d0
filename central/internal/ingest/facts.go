package ingest

import (
	"fmt"
	"log/slog"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// fact adds a fact, factOf one about a session and its driver.
func (u *unit) fact(kind string, cp charge.CPID, format string, args ...any) {
	u.facts = append(u.facts, view.Fact{At: u.now, Kind: kind, CPID: cp, Text: fmt.Sprintf(format, args...)})
}

func (u *unit) factOf(id charge.SessionID, kind string, cp charge.CPID, format string, args ...any) {
	u.fact(kind, cp, format, args...)
	if f := &u.facts[len(u.facts)-1]; id != "" {
		s, _ := u.Session(id) // in this unit, but for commands
		f.SessionID, f.Username = id, s.Username
	}
}

// factFor adds a fact about a driver without a session.
func (u *unit) factFor(driver charge.Username, kind string, cp charge.CPID, format string, args ...any) {
	u.fact(kind, cp, format, args...)
	u.facts[len(u.facts)-1].Username = driver
}

// recordFacts adds the facts of an applied record, changeFacts those of a
// change of the ledger, effectFacts those of an effect of orders.
func (u *unit) recordFacts(r *wire.Record, out *ledger.Outcome) {
	if out.Verdict != ledger.Applied {
		return
	}
	switch p := out.Payload.(type) {
	case *wire.Registered:
		u.fact("link", r.CPID, "%s started", r.CPID)
	case *wire.Authorized:
		u.factOf(r.SessionID, "session", r.CPID, "session %s of %s begins at %s/%d", r.SessionID, name(p.Username), r.CPID, r.Connector)
	case *wire.ChargingStarted:
		u.factOf(r.SessionID, "session", r.CPID, "session %s charges at %s/%d", r.SessionID, r.CPID, r.Connector)
	case *wire.ChargingStopped:
		u.factOf(r.SessionID, "session", r.CPID, "session %s at %s/%d stopped: %s", r.SessionID, r.CPID, r.Connector, p.Reason)
	case *wire.FaultRaised:
		u.fact("fault", r.CPID, "fault %s at %s/%d", p.Fault, r.CPID, r.Connector)
	case *wire.FaultCleared:
		u.fact("fault", r.CPID, "fault %s at %s/%d is over", p.Fault, r.CPID, r.Connector)
	}
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
		u.factOf(t.SessionID, "ticket", t.CPID, "ticket of %s at %s/%d: %s kWh, %s", name(t.Username), t.CPID, t.Connector,
			t.Energy.KWh(), t.Cost)
	case ledger.AlarmRaised:
		if c.Alarm.Cleared {
			u.fact("alarm", c.Alarm.CPID, "alarm %s is over", c.Alarm.Kind)
		} else {
			u.fact("alarm", c.Alarm.CPID, "alarm %s: %s", c.Alarm.Kind, c.Alarm.Detail)
		}
	case ledger.PointChanged, ledger.JournalChanged, ledger.ConnectorChanged, ledger.BootDeleted, ledger.MeterChanged,
		ledger.SessionChanged, ledger.GapChanged:
	}
}

func (u *unit) effectFacts(e orders.Effect) {
	switch e := e.(type) {
	case orders.SaveReservation:
		r := &e.Reservation
		switch {
		case r.EndedAt == u.now:
			u.factFor(r.Username, "reservation", r.CPID, "reservation of %s at %s/%d ended: %s", r.Username, r.CPID, r.Connector, r.Reason)
		case r.MadeAt == u.now && r.ConfirmedAt == 0:
			u.factFor(r.Username, "reservation", r.CPID, "%s/%d is asked to reserve for %s", r.CPID, r.Connector, r.Username)
		}
	case orders.SaveCommand:
		c := &e.Command
		if !c.State.Open() {
			u.factOf(c.SessionID, "command", c.CPID, "%s at %s/%d: %s %s", c.Type, c.CPID, c.Connector, c.State, c.Reason)
		}
	case orders.SaveDesired, orders.SaveRequest, orders.SaveFence, orders.SendCommand, orders.PublishEvent, orders.CountRefusal, orders.Reply:
	}
}

// factAttrs returns the fact for the log.
func factAttrs(f *view.Fact) []any {
	all := []any{slog.String("kind", f.Kind), slog.String("cp_id", string(f.CPID)), slog.String("text", f.Text)}
	if f.SessionID != "" {
		all = append(all, slog.String("session_id", string(f.SessionID)))
	}
	return all
}
