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

func (b *boot) topic(k wire.Kind) string { return b.w.mqtt.topics.Of(b.a.id, k) }

// dial connects to the broker, and again whenever the connection is lost.
func (b *boot) dial() {
	n := b.conns + 1
	will := note{topic: b.topic(wire.KindPresence), raw: b.goodbye(n), retained: true, qos: 1}
	b.w.mqtt.connect(b.a.line, string(b.a.id), will, b.heard, b.lost, func(c *conn) {
		switch {
		case b.a.run != b:
			if c != nil {
				c.vanish(false)
			}
			return
		case c == nil:
			b.after(b.c.in(span{time.Second, 15 * time.Second}), "dial", b.dial)
			return
		}
		b.conns, b.conn, b.said = n, c, delivery.PresenceSaid{}
		b.sayPresence()
		b.step(delivery.Connected{Now: b.luck()})
	})
}

func (b *boot) lost() {
	if b.a.run != b || b.conn == nil || b.conn.alive {
		return
	}
	b.conn = nil
	b.step(delivery.Disconnected{})
	b.after(b.c.in(span{50 * time.Millisecond, 5 * time.Second}), "dial", b.dial)
}

func (b *boot) luck() delivery.Now { return delivery.Now{At: b.up(), Rand: b.c.Uint64()} }

func (b *boot) held() delivery.Held {
	h := delivery.Held{Present: b.journal}
	for _, r := range b.log.Held() {
		h.Ranges = append(h.Ranges, delivery.Range{Journal: r.Journal, First: r.First, Last: r.Last, Index: delivery.Index(r.Index)})
	}
	return h
}

// changed tells delivery how far the journal goes now.
func (b *boot) changed() {
	if b.ready {
		b.step(delivery.Appended{Now: b.luck(), End: b.held().Last()})
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
			b.say(0, &wire.AnomalySeen{Anomaly: "storage_rolled_back", Detail: string(f.Journal)})
		case delivery.Send:
			b.send(f.First, f.Last)
		case delivery.Leave:
			if b.conn != nil {
				b.conn.end()
			}
		case delivery.SetTimer:
			b.armProbe(f.At)
		}
	}
	if b.a.run == b {
		b.maybePresence()
	}
}

// savePosition remembers what Central has; the journal may forget it then.
func (b *boot) savePosition(p delivery.Position) {
	if err := b.log.SetPosition(journal.Position(p)); err != nil && b.a.run == b {
		b.w.stats.PositionsLost++
	}
	if b.a.run == b {
		b.w.checkPosition(b, p)
		b.a.known.forgot(b)
	}
}

func (b *boot) send(first, last delivery.Index) {
	for i := first; i <= last && b.conn != nil; i++ {
		e, err := b.log.Read(uint64(i))
		if b.a.run != b {
			return
		}
		if err != nil {
			b.w.stats.ReadErrors++
			continue
		}
		c := b.conn
		b.w.stats.Sent++
		c.publish(note{topic: b.topic(wire.KindEvent), raw: e.Bytes, qos: 1}, func() {
			if b.a.run == b && b.conn == c {
				b.confirmed(i)
			}
		})
	}
}

// confirmed is a PUBACK, which moves nothing.
func (b *boot) confirmed(i delivery.Index) {
	b.step(delivery.Confirmed{Now: b.luck()})
	if !b.w.bug(BugForgetAtPuback) {
		return
	}
	if p := b.held().Position(i); p != nil && i > b.state.Acked {
		b.step(delivery.Heard{
			Now: b.luck(), Ack: wire.Ack{V: wire.Version, Central: b.state.Position.Central, Journal: &p.Journal, Seq: p.Seq}, Held: b.held(),
		})
	}
}

func (b *boot) armProbe(at time.Duration) {
	b.probe = at
	if at == 0 || b.w.bug(BugNoProbe) {
		return
	}
	b.after(at-b.up(), "probe", func() {
		if b.probe == at {
			b.probe = 0
			b.step(delivery.TimerFired{Now: b.luck()})
		}
	})
}

