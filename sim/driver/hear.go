package driver

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// retold is how far a message may lie before the answer, by Central's clock,
// and still belong to this service: what is told again of an earlier one lies
// farther back.
const retold = 5 * time.Second

// hear takes in one message of central-events.
func (c *Conversation) hear(h Heard) []Effect {
	e := &h.Event
	if e.EventType == wire.CentralAuthorization {
		return c.answered(h.At, e)
	}
	if c.phase == phaseAsking || !c.mine(e) {
		return nil
	}
	if e.EventType != wire.CentralProgress {
		if _, known := c.seen[e.EventID]; known {
			return nil
		}
		c.seen[e.EventID] = struct{}{}
	}
	return c.told(h.At, e)
}

// mine reports whether a message is about this service.
func (c *Conversation) mine(e *wire.CentralEvent) bool {
	if e.Username != "" && e.Username != c.cfg.Username {
		return false
	}
	if e.CPID != c.cp || e.Connector != 0 && e.Connector != c.connector {
		return false
	}
	if e.Username == "" && e.EventType != wire.CentralFault && e.EventType != wire.CentralFaultCleared {
		return false
	}
	if e.SessionID != "" && c.session != "" {
		return e.SessionID == c.session
	}
	return e.Timestamp.Time() >= c.answeredAt.Time().Add(-retold)
}

// answered takes in the answer to the request.
func (c *Conversation) answered(now time.Time, e *wire.CentralEvent) []Effect {
	if c.phase != phaseAsking || e.Username != c.cfg.Username || e.MessageID != c.askID || e.Authorized == nil {
		return nil
	}
	if *e.Authorized {
		return c.authorized(now, e)
	}
	if e.Reason == wire.RefusedStale {
		c.begin(wire.DriverAuthorization, now)
		c.askID = c.errand.id
		c.errand.since = now
		return []Effect{c.say(now, StepAskingAgain, "the request was read too late, asking anew")}
	}
	s := c.say(now, StepRefused, "refused: "+refusal(e))
	s.Step.Reason = e.Reason
	if e.CPID != "" {
		s.Step.CPID = e.CPID
	}
	return c.end(s, Refused)
}

func (c *Conversation) authorized(now time.Time, e *wire.CentralEvent) []Effect {
	c.phase = phaseAuthorized
	c.cp, c.connector, c.held, c.answeredAt = e.CPID, e.Connector, e.ReservationID, e.Timestamp
	c.outcome.CPID, c.outcome.Connector = e.CPID, e.Connector
	text := "authorised at " + place(c.cp, c.connector)
	wait := c.cfg.Patience
	if e.ExpiresAt != nil {
		// Central's clock may differ from ours: what counts is how long it gives.
		wait = e.ExpiresAt.Time().Sub(e.Timestamp.Time()) + c.cfg.Grace
		text += ", kept until " + now.Add(wait-c.cfg.Grace).Format(clock)
	}
	c.giveUp = now.Add(max(wait, c.cfg.Grace))
	c.begin(wire.DriverStarted, now)
	return []Effect{c.say(now, StepAuthorized, text)}
}

// told takes in what happened after the answer.
func (c *Conversation) told(now time.Time, e *wire.CentralEvent) []Effect {
	if c.phase == phaseCharging {
		c.giveUp = now.Add(c.cfg.Patience)
	}
	switch e.EventType {
	case wire.CentralChargingStarted:
		return c.started(now, e)
	case wire.CentralProgress:
		out := c.started(now, e)
		return append(out, c.sayAmounts(now, StepProgress, "charging: ", e))
	case wire.CentralSuspended:
		return []Effect{c.sayReason(now, StepSuspended, "paused", e)}
	case wire.CentralResumed:
		return []Effect{c.sayReason(now, StepResumed, "goes on", e)}
	case wire.CentralStopResponse:
		return []Effect{c.sayReason(now, StepStopping, "the stop was read", e)}
	case wire.CentralFault:
		return []Effect{c.sayReason(now, StepFault, "fault "+string(e.Fault), e)}
	case wire.CentralFaultCleared:
		return []Effect{c.sayReason(now, StepFault, "repaired: "+string(e.Fault), e)}
	case wire.CentralNotice:
		if e.Message == "" {
			return nil
		}
		return []Effect{c.say(now, StepNotice, e.Message)}
	case wire.CentralReservationEnded:
		if c.phase != phaseAuthorized || e.ReservationID != c.held {
			return nil
		}
		return c.end(c.sayReason(now, StepReservationEnded, "the reservation ended", e), ReservationEnded)
	case wire.CentralTicket:
		c.session = e.SessionID
		if e.EnergyKWh != nil {
			c.outcome.Energy = charge.WattHours(*e.EnergyKWh)
		}
		if e.Cost != nil {
			c.outcome.Cost = *e.Cost
		}
		c.outcome.SessionID = e.SessionID
		return c.end(c.sayAmounts(now, StepTicket, "ticket: ", e), Ticket)
	case wire.CentralAuthorization, wire.CentralStatus:
	}
	return nil
}

// started notes that power flows, by whichever message says so first.
func (c *Conversation) started(now time.Time, e *wire.CentralEvent) []Effect {
	if c.phase == phaseCharging {
		return nil
	}
	c.phase, c.session = phaseCharging, e.SessionID
	c.errand = nil
	c.giveUp = now.Add(c.cfg.Patience)
	if c.cfg.StopAfter > 0 {
		c.stopAt = now.Add(c.cfg.StopAfter)
	}
	return []Effect{c.say(now, StepStarted, "charging at "+place(c.cp, c.connector))}
}

func (c *Conversation) sayAmounts(now time.Time, k StepKind, text string, e *wire.CentralEvent) Say {
	text += amounts(e)
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	s := c.say(now, k, text)
	s.Step.EnergyKWh, s.Step.PowerW, s.Step.Cost, s.Step.Currency = e.EnergyKWh, e.PowerW, e.Cost, e.Currency
	s.Step.DurationSec, s.Step.Reason = e.DurationSec, e.Reason
	return s
}

func (c *Conversation) sayReason(now time.Time, k StepKind, text string, e *wire.CentralEvent) Say {
	switch {
	case e.Message != "":
		text += ": " + e.Message
	case e.Reason != "":
		text += ": " + e.Reason
	}
	s := c.say(now, k, text)
	s.Step.Reason = e.Reason
	return s
}
