package orders

import (
	"fmt"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// recordEventID derives the event_id of an event about a record. Every event_id
// derives from what the event reports, so a reader recognises a repeat.
func recordEventID(kind string, r *wire.Record) string {
	return fmt.Sprintf("%s.%s.%d", kind, r.Journal, r.Seq)
}

// publishSessionStep publishes the steps of sessions, and the status of a
// connector in the current boot.
func (x *step) publishSessionStep(e RecordReceived, p wire.Payload) {
	ev := wire.CentralEvent{
		EventID: recordEventID("e", &e.Record), CPID: e.CPID, Connector: e.Record.Connector, SessionID: e.Record.SessionID,
		Timestamp: wire.Seconds(x.At),
	}
	switch p := p.(type) {
	case *wire.ChargingStarted:
		ev.EventType, ev.ReservationID = wire.CentralChargingStarted, p.ReservationID
	case *wire.Suspended:
		ev.EventType, ev.Reason, ev.Message = wire.CentralSuspended, p.By, p.Reason
	case *wire.Resumed:
		ev.EventType = wire.CentralResumed
	case *wire.StatusChanged:
		if !e.Outcome.Current {
			return
		}
		ev.EventType, ev.Status, ev.SessionID = wire.CentralStatus, p.Status, ""
		x.emit(PublishEvent{ev})
		return
	default:
		return
	}
	if s, ok := x.v.Session(e.Record.SessionID); ok {
		ev.Username = s.Username
		if ev.EventType == wire.CentralChargingStarted {
			showLimit(&ev, s.Limit, x.v.TariffOf(s.Tariff, s.AuthorizedAt).Currency)
		}
	}
	x.emit(PublishEvent{ev})
}

// publishTickets publishes the tickets among the changes, except those that an
// earlier run has published.
func (x *step) publishTickets(changes []ledger.Change) {
	for _, c := range changes {
		made, ok := c.(ledger.TicketMade)
		if !ok || made.Published {
			continue
		}
		s, _ := x.v.Session(made.Ticket.SessionID)
		x.emit(PublishEvent{TicketEvent(&made.Ticket, s.Limit, x.At)})
	}
}

// TicketEvent returns the event about a ticket of a session with a limit. Its event_id is
// the ticket's, which derives from the session, so a reader that gets it twice bills it
// once.
func TicketEvent(t *ledger.Ticket, limit charge.SessionLimit, at charge.Time) wire.CentralEvent {
	energy, cost, sec := wire.KWh(t.Energy), WireMoney(t.Cost), t.DurationSec
	ev := wire.CentralEvent{
		EventID: t.ID, EventType: wire.CentralTicket, Username: t.Username, CPID: t.CPID, Connector: t.Connector,
		SessionID: t.SessionID, EnergyKWh: &energy, Cost: &cost, Currency: string(t.Cost.Currency), DurationSec: &sec,
		Reason: string(t.Reason), Settled: t.SettledAt != 0, Corrects: t.Corrects, Timestamp: wire.Seconds(at),
	}
	showLimit(&ev, limit, t.Cost.Currency)
	return ev
}

// PublishedTicket returns the ticket that an event of TicketEvent is about, as far as
// the event has it; ok is false for any other event, and for values that no ticket
// has.
func PublishedTicket(e *wire.CentralEvent) (t ledger.Ticket, ok bool) {
	if e.EventType != wire.CentralTicket || e.EnergyKWh == nil || e.Cost == nil || e.DurationSec == nil || !e.CPID.Valid() || !charge.ValidID(string(e.SessionID)) {
		return t, false
	}
	t = ledger.Ticket{
		ID: e.EventID, SessionID: e.SessionID, CPID: e.CPID, Connector: e.Connector, Username: e.Username, Energy: charge.WattHours(*e.EnergyKWh),
		Cost:        money.Amount{Minor: money.Minor(e.Cost.Minor), Currency: money.Currency(e.Currency)},
		DurationSec: *e.DurationSec, Reason: charge.StopReason(e.Reason), Corrects: e.Corrects,
	}
	if e.Settled {
		t.SettledAt = max(e.Timestamp.Time(), 1)
	}
	switch {
	case e.Cost.Decimals != t.Cost.Currency.Decimals(), t.DurationSec < 0, t.Connector < 1, t.Connector > charge.MaxConnectors:
		return t, false
	case t.Corrects != "":
		return t, t.ID == ledger.CorrectionID(t.SessionID) && t.Corrects == ledger.TicketID(t.SessionID)
	}
	return t, t.ID == ledger.TicketID(t.SessionID) && t.Energy >= 0 && t.Cost.Minor >= 0
}

// WireMoney returns an amount as messages carry it: with the decimals of its
// currency.
func WireMoney(a money.Amount) wire.Money {
	return wire.Money{Minor: int64(a.Minor), Decimals: a.Currency.Decimals()}
}

// publishReservationEnded publishes to the driver that a reservation ended.
func (x *step) publishReservationEnded(r *Reservation) {
	x.emit(PublishEvent{wire.CentralEvent{
		EventID: "r." + string(r.ID), EventType: wire.CentralReservationEnded, Username: r.Username, CPID: r.CPID,
		Connector: r.Connector, ReservationID: r.ID, Reason: r.Reason, Message: endText(r.Reason), Timestamp: wire.Seconds(x.At),
	}})
}

// publishFault publishes a fault or its end: once without a driver, and once for
// each driver whose session or reservation it concerns.
func (x *step) publishFault(e RecordReceived, f charge.Fault, detail string, t wire.CentralEventType) {
	words := "fault: " + string(f)
	if t == wire.CentralFaultCleared {
		words = "repaired: " + string(f)
	}
	if detail != "" {
		words += ", " + detail
	}
	ev := wire.CentralEvent{
		EventID: recordEventID("f", &e.Record), EventType: t, CPID: e.CPID, Connector: e.Record.Connector, Fault: f, Message: words,
		Timestamp: wire.Seconds(x.At),
	}
	x.emit(PublishEvent{ev})
	cp := x.v.CP(e.CPID)
	if cp == nil {
		return
	}
	for _, c := range byNumber(cp.Connectors) {
		if e.Record.Connector != 0 && e.Record.Connector != c.ID {
			continue
		}
		mine := ev
		mine.Connector = c.ID
		mine.EventID = fmt.Sprintf("%s.%d", ev.EventID, c.ID)
		if s := cp.Sessions[c.Session]; s != nil {
			mine.Username, mine.SessionID = s.Username, s.ID
		} else if r := x.s.activeAt(Target{e.CPID, c.ID}, x.At); r != nil && r.Announced {
			mine.Username, mine.ReservationID = r.Username, r.ID
		}
		if mine.Username != "" {
			x.emit(PublishEvent{mine})
		}
	}
}

// publishNotStarted publishes that a session did not start, and why.
func (x *step) publishNotStarted(d *Desired, reason string) {
	x.emit(PublishEvent{wire.CentralEvent{
		EventID: "n." + string(d.SessionID), EventType: wire.CentralNotice, Username: d.Username, CPID: d.CPID,
		Connector: d.Connector, SessionID: d.SessionID, ReservationID: d.ReservationID, Reason: reason,
		Message: "charging did not start: " + endText(reason), Timestamp: wire.Seconds(x.At),
	}})
}

// publishSimulationRefused publishes that the charging point refused a simulation.
func (x *step) publishSimulationRefused(c *Command) {
	x.emit(PublishEvent{wire.CentralEvent{
		EventID: "n." + string(c.ID), EventType: wire.CentralNotice, CPID: c.CPID, Connector: c.Connector, Reason: c.Reason,
		Message: "the charging point refused: " + endText(c.Reason), Timestamp: wire.Seconds(x.At),
	}})
}

// endText explains to a driver why a reservation or a start ended.
func endText(reason string) string {
	switch reason {
	case string(charge.ReservationExpired):
		return "its time is over"
	case string(charge.ReservationCancelled):
		return "it was cancelled"
	case string(charge.ReservationFault), string(charge.StatusFaulted):
		return "the charging point has a fault"
	case string(charge.ReservationUnavailable):
		return "the charging point is out of service"
	case string(charge.ReservationClockUnset):
		return "the charging point lost its clock"
	case "not_plugged":
		return "no vehicle was plugged in"
	case "occupied", "reserved":
		return "the connector is in use"
	}
	return reason
}

// refusalText explains to a driver why a request was refused.
func refusalText(reason string) string {
	switch reason {
	case wire.RefusedUnreachable:
		return "no charging point confirmed in time"
	case wire.RefusedNoneFree:
		return "no charging point is free"
	case wire.RefusedBusy:
		return "the charging point is in use or reserved"
	case wire.RefusedUnknownCP:
		return "there is no such charging point"
	case wire.RefusedNotAvailable:
		return "the charging point is out of service"
	}
	return reason
}
