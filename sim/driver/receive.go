package driver

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// answerTolerance is how much older than the answer, by Central's clock, a
// message may be and still belong to this service. Messages of earlier services
// that Central publishes again are older than that.
const answerTolerance = 5 * time.Second

// onReceived applies one message of central-events.
func (c *Conversation) onReceived(r Received) []Effect {
	e := &r.Event
	if e.EventType == wire.CentralAuthorization {
		return c.onAnswer(r.At, e)
	}
	if c.phase == phaseAsking || !c.concerns(e) {
		return nil
	}
	// Progress is not remembered: it comes every few seconds, and a repetition
	// does no harm.
	if e.EventType != wire.CentralProgress {
		if _, known := c.seenEvents[e.EventID]; known {
			return nil
		}
		c.seenEvents[e.EventID] = struct{}{}
	}
	return c.onServiceEvent(r.At, e)
}

// concerns reports whether a message is about this service: its driver, its
// connector, and its session or, while there is none, its time.
func (c *Conversation) concerns(e *wire.CentralEvent) bool {
	if e.Username != "" && e.Username != c.cfg.Username {
		return false
	}
	if e.CPID != c.cp || e.Connector != 0 && e.Connector != c.connector {
		return false
	}
	if e.Username == "" && e.EventType != wire.CentralFault && e.EventType != wire.CentralFaultCleared {
		return false
	}
	// Once the session is known, its id decides. Before that, the time separates
	// the messages of earlier services at this connector.
	if e.SessionID != "" && c.session != "" {
		return e.SessionID == c.session
	}
	return e.Timestamp.Time() >= c.answeredAt.Time().Add(-answerTolerance)
}

// onAnswer applies the answer to the request. A request that Central read too
// late is sent again under a new id.
func (c *Conversation) onAnswer(now time.Time, e *wire.CentralEvent) []Effect {
	if c.phase != phaseAsking || e.Username != c.cfg.Username || e.MessageID != c.requestID || e.Authorized == nil {
		return nil
	}
	if *e.Authorized {
		return c.onAuthorized(now, e)
	}
	if e.Reason == wire.RefusedStale {
		c.startRequest(wire.DriverAuthorization, now)
		c.requestID = c.pending.id
		c.pending.firstSent = now
		return []Effect{c.report(now, StepAskingAgain, "the request was read too late, asking again")}
	}
	s := c.report(now, StepRefused, "refused: "+refusalText(e))
	s.Step.Reason = e.Reason
	if e.CPID != "" {
		s.Step.CPID = e.CPID
	}
	return c.finish(s, Refused)
}

// onAuthorized starts the wait for charging. It ends a grace period after the
// reservation.
func (c *Conversation) onAuthorized(now time.Time, e *wire.CentralEvent) []Effect {
	c.phase = phaseAuthorized
	c.cp, c.connector, c.reservationID, c.answeredAt = e.CPID, e.Connector, e.ReservationID, e.Timestamp
	c.outcome.CPID, c.outcome.Connector = e.CPID, e.Connector
	text := "authorised at " + connectorText(c.cp, c.connector)
	wait := c.cfg.SessionTimeout
	if e.ExpiresAt != nil {
		// The clocks may differ, so the wait is the time between Central's two
		// timestamps.
		wait = e.ExpiresAt.Time().Sub(e.Timestamp.Time()) + c.cfg.Grace
		text += ", kept until " + now.Add(wait-c.cfg.Grace).Format(clockFormat)
	}
	c.deadline = now.Add(max(wait, c.cfg.Grace))
	c.startRequest(wire.DriverStarted, now)
	return []Effect{c.report(now, StepAuthorized, text)}
}

