package world

import (
	"errors"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// This file performs the effects of agent/point: at the outlets, at the disk, and
// at the connection to the broker.

// step passes an event to the core and performs the effects. An event that an
// effect causes at once follows when they are all performed.
func (b *boot) step(e point.Event) {
	b.events = append(b.events, e)
	if !b.stepping {
		b.stepAll()
	}
}

// stepAll passes the events that wait to the core.
func (b *boot) stepAll() {
	b.stepping = true
	defer func() { b.stepping = false }()
	for len(b.events) > 0 {
		next := b.events[0]
		b.events = b.events[1:]
		if b.agent.run != b { // it died in an effect
			return
		}
		b.performAll(b.core.Step(b.moment(), next))
	}
}

// performAll performs the effects of a step in their order.
func (b *boot) performAll(effects []point.Effect) {
	b.view = b.core.View()
	for _, f := range effects {
		if b.agent.run != b {
			return
		}
		b.perform(f)
	}
}

// perform performs one effect.
func (b *boot) perform(f point.Effect) {
	switch f := f.(type) {
	case point.OpenContactor:
		m := b.connectors[f.Connector-1]
		m.permit = false
		m.outlet.command(false)
		b.wakeControlLoop()
	case point.Permit:
		m := b.connectors[f.Connector-1]
		m.permit, m.outlet.permittedFor = true, f.Session
		b.wakeControlLoop()
	case point.OfferPower:
		b.connectors[f.Connector-1].outlet.offer(f.Offer)
	case point.LimitCurrent:
		m := b.connectors[f.Connector-1]
		m.limit = f.Limit
		m.outlet.setLimit(f.Limit)
		b.wakeControlLoop()
	case point.ReadMeter:
		b.connectors[f.Connector-1].read()
	case point.ResetLatch:
		b.connectors[f.Connector-1].reset = true
		b.wakeControlLoop()
	case point.ReleaseCable, point.Identify: // neither lock nor lights are simulated here
	case point.Operate:
		b.operate(f.Operation)
	case point.Append:
		b.append(f.Batch)
	case point.SavePosition:
		b.savePosition(f.Position)
	case point.PublishPresence:
		b.publish(f.Conn, wire.KindPresence, &f.Presence, nil)
	case point.PublishTelemetry:
		b.publish(f.Conn, wire.KindTelemetry, &f.Telemetry, nil)
	case point.Send:
		b.send(f)
	case point.Reconnect:
		if b.conn != nil && f.Conn == b.conns {
			b.conn.close()
		}
	case point.SetTimer:
		b.setTimer(f.At)
	case point.SetClock:
		if b.agent.quality == charge.ClockUnset {
			b.hasCentralTime, b.clockOffset = true, f.Central.Sub(charge.Time(b.uptime().Milliseconds()))
		}
	case point.CommandDecided:
		b.w.stats.verdict(f.Verdict.Kind)
		b.agent.truth.received(&f.Verdict)
	case point.RolledBack:
		b.w.stats.RolledBackSeen++
	case point.Recorded, point.CardRefused, point.Ended, point.Drained: // inform only
	}
}

// setTimer sets the core's timer; a later call replaces an earlier one.
func (b *boot) setTimer(at time.Duration) {
	b.timerAt = at
	if at == 0 {
		return
	}
	b.after(at-b.uptime(), "timer", func() {
		if b.timerAt == at {
			b.step(point.TimerFired{})
		}
	})
}

// operate operates the vehicle or breaks the hardware, as SIMULATE asks.
func (b *boot) operate(op point.Operation) {
	hw := b.agent.outlets[op.Connector-1]
	b.after(10*time.Millisecond, "simulate", func() {
		switch op.Simulate.Action {
		case wire.SimulatePlug:
			hw.plug(5000, 22_000)
		case wire.SimulateUnplug:
			hw.unplug()
		case wire.SimulateFault:
			b.agent.truth.noteFault(op.Simulate.Fault)
			hw.breakDown(op.Simulate.Fault)
		case wire.SimulateRepair:
			hw.repair()
		case wire.SimulateTap: // drivers here have cards of their own
		}
		b.step(point.Operated{Operation: op})
	})
}

// append commits a batch after the time that an fsync needs. Record 1 is committed
// at once: nothing else happens before it.
func (b *boot) append(batch *point.Batch) {
	takes := span{500 * time.Microsecond, 20 * time.Millisecond}
	if b.agent.disk.slow {
		takes = span{100 * time.Millisecond, 4 * time.Second}
	}
	if !b.ready {
		b.commit(batch)
		return
	}
	b.after(b.rng.between(takes), "commit", func() { b.commit(batch) })
}

// commit makes a batch durable. After an error none of it counts, and the ground
// truth knows that the bytes may or may not be on the medium. An error other than
// a full disk ends the process: what the medium holds is unknown then, and only a
// recovery can find out.
func (b *boot) commit(batch *point.Batch) {
	var encoders []journal.Encode
	var written [][]byte
	for _, encode := range batch.Encoders() {
		encoders = append(encoders, func(seq charge.Seq, prev string) ([]byte, error) {
			raw, err := encode(seq, prev)
			if err == nil {
				written = append(written, raw)
			}
			return raw, err
		})
	}
	b.batch = batch
	err := b.log.Append(batch.Class, encoders...)
	switch full := errors.Is(err, journal.ErrFull); {
	case b.agent.run != b: // it died inside the commit
		b.agent.truth.appendUncertain(written)
	case err != nil:
		b.agent.truth.appendUncertain(written)
		b.step(point.AppendFailed{NoSpace: full})
		if !full || !b.ready {
			b.after(10*time.Millisecond, "agent ends", func() { b.exit(err) })
		}
	default:
		b.agent.truth.appended(b, written)
		b.ready = true
		b.step(point.Appended{Saved: batch.Saved(), Held: b.held()})
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
		b.step(point.PositionSaved{Held: b.held()})
	}
}

// held describes the records that the journal has, in the terms of delivery.
func (b *boot) held() delivery.Held {
	h := delivery.Held{Present: b.cfg.Journal}
	for _, r := range b.log.Held() {
		h.Ranges = append(h.Ranges, delivery.Range{Journal: r.Journal, First: r.First, Last: r.Last, Index: delivery.Index(r.Index)})
	}
	return h
}

// topic is the topic of a kind of message of this charging point.
func (b *boot) topic(k wire.Kind) string { return b.w.mqtt.topics.Of(b.agent.id, k) }

// dial connects to the broker, and retries until it succeeds. The last will names
// the number of the connection, so that a late will of an older one is ignored.
func (b *boot) dial() {
	n := b.conns + 1
	wall, _ := b.wall()
	goodbye := b.cfg.Presence(n, false, wall)
	raw, err := goodbye.Encode()
	if err != nil {
		b.w.violated("shell", "last will cannot be encoded: %v", err)
	}
	will := mqttMessage{topic: b.topic(wire.KindPresence), raw: raw, retained: true, qos: 1}
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
		b.conns, b.conn, b.connectedAt = n, c, b.w.now
		b.step(point.Connected{Conn: n})
	})
}