// heard takes an acknowledgement or a command.
func (b *boot) heard(d received) {
	if b.a.run != b || !b.ready {
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
		b.heardAck(ack, d.retained)
	case wire.KindCommand:
		b.heardCommand(d.raw)
	case wire.KindEvent, wire.KindPresence, wire.KindTelemetry:
	}
}

func (b *boot) heardAck(ack wire.Ack, retained bool) {
	if !retained && !ack.Central.Less(b.state.Position.Central) && b.a.quality == charge.ClockUnset {
		b.lifted, b.offset = true, ack.At.Sub(charge.Time(b.up().Milliseconds()))
	}
	b.w.checkAck(b, &ack)
	if b.w.bug(BugNoRewind) && b.state.Position.Central.Less(ack.Central) {
		b.keepPosition(&ack)
	}
	b.step(delivery.Heard{Now: b.luck(), Ack: ack, Held: b.held(), Live: !retained})
}

func (b *boot) heardCommand(raw []byte) {
	wall, q := b.wall()
	v := b.commands.Judge(delivery.Receipt{Raw: raw, Received: b.up(), At: b.up(), Wall: wall, Clock: q})
	b.w.stats.verdict(v.Kind)
	b.a.known.received(&v)
	if b.w.bug(BugIgnoreBoot) && v.Kind == delivery.OtherBoot && v.Command.CPID == b.a.id {
		if order, err := v.Command.Order(); err == nil {
			v.Kind, v.Order, v.Deadline = delivery.Run, order, b.up()+v.Command.Life()
		}
	}
	b.obey(v)
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
	if due := b.said.Due(p); b.up() < due {
		b.lookAgain(due)
		return
	}
	b.sayPresence()
}

func (b *boot) lookAgain(at time.Duration) {
	if b.presence > b.up() && b.presence <= at {
		return
	}
	b.presence = at
	b.after(at-b.up(), "presence due", func() {
		if b.presence == at {
			b.presence = 0
			b.maybePresence()
		}
	})
}

func (b *boot) sayPresence() {
	p := b.describe()
	raw, err := p.Encode()
	if err != nil {
		b.w.object("shell", "presence cannot be written: %v", err)
		return
	}
	b.conn.publish(note{topic: b.topic(wire.KindPresence), raw: raw, retained: true, qos: 1}, nil)
	b.said = b.said.Say(p, b.up())
	b.lookAgain(b.said.Due(p))
}

// goodbye is the last will of a connection.
func (b *boot) goodbye(conn uint64) []byte {
	wall, _ := b.wall()
	p := wire.Presence{V: wire.Version, Journal: b.journal, Conn: conn, At: wall}
	raw, err := p.Encode()
	if err != nil {
		b.w.object("shell", "last will cannot be written: %v", err)
	}
	return raw
}

// telemetry says the latest values every so often.
func (b *boot) telemetry() {
	every := b.w.plan.Telemetry
	b.after(every, "telemetry", func() {
		if b.conn != nil {
			b.sayTelemetry(every)
		}
		b.telemetry()
	})
}

func (b *boot) sayTelemetry(every time.Duration) {
	wall, q := b.wall()
	t := wire.Telemetry{
		V: wire.Version, CPID: b.a.id, Journal: b.journal, At: wall, Clock: q, UptimeMS: b.up().Milliseconds(),
		IntervalMS: every.Milliseconds(), Health: wire.Health{Unacked: int64(b.state.Unacked()), Alarm: b.state.Alarm(b.up())},
	}
	for _, m := range b.machines {
		s := &m.state
		t.Connectors = append(t.Connectors, wire.ConnectorTelemetry{
			Connector: s.ID, Status: connector.Status(*s), SessionID: s.Session.ID, Start: s.Session.Start, Register: s.Meter.Last.Import,
			Power: s.Meter.Last.Power, Faults: s.Faults.List(),
		})
	}
	raw, err := t.Encode()
	if err != nil {
		b.w.object("shell", "telemetry cannot be written: %v", err)
		return
	}
	b.conn.publish(note{topic: b.topic(wire.KindTelemetry), raw: raw}, nil)
}