// onServiceEvent applies a message about the service after its authorization.
func (c *Conversation) onServiceEvent(now time.Time, e *wire.CentralEvent) []Effect {
	if c.phase == phaseCharging {
		c.deadline = now.Add(c.cfg.SessionTimeout)
	}
	switch e.EventType {
	case wire.CentralChargingStarted:
		return c.onCharging(now, e)
	case wire.CentralProgress:
		out := c.onCharging(now, e)
		return append(out, c.reportAmounts(now, StepProgress, "charging: ", e))
	case wire.CentralSuspended:
		return []Effect{c.reportReason(now, StepSuspended, "paused", e)}
	case wire.CentralResumed:
		return []Effect{c.reportReason(now, StepResumed, "goes on", e)}
	case wire.CentralStopResponse:
		return []Effect{c.reportReason(now, StepStopping, "the stop was read", e)}
	case wire.CentralFault:
		return []Effect{c.reportReason(now, StepFault, "fault "+string(e.Fault), e)}
	case wire.CentralFaultCleared:
		return []Effect{c.reportReason(now, StepFault, "repaired: "+string(e.Fault), e)}
	case wire.CentralNotice:
		return c.onNotice(now, e)
	case wire.CentralReservationEnded:
		if c.phase != phaseAuthorized || e.ReservationID != c.reservationID {
			return nil
		}
		return c.finish(c.reportReason(now, StepReservationEnded, "the reservation ended", e), ReservationEnded)
	case wire.CentralTicket:
		c.session = e.SessionID
		if e.EnergyKWh != nil {
			c.outcome.Energy = charge.WattHours(*e.EnergyKWh)
		}
		if e.Cost != nil {
			c.outcome.Cost = *e.Cost
		}
		c.outcome.SessionID = e.SessionID
		return c.finish(c.reportAmounts(now, StepTicket, "ticket: ", e), Ticket)
	case wire.CentralAuthorization, wire.CentralStatus:
	}
	return nil
}

// onNotice reports a notice. A start that Central refuses for its content would be
// refused again, so that it is not repeated: the service ends with it.
func (c *Conversation) onNotice(now time.Time, e *wire.CentralEvent) []Effect {
	if c.phase == phaseAuthorized && c.pending != nil && e.MessageID == c.pending.id && e.Reason == wire.RefusedInvalid {
		s := c.report(now, StepRefused, "refused: "+refusalText(e))
		s.Step.Reason = e.Reason
		return c.finish(s, Refused)
	}
	if e.Message == "" {
		return nil
	}
	text := e.Message
	if limit := limitText(e); limit != "" {
		text += ", " + limit
	}
	return []Effect{c.report(now, StepNotice, text)}
}

// onCharging starts the session phase, at the first message that shows it:
// messages are delivered at least once and progress may come first.
func (c *Conversation) onCharging(now time.Time, e *wire.CentralEvent) []Effect {
	if c.phase == phaseCharging {
		return nil
	}
	c.phase, c.session = phaseCharging, e.SessionID
	c.pending = nil
	c.deadline = now.Add(c.cfg.SessionTimeout)
	if c.cfg.StopAfter > 0 {
		c.stopAt = now.Add(c.cfg.StopAfter)
	}
	return []Effect{c.report(now, StepStarted, "charging at "+connectorText(c.cp, c.connector))}
}

// reportAmounts reports a step with energy, power, cost and duration.
func (c *Conversation) reportAmounts(now time.Time, k StepKind, text string, e *wire.CentralEvent) Report {
	text += amountsText(e)
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	if limit := limitText(e); limit != "" {
		text += ", " + limit
	}
	s := c.report(now, k, text)
	s.Step.EnergyKWh, s.Step.PowerW, s.Step.Cost, s.Step.Currency = e.EnergyKWh, e.PowerW, e.Cost, e.Currency
	s.Step.DurationSec, s.Step.Reason = e.DurationSec, e.Reason
	s.Step.LimitKWh, s.Step.LimitCost = e.LimitKWh, e.LimitCost
	return s
}

// reportReason reports a step with the message or the reason of Central.
func (c *Conversation) reportReason(now time.Time, k StepKind, text string, e *wire.CentralEvent) Report {
	switch {
	case e.Message != "":
		text += ": " + e.Message
	case e.Reason != "":
		text += ": " + e.Reason
	}
	s := c.report(now, k, text)
	s.Step.Reason = e.Reason
	return s
}
