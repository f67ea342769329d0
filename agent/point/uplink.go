package point

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/wire"
)

// connected publishes the presence before any record, so that Central knows what
// is held.
func (s *State) connected(e Connected) {
	s.conn, s.presence, s.described = e.Conn, delivery.PresenceSchedule{}, false
	s.publishPresence()
	s.stepDelivery(delivery.Connected{Now: s.deliveryNow()})
}

// confirmed passes a PUBACK on: a hint that moves nothing.
func (s *State) confirmed(e Confirmed) {
	if e.Conn != s.conn {
		return
	}
	s.stepDelivery(delivery.Confirmed{Now: s.deliveryNow()})
	if p := s.held.Position(s.delivery.Acked + 1); p != nil && s.bug(BugForgetAtPuback) {
		s.stepDelivery(delivery.AckReceived{
			Now: s.deliveryNow(), Held: s.held,
			Ack: wire.Ack{V: wire.Version, Central: s.delivery.Position.Central, Journal: &p.Journal, Seq: p.Seq},
		})
	}
}

// ackReceived applies an acknowledgement. A retained one gives no time: it is of
// the past.
func (s *State) ackReceived(e AckReceived) {
	if e.Live && !e.Ack.Central.Less(s.delivery.Position.Central) {
		s.effects = append(s.effects, SetClock{e.Ack.At})
	}
	s.stepDelivery(delivery.AckReceived{Now: s.deliveryNow(), Ack: s.plantInAck(e.Ack), Held: s.held, Live: e.Live})
}

// stepDelivery applies an event to the state of delivery and collects its effects.
// Without a connection there is nothing to send on; delivery sends again once
// there is one.
func (s *State) stepDelivery(e delivery.Event) {
	var effects []delivery.Effect
	s.delivery, effects = delivery.Step(s.delivery, e)
	s.described = false
	for _, f := range effects {
		switch f := f.(type) {
		case delivery.SavePosition:
			s.disk.position = &SavePosition{f.Position, f.Index}
		case delivery.RolledBack:
			s.effects = append(s.effects, RolledBack{f})
			s.record(0, &wire.AnomalySeen{
				Anomaly: "storage_rolled_back",
				Detail:  fmt.Sprintf("Central holds %d records of journal %s, this disk %d", f.Central, f.Journal, f.Held),
			})
		case delivery.Send:
			s.effects = append(s.effects, Send{s.conn, f.First, f.Last})
		case delivery.Reconnect:
			s.effects = append(s.effects, Reconnect{s.conn})
		case delivery.SetTimer: // deadline reads it from the state
		}
	}
}

// publishPresence publishes the presence if it is due. It is described again only
// after a change.
func (s *State) publishPresence() {
	if s.conn == 0 || s.described && s.now.At < s.presenceAt {
		return
	}
	s.described = true
	p := s.delivery.Describe(s.held, s.commands.Central(), s.cfg.Presence(s.conn, true, s.now.Wall))
	if s.presenceAt = s.presence.Due(p); s.now.At < s.presenceAt {
		return
	}
	s.effects = append(s.effects, PublishPresence{s.conn, p})
	s.presence = s.presence.Published(p, s.now.At)
	s.presenceAt = s.presence.Due(p)
}

// publishTelemetry publishes the latest values if a connection is up. Those of
// other times are not sent later.
func (s *State) publishTelemetry() {
	interval := s.cfg.IdleTelemetry
	for i := range s.connectors {
		if s.connectors[i].Session.ID != "" {
			interval = s.cfg.Telemetry
		}
	}
	// In step with the boot, not with the delays of the steps.
	s.telemetryAt = max(s.telemetryAt, s.now.At-interval) + interval
	if s.conn == 0 {
		return
	}
	s.effects = append(s.effects, PublishTelemetry{s.conn, s.View().Telemetry(&s.cfg, s.now.Now)})
}

// probeAt is when delivery's timer fires; 0: it is not set.
func (s *State) probeAt() time.Duration {
	if s.bug(BugNoProbe) {
		return 0
	}
	return s.delivery.Timer()
}
