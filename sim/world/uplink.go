package world

import (
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// What follows is the shell of agent/internal/uplink.

func (b *boot) topic(k wire.Kind) string { return b.w.mqtt.topics.Of(b.agent.id, k) }

// dial connects to the broker, and again whenever the connection is lost.
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
		b.step(delivery.Connected{Now: b.deliveryNow()})
	})
}

func (b *boot) connectionLost() {
	if b.agent.run != b || b.conn == nil || b.conn.alive {
		return
	}
	b.conn = nil
	b.step(delivery.Disconnected{})
	b.after(b.rng.between(span{50 * time.Millisecond, 5 * time.Second}), "dial", b.dial)
}

func (b *boot) deliveryNow() delivery.Now { return delivery.Now{At: b.uptime(), Rand: b.rng.Uint64()} }

func (b *boot) held() delivery.Held {
	h := delivery.Held{Present: b.journal}
	for _, r := range b.log.Held() {
		h.Ranges = append(h.Ranges, delivery.Range{Journal: r.Journal, First: r.First, Last: r.Last, Index: delivery.Index(r.Index)})
	}
	return h
}

// journalAppended tells delivery how far the journal goes now.
func (b *boot) journalAppended() {
	if b.ready {
		b.step(delivery.Appended{Now: b.deliveryNow(), End: b.held().Last()})
	}
}

// step lets delivery decide and performs the effects.
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
	if b.agent.run == b {
		b.maybePresence()
	}
}

// savePosition remembers what Central has; the journal may forget it then.
func (b *boot) savePosition(p delivery.Position) {
	if err := b.log.SetPosition(journal.Position(p)); err != nil && b.agent.run == b {
		b.w.stats.PositionsLost++
	}
	if b.agent.run == b {
		b.w.checkPosition(b, p)
		b.agent.truth.checkDeleted(b)
	}
}

func (b *boot) send(first, last delivery.Index) {
	for i := first; i <= last && b.conn != nil; i++ {
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

// confirmed is a PUBACK, which moves nothing.
func (b *boot) confirmed(i delivery.Index) {
	b.step(delivery.Confirmed{Now: b.deliveryNow()})
	if !b.w.bug(BugForgetAtPuback) {
		return
	}
	if p := b.held().Position(i); p != nil && i > b.state.Acked {
		b.step(delivery.AckReceived{
			Now: b.deliveryNow(), Ack: wire.Ack{V: wire.Version, Central: b.state.Position.Central, Journal: &p.Journal, Seq: p.Seq}, Held: b.held(),
		})
	}
}

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

// receive takes an acknowledgement or a command.
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

func (b *boot) receiveAck(ack wire.Ack, retained bool) {
	if !retained && !ack.Central.Less(b.state.Position.Central) && b.agent.quality == charge.ClockUnset {
		b.hasCentralTime, b.clockOffset = true, ack.At.Sub(charge.Time(b.uptime().Milliseconds()))
	}
	b.w.checkAck(b, &ack)
	if b.w.bug(BugNoRewind) && b.state.Position.Central.Less(ack.Central) {
		b.keepPosition(&ack)
	}
	b.step(delivery.AckReceived{Now: b.deliveryNow(), Ack: ack, Held: b.held(), Live: !retained})
}

func (b *boot) receiveCommand(raw []byte) {
	wall, q := b.wall()
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

// describe is the presence as it is now.
func (b *boot) describe() wire.Presence {
	wall, _ := b.wall()
	p := wire.Presence{V: wire.Version, Online: true, Journal: b.journal, Conn: b.conns, At: wall}
	return b.state.Describe(b.held(), b.commands.Central(), p)
}

// maybePresence says the presence if it is due, and looks again when it is.
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

func (b *boot) schedulePresence(at time.Duration) {
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

func (b *boot) publishPresence() {
	p := b.describe()
	raw, err := p.Encode()
	if err != nil {
		b.w.violated("shell", "presence cannot be written: %v", err)
		return
	}
	b.conn.publish(mqttMessage{topic: b.topic(wire.KindPresence), raw: raw, retained: true, qos: 1}, nil)
	b.presenceSent = b.presenceSent.Published(p, b.uptime())
	b.schedulePresence(b.presenceSent.Due(p))
}

// goodbye is the last will of a connection.
func (b *boot) goodbye(conn uint64) []byte {
	wall, _ := b.wall()
	p := wire.Presence{V: wire.Version, Journal: b.journal, Conn: conn, At: wall}
	raw, err := p.Encode()
	if err != nil {
		b.w.violated("shell", "last will cannot be written: %v", err)
	}
	return raw
}

// telemetry says the latest values every so often.
func (b *boot) telemetry() {
	every := b.w.plan.Telemetry
	b.after(every, "telemetry", func() {
		if b.conn != nil {
			b.publishTelemetry(every)
		}
		b.telemetry()
	})
}

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
		b.w.violated("shell", "telemetry cannot be written: %v", err)
		return
	}
	b.conn.publish(mqttMessage{topic: b.topic(wire.KindTelemetry), raw: raw}, nil)
}
