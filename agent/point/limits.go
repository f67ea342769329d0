package point

import (
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/limits"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// setLimit puts a SET_LIMIT in force. It counts from its receipt, not from when it
// left the inbox. Nothing waits for its record: a boot that does not find it has the
// safe current.
func (s *State) setLimit(v delivery.Verdict, raw string, o *wire.SetLimit) {
	n := v.Command.Connector
	endsAt := v.Deadline - v.Command.Life() + limits.Life(o, v.Command.SentAt)
	switch {
	case n != 0 && !s.has(n):
		s.finish(v, wire.ResultRejected, "unknown_connector")
	case s.stopping:
		s.finish(v, wire.ResultRejected, "stopping")
	case s.limits.Over(o.Limit, endsAt-s.now.At, o.Until, s.now.Wall, s.now.Clock):
		s.finish(v, wire.ResultExpired, "expired")
	default:
		s.accept(v, raw)
		s.limits.Set(n, *o, endsAt)
		s.finish(v, wire.ResultDone, "")
	}
}

// applyLimits gives the control loop the limits that have changed.
func (s *State) applyLimits() {
	for i := range s.limited {
		n := charge.ConnectorID(i + 1)
		if l := s.limits.Of(n); l != s.limited[i] {
			s.limited[i] = l
			s.effects = append(s.effects, LimitCurrent{n, l})
		}
	}
}

// limitApplied remembers what the control loop made of the limits.
func (s *State) limitApplied(e LimitApplied) {
	if s.has(e.Connector) {
		s.measured[e.Connector-1] = e.Limit
	}
}

// describeLimits adds to a connector of cp_registered what its current can be.
func (s *State) describeLimits(c wire.ConnectorState) wire.ConnectorState {
	c.Most, c.Safe = s.cfg.MaxCurrent, s.cfg.Limits.Safe
	if most := s.cfg.Limits.Most; most > 0 && (c.Most == 0 || most < c.Most) {
		c.Most = most
	}
	return c
}

// savedLimits is what the journal kept of the limits: it is behind the connectors.
func savedLimits(saved []connector.Saved) limits.Saved {
	for i := range saved {
		if saved[i].Connector == 0 {
			return saved[i].Limits
		}
	}
	return nil
}
