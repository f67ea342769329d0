package point

import (
	"encoding/json"
	"slices"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// commandReceived decides a command, and records why it has no effect. A malformed
// one without an id cannot be answered.
func (s *State) commandReceived(e CommandReceived) {
	v := s.commands.Decide(delivery.Receipt{Raw: e.Raw, Received: e.ReceivedAt, At: s.now.At, Wall: s.now.Wall, Clock: s.now.Clock})
	s.described = false // the presence names the highest epoch of a command
	s.effects = append(s.effects, CommandDecided{v})
	switch v = s.plantInCommands(v); v.Kind {
	case delivery.Malformed:
		s.badMessages++
		if v.Command.ID != "" {
			s.finish(v, wire.ResultRejected, v.Reason)
		}
	case delivery.Superseded:
		s.finish(v, wire.ResultRejected, v.Reason)
	case delivery.Expired:
		s.finish(v, wire.ResultExpired, v.Reason)
	case delivery.Run:
		s.execute(v)
	case delivery.Known, delivery.OtherBoot: // counted, without a record
	}
}

// execute starts a valid command. Where the connector does not exist, or this
// build does not know the command, it is rejected here.
func (s *State) execute(v delivery.Verdict) {
	n := v.Command.Connector
	raw, err := canonical(v)
	if err != nil {
		s.finish(v, wire.ResultRejected, "malformed")
		return
	}
	switch o := v.Order.(type) {
	case *wire.SetAvailability, *wire.Reset:
		if n == 0 {
			s.forwardToAll(v, raw)
			return
		}
	case *wire.Simulate:
		s.simulate(v, raw, *o)
		return
	case *wire.SetLimit:
		s.setLimit(v, raw, o)
		return
	case *wire.Identify:
		s.identify(v, raw)
		return
	case *wire.Authorize, *wire.SetLocalList:
		s.cardCommand(v, raw)
		return
	case *wire.Reserve, *wire.CancelReservation, *wire.Start, *wire.Stop, *wire.Unlock:
	default: // rejected first, whichever connector it names
		s.finish(v, wire.ResultRejected, "unsupported")
		return
	}
	if !s.has(n) {
		s.finish(v, wire.ResultRejected, "unknown_connector")
		return
	}
	s.forward(v, raw, n, false)
}

// forward passes a command to a connector, which decides by its content. part is
// true for a command to all connectors, whose acceptance and result are recorded
// here.
func (s *State) forward(v delivery.Verdict, raw string, n charge.ConnectorID, part bool) {
	s.stepConnector(n, connector.CommandReceived{
		Now: s.connectorNow(), ID: v.Command.ID, SentAt: v.Command.SentAt, Raw: raw, Order: v.Order, Expires: v.Deadline, AllConnectors: part,
	})
}

// canonical is the command as command_accepted records it: only the fields that
// this build knows, so that its size is bounded.
func canonical(v delivery.Verdict) (string, error) {
	c := v.Command
	if v.Order != nil {
		data, err := wire.EncodeOrder(v.Order)
		if err != nil {
			return "", err
		}
		c.Data = data
	}
	raw, err := c.Encode()
	return string(raw), err
}

// forwardToAll passes a command to all connectors, with one acceptance and one result
// for all of them.
func (s *State) forwardToAll(v delivery.Verdict, raw string) {
	s.accept(v, raw)
	for i := range s.connectors {
		s.forward(v, raw, charge.ConnectorID(i+1), true)
	}
	s.finish(v, wire.ResultDone, "")
}

// simulate asks for an operation of simulated hardware.
func (s *State) simulate(v delivery.Verdict, raw string, o wire.Simulate) {
	n := v.Command.Connector
	switch {
	case !s.cfg.Simulated:
		s.finish(v, wire.ResultRejected, "not_simulated")
		return
	case !s.has(n):
		s.finish(v, wire.ResultRejected, "unknown_connector")
		return
	}
	if o.Action == wire.SimulateTap && o.Card == "" {
		s.finish(v, wire.ResultRejected, "malformed")
		return
	}
	if o.Action == wire.SimulateFault && o.Fault == "" {
		o.Fault = charge.FaultOther
	}
	s.accept(v, raw)
	s.effects = append(s.effects, Operate{Operation{Connector: n, Simulate: o, Command: v.Command.ID}})
}

// identify lets the lights of a connector blink; connector 0 means all that have any.
func (s *State) identify(v delivery.Verdict, raw string) {
	n := v.Command.Connector
	lit := slices.Contains(s.cfg.Lights, true)
	if n != 0 {
		if !s.has(n) {
			s.finish(v, wire.ResultRejected, "unknown_connector")
			return
		}
		lit = int(n) <= len(s.cfg.Lights) && s.cfg.Lights[n-1]
	}
	if !lit { // done would send a person to look for a light that is not there
		s.finish(v, wire.ResultRejected, "no_lights")
		return
	}
	s.accept(v, raw)
	s.effects = append(s.effects, Identify{n})
	s.finish(v, wire.ResultDone, "")
}

// operated records the result of an operation. Its reason is at most 128 bytes.
func (s *State) operated(e Operated) {
	r, reason := wire.ResultDone, e.Failure[:min(len(e.Failure), 128)]
	if reason != "" {
		r = wire.ResultFailed
	}
	s.record(e.Operation.Connector, &wire.CommandFinished{
		CommandID: e.Operation.Command, Command: wire.CommandSimulate, Result: r, Reason: reason,
	})
}

// accept records that a command is accepted.
func (s *State) accept(v delivery.Verdict, raw string) {
	s.record(v.Command.Connector, &wire.CommandAccepted{Command: json.RawMessage(raw)})
}

// finish records the result of a command.
func (s *State) finish(v delivery.Verdict, r wire.CommandResult, reason string) {
	s.record(v.Command.Connector, &wire.CommandFinished{
		CommandID: v.Command.ID, Command: v.Command.Type, Result: r, Reason: reason,
	})
}

// noteEnded remembers which sessions and reservations end with the records of a
// connector, so that a late command cannot start them again.
func (s *State) noteEnded(records []connector.Record) {
	for _, r := range records {
		switch p := r.Payload.(type) {
		case *wire.ChargingStopped:
			s.commands.EndSession(r.Session)
			if p.ReservationID != "" {
				s.commands.EndReservation(p.ReservationID)
			}
		case *wire.ReservationEnded:
			s.commands.EndReservation(p.ReservationID)
		default:
		}
	}
}
