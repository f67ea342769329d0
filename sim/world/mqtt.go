package world

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// maxQueued is how many messages the broker keeps for the bridge while it is
// away; those beyond are dropped, as real brokers do.
const maxQueued = 1000

// mqttMessage is a message as the broker takes it.
type mqttMessage struct {
	topic    string
	raw      []byte
	retained bool
	qos      int
}

// inbound is a message as a client receives it.
type inbound struct {
	mqttMessage
	id int           // of the broker's copy for the bridge, to be acknowledged; 0: none
	at time.Duration // when the broker took it
}

// broker is an MQTT broker: retained messages, last wills, and the one session
// that is kept, the bridge's.
type broker struct {
	w        *World
	up       bool
	topics   wire.Topics
	retained map[string]mqttMessage
	clients  map[string]*conn
	queued   []inbound // for the bridge, not acknowledged
	lastID   int
}

// conn is one connection of a client.
type conn struct {
	broker    *broker
	line      *line
	client    string
	alive     bool
	will      mqttMessage
	onMessage func(inbound)
	onLost    func()
}

const bridgeClient = "bridge"

func newBroker(w *World) *broker {
	return &broker{w: w, retained: map[string]mqttMessage{}, clients: map[string]*conn{}}
}

// connect opens a connection. done is told what came of it: nil when the broker
// does not answer.
func (b *broker) connect(l *line, client string, will mqttMessage, hear func(inbound), lost func(), done func(*conn)) {
	w := b.w
	if !b.up || l.cut[up] || l.cut[down] {
		w.after(time.Second, "connect", func() { done(nil) })
		return
	}
	w.after(l.rng.between(l.delay), "connect", func() {
		if !b.up || l.cut[up] || l.cut[down] {
			done(nil)
			return
		}
		if old := b.clients[client]; old != nil { // the new one displaces it
			old.close()
		}
		c := &conn{broker: b, line: l, client: client, alive: true, will: will, onMessage: hear, onLost: lost}
		b.clients[client] = c
		l.onBroken = c.close
		done(c)
		if c.alive {
			b.deliverInitial(c)
		}
	})
}

// deliverInitial delivers what the subscriptions of a new connection bring.
func (b *broker) deliverInitial(c *conn) {
	if c.client != bridgeClient {
		if n, ok := b.retained[b.topics.Of(charge.CPID(c.client), wire.KindAck)]; ok {
			c.deliver(inbound{mqttMessage: n})
		}
		return
	}
	for _, d := range b.queued {
		c.deliver(d)
	}
	for _, topic := range slices.Sorted(maps.Keys(b.retained)) {
		if strings.HasSuffix(topic, string(wire.KindPresence)) {
			b.toBridge(b.retained[topic])
		}
	}
}

// deliver carries a message to the client.
func (c *conn) deliver(d inbound) {
	way := c.line.transmit
	if d.id > 0 { // it has not arrived until it is acknowledged
		way = c.line.transmitInOrder
	}
	way(down, "mqtt down", func() {
		if c.alive && c.onMessage != nil {
			c.broker.w.mix(d.topic, d.raw)
			c.onMessage(d)
		}
	})
}

// publish carries a message to the broker; acked is told of its PUBACK.
func (c *conn) publish(n mqttMessage, acked func()) {
	c.line.transmit(up, "mqtt up", func() {
		if !c.alive || !c.broker.up {
			return
		}
		c.broker.route(n)
		if n.qos > 0 && acked != nil {
			c.line.transmit(down, "puback", func() {
				if c.alive {
					acked()
				}
			})
		}
	})
}

// acknowledge lets the broker forget its copy for the bridge.
func (c *conn) acknowledge(id int) {
	if id == 0 {
		return
	}
	c.line.transmitInOrder(up, "ack up", func() {
		if c.alive {
			c.broker.queued = slices.DeleteFunc(c.broker.queued, func(d inbound) bool { return d.id == id })
		}
	})
}

// route takes a message and hands it on.
func (b *broker) route(n mqttMessage) {
	b.w.mix(n.topic, n.raw)
	if n.retained {
		b.retained[n.topic] = n
	}
	live := n
	live.retained = false
	cp, kind, err := b.topics.Parse(n.topic)
	if err != nil {
		b.toBridge(live)
		return
	}
	switch kind {
	case wire.KindCommand, wire.KindAck:
		if c := b.clients[string(cp)]; c != nil {
			c.deliver(inbound{mqttMessage: live})
		}
	case wire.KindEvent, wire.KindPresence, wire.KindTelemetry:
		b.toBridge(live)
	}
}

func (b *broker) toBridge(n mqttMessage) {
	c := b.clients[bridgeClient]
	d := inbound{mqttMessage: n}
	if n.qos > 0 {
		if c == nil && len(b.queued) >= maxQueued {
			b.w.stats.BrokerDropped++
			return
		}
		b.lastID++
		d.id, d.at = b.lastID, b.w.now
		b.queued = append(b.queued, d)
	}
	if c != nil {
		c.deliver(d)
	}
}

// close breaks a connection: the broker says the client's will, the client is
// told after a while.
func (c *conn) close() {
	if !c.alive {
		return
	}
	c.alive = false
	if c.broker.clients[c.client] == c {
		delete(c.broker.clients, c.client)
	}
	if c.broker.up && c.will.topic != "" {
		c.broker.route(c.will)
	}
	c.broker.w.after(c.line.rng.between(span{0, time.Second}), "connection lost", c.onLost)
}

// closedByClient is the end of the client's side: it hears nothing more. The broker
// notices at once when the process was killed, and late when the power failed.
func (c *conn) closedByClient(power bool) {
	c.onMessage, c.onLost = nil, func() {}
	after := 50 * time.Millisecond
	if power {
		after = lineTimeout
	}
	c.broker.w.after(after, "client gone", c.close)
}

// kill stops the broker; wiped forgets what it kept on disk.
func (b *broker) kill(wiped bool) {
	b.up = false
	for _, name := range slices.Sorted(maps.Keys(b.clients)) {
		b.clients[name].close()
	}
	if wiped {
		b.retained, b.queued = map[string]mqttMessage{}, nil
	}
}

func (b *broker) start() { b.up = true }