// connectionLost reconnects after a random delay.
func (b *boot) connectionLost() {
	if b.agent.run != b || b.conn == nil || b.conn.alive {
		return
	}
	b.conn = nil
	b.step(point.Disconnected{Conn: b.conns})
	b.after(b.rng.between(span{50 * time.Millisecond, 5 * time.Second}), "dial", b.dial)
}

// publish publishes a message on a connection, unless that has ended.
func (b *boot) publish(conn uint64, k wire.Kind, message interface{ Encode() ([]byte, error) }, confirmed func()) {
	if b.conn == nil || conn != b.conns {
		return
	}
	raw, err := message.Encode()
	if err != nil {
		b.w.violated("shell", "%s cannot be encoded: %v", k, err)
		return
	}
	m := mqttMessage{topic: b.topic(k), raw: raw}
	if k != wire.KindTelemetry {
		m.qos, m.retained = 1, k == wire.KindPresence
	}
	b.conn.publish(m, confirmed)
}

// stored is the bytes of a record, which are published as they are on the disk:
// they are what was hashed.
type stored []byte

// Encode returns the bytes.
func (s stored) Encode() ([]byte, error) { return s, nil }

// send publishes a range of records.
func (b *boot) send(f point.Send) {
	for i := f.First; i <= f.Last && b.conn != nil && f.Conn == b.conns; i++ {
		e, err := b.log.Read(uint64(i))
		if b.agent.run != b {
			return
		}
		if err != nil {
			b.w.stats.ReadErrors++
			continue
		}
		b.w.stats.Sent++
		b.publish(f.Conn, wire.KindEvent, stored(e.Bytes), func() {
			if b.agent.run == b {
				b.step(point.Confirmed{Conn: f.Conn})
			}
		})
	}
}

// receive decodes an acknowledgement, and passes on a command.
func (b *boot) receive(d inbound) {
	if b.agent.run != b || !b.ready {
		return
	}
	_, kind, err := b.w.mqtt.topics.Parse(d.topic)
	switch {
	case err == nil && kind == wire.KindCommand:
		b.step(point.CommandReceived{Raw: d.raw, ReceivedAt: b.uptime()})
		return
	case err == nil && kind == wire.KindAck:
		if ack, err := wire.DecodeAck(d.raw); err == nil {
			b.w.checkAck(b, &ack)
			b.step(point.AckReceived{Ack: ack, Live: !d.retained})
			return
		}
	}
	b.w.stats.BadMessages++
	b.step(point.BadMessage{})
}
