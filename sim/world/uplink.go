package world

import (
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// This file is the shell around agent/delivery, after agent/internal/uplink: the
// connection to the broker, and what is published over it.

// topic is the topic of a kind of message of this charging point.
func (b *boot) topic(k wire.Kind) string { return b.w.mqtt.topics.Of(b.agent.id, k) }

// dial connects to the broker, and retries until it succeeds. The last will names
// the number of the connection, so that a late will of an older one is ignored.
func (b *boot) dial() {
	n := b.conns + 1
	will := mqttMessage{topic: b.topic(wire.KindPresence), raw: b.goodbye(n), retained: true, qos: 1}
	b.w.mqtt.connect(b.agent.line, string(b.agent.id), will, b.receive, b.connectionLost, func(c *conn) {
		switch {
		case b.agent.run != b:
			if c != nil {
				c.closedByClient(false)
			}
			return
		case c == nil:
			b.after(b.rng.between(span{time.Second, 15 * time.Second}), "dial", b.dial)
			return
		}
		b.conns, b.conn, b.presenceSent = n, c, delivery.PresenceSchedule{}
		b.publishPresence()
		// Presence first: Central then knows which records to expect.
		b.step(delivery.Connected{Now: b.deliveryNow()})
	})
}

// connectionLost reconnects after a random delay.
func (b *boot) connectionLost() {
	if b.agent.run != b || b.conn == nil || b.conn.alive {
		return
	}
	b.conn = nil
	b.step(delivery.Disconnected{})
	b.after(b.rng.between(span{50 * time.Millisecond, 5 * time.Second}), "dial", b.dial)
}

// deliveryNow is the present for an event of delivery, with a random number for its jitter.
func (b *boot) deliveryNow() delivery.Now { return delivery.Now{At: b.uptime(), Rand: b.rng.Uint64()} }

// held describes the records that the journal has, in the terms of delivery.
func (b *boot) held() delivery.Held {
	h := delivery.Held{Present: b.journal}
	for _, r := range b.log.Held() {
		h.Ranges = append(h.Ranges, delivery.Range{Journal: r.Journal, First: r.First, Last: r.Last, Index: delivery.Index(r.Index)})
	}
	return h
}

// journalAppended informs delivery of the journal's new end.
func (b *boot) journalAppended() {
	if b.ready {
		b.step(delivery.Appended{Now: b.deliveryNow(), End: b.held().Last()})
	}
}

// step passes an event to delivery, and performs the effects.
func (b *boot) step(e delivery.Event) {
	var effects []delivery.Effect
	b.state, effects = delivery.Step(b.state, e)
	for _, f := range effects {
		switch f := f.(type) {
		case delivery.SavePosition:
			b.savePosition(f.Position)
		case delivery.RolledBack:
			b.w.stats.RolledBackSeen++
			b.appendRecord(0, &wire.AnomalySeen{Anomaly: "storage_rolled_back", Detail: string(f.Journal)})
		case delivery.Send:
			b.send(f.First, f.Last)
		case delivery.Reconnect:
			if b.conn != nil {
				b.conn.close()
			}
		case delivery.SetTimer:
			b.scheduleProbe(f.At)
		}
	}
	// An effect may have killed the process in a disk operation.
	if b.agent.run == b {
		b.maybePresence()
	}
}

// savePosition stores what Central has acknowledged. The journal may delete up to
// it. A position that cannot be stored is harmless: Central sends it again.
func (b *boot) savePosition(p delivery.Position) {
	if err := b.log.SetPosition(journal.Position(p)); err != nil && b.agent.run == b {
		b.w.stats.PositionsLost++
	}
	if b.agent.run == b {
		b.w.checkPosition(b, p)
		b.agent.truth.checkDeleted(b)
	}
}

// send publishes a range of records with QoS 1.
func (b *boot) send(first, last delivery.Index) {
	for i := first; i <= last && b.conn != nil; i++ {
		// The bytes on the disk are published as they are: they are what was hashed.
		e, err := b.log.Read(uint64(i))
		if b.agent.run != b {
			return
		}
		if err != nil {
			b.w.stats.ReadErrors++
			continue
		}
		c := b.conn
		b.w.stats.Sent++
		c.publish(mqttMessage{topic: b.topic(wire.KindEvent), raw: e.Bytes, qos: 1}, func() {
			if b.agent.run == b && b.conn == c {
				b.confirmed(i)
			}
		})
	}
}

// confirmed handles a PUBACK: it opens the window for more records, and deletes
// nothing, since the broker may still lose the record.
func (b *boot) confirmed(i delivery.Index) {
	b.step(delivery.Confirmed{Now: b.deliveryNow()})
	if !b.w.bug(BugForgetAtPuback) {
		return
	}
	// The planted bug pretends that Central acknowledged what the broker has.
	if p := b.held().Position(i); p != nil && i > b.state.Acked {
		b.step(delivery.AckReceived{
			Now: b.deliveryNow(), Ack: wire.Ack{V: wire.Version, Central: b.state.Position.Central, Journal: &p.Journal, Seq: p.Seq}, Held: b.held(),
		})
	}
}

// scheduleProbe sets delivery's timer. The probe asks Central for its position when
// acknowledgements stay away.
func (b *boot) scheduleProbe(at time.Duration) {
	b.probeAt = at
	if at == 0 || b.w.bug(BugNoProbe) {
		return
	}
	b.after(at-b.uptime(), "probe", func() {
		if b.probeAt == at {
			b.probeAt = 0
			b.step(delivery.TimerFired{Now: b.deliveryNow()})
		}
	})
}

// receive decodes an acknowledgement or a command.
func (b *boot) receive(d inbound) {
	if b.agent.run != b || !b.ready {
		return
	}
	_, kind, err := b.w.mqtt.topics.Parse(d.topic)
	if err != nil {
		b.w.stats.BadMessages++
		return
	}
	switch kind {
	case wire.KindAck:
		ack, err := wire.DecodeAck(d.raw)
		if err != nil {
			b.w.stats.BadMessages++
			return
		}
		b.receiveAck(ack, d.retained)
	case wire.KindCommand:
		b.receiveCommand(d.raw)
	case wire.KindEvent, wire.KindPresence, wire.KindTelemetry:
	}
}

// receiveAck handles an acknowledgement. A retained one is of the past, so it
// neither sets the clock nor counts as a sign that Central is there.
func (b *boot) receiveAck(ack wire.Ack, retained bool) {
	if !retained && !ack.Central.Less(b.state.Position.Central) && b.agent.quality == charge.ClockUnset {
		// The time is right to within the delay of the message.
		b.hasCentralTime, b.clockOffset = true, ack.At.Sub(charge.Time(b.uptime().Milliseconds()))
	}
	b.w.checkAck(b, &ack)
	if b.w.bug(BugNoRewind) && b.state.Position.Central.Less(ack.Central) {
		b.keepPosition(&ack)
	}
	b.step(delivery.AckReceived{Now: b.deliveryNow(), Ack: ack, Held: b.held(), Live: !retained})
}

// receiveCommand decides about a command, and executes it.
func (b *boot) receiveCommand(raw []byte) {
	wall, q := b.wall()
	// Dedup, expiry and the boot are evaluated by the product.
	v := b.commands.Decide(delivery.Receipt{Raw: raw, Received: b.uptime(), At: b.uptime(), Wall: wall, Clock: q})
	b.w.stats.verdict(v.Kind)
	b.agent.truth.received(&v)
	if b.w.bug(BugIgnoreBoot) && v.Kind == delivery.OtherBoot && v.Command.CPID == b.agent.id {
		if order, err := v.Command.Order(); err == nil {
			v.Kind, v.Order, v.Deadline = delivery.Run, order, b.uptime()+v.Command.Life()
		}
	}
	b.handleCommand(v)
}

// describe returns the presence as it is now.
func (b *boot) describe() wire.Presence {
	wall, _ := b.wall()
	p := wire.Presence{V: wire.Version, Online: true, Journal: b.journal, Conn: b.conns, At: wall}
	return b.state.Describe(b.held(), b.commands.Central(), p)
}

// maybePresence publishes the presence if it changed and is due, or schedules it.
func (b *boot) maybePresence() {
	if b.conn == nil || !b.ready {
		return
	}
	p := b.describe()
	if due := b.presenceSent.Due(p); b.uptime() < due {
		b.schedulePresence(due)
		return
	}
	b.publishPresence()
}

// schedulePresence schedules the next check, unless an earlier one is scheduled.
func (b *boot) schedulePresence(at time.Duration) {
	// An earlier check will schedule the later one itself.
	if b.presenceAt > b.uptime() && b.presenceAt <= at {
		return
	}
	b.presenceAt = at
	b.after(at-b.uptime(), "presence due", func() {
		if b.presenceAt == at {
			b.presenceAt = 0
			b.maybePresence()
		}
	})
}

// publishPresence publishes the retained presence.
func (b *boot) publishPresence() {
	p := b.describe()
	raw, err := p.Encode()
	if err != nil {
		b.w.violated("shell", "presence cannot be encoded: %v", err)
		return
	}
	b.conn.publish(mqttMessage{topic: b.topic(wire.KindPresence), raw: raw, retained: true, qos: 1}, nil)
	b.presenceSent = b.presenceSent.Published(p, b.uptime())
	b.schedulePresence(b.presenceSent.Due(p))
}

// goodbye returns the last will of a connection.
func (b *boot) goodbye(conn uint64) []byte {
	wall, _ := b.wall()
	p := wire.Presence{V: wire.Version, Journal: b.journal, Conn: conn, At: wall}
	raw, err := p.Encode()
	if err != nil {
		b.w.violated("shell", "last will cannot be encoded: %v", err)
	}
	return raw
}

// telemetry publishes the present values at the plan's interval.
func (b *boot) telemetry() {
	every := b.w.plan.Telemetry
	b.after(every, "telemetry", func() {
		if b.conn != nil {
			b.publishTelemetry(every)
		}
		b.telemetry()
	})
}

// publishTelemetry publishes the present values with QoS 0: they are replaced soon.
func (b *boot) publishTelemetry(every time.Duration) {
	wall, q := b.wall()
	t := wire.Telemetry{
		V: wire.Version, CPID: b.agent.id, Journal: b.journal, At: wall, Clock: q, UptimeMS: b.uptime().Milliseconds(),
		IntervalMS: every.Milliseconds(), Health: wire.Health{Unacked: int64(b.state.Unacked()), Alarm: b.state.Alarm(b.uptime())},
	}
	for _, m := range b.machines {
		s := &m.state
		t.Connectors = append(t.Connectors, wire.ConnectorTelemetry{
			Connector: s.ID, Status: connector.Status(*s), SessionID: s.Session.ID, Start: s.Session.StartRegister, Register: s.Meter.Last.Import,
			Power: s.Meter.Last.Power, Faults: s.Faults.List(),
		})
	}
	raw, err := t.Encode()
	if err != nil {
		b.w.violated("shell", "telemetry cannot be encoded: %v", err)
		return
	}
	b.conn.publish(mqttMessage{topic: b.topic(wire.KindTelemetry), raw: raw}, nil)
}
