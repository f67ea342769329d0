package world

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// maxQueued is how many QoS 1 messages the broker queues for the bridge while it is
// away. Further ones are dropped, as real brokers do; agents send them again.
const maxQueued = 1000

// mqttMessage is a message as a client publishes it.
type mqttMessage struct {
	topic    string
	raw      []byte
	retained bool
	qos      int
}

// inbound is a message as a client receives it.
type inbound struct {
	mqttMessage
	// Of the broker's queued copy for the bridge, to be acknowledged; 0: none.
	id int
	at time.Duration // when the broker received it
}

// broker is an MQTT broker: retained messages, last wills, and the one persistent
// session, that of the bridge. All other clients connect with a clean session.
type broker struct {
	w        *World
	up       bool
	topics   wire.Topics
	retained map[string]mqttMessage // by topic
	clients  map[string]*conn       // connected now, by client id
	// For the bridge, unacknowledged, in order.
	queued []inbound
	lastID int // of queued messages
	// arrivals are, by charging point, which of its events have reached Kafka, and
	// the id of the newest one.
	arrivals map[charge.CPID]*arrivals
}

// arrivals are the events of a charging point that have reached Kafka.
type arrivals struct {
	events map[route.EventKey]bool
	newest int // id at the broker
}

// firstArrival notes that an event has reached Kafka. S21: for the first time in the
// order of receipt.
func (b *broker) firstArrival(e route.EventKey, id int) {
	a := b.arrivals[e.CP]
	if a == nil {
		a = &arrivals{events: map[route.EventKey]bool{}}
		b.arrivals[e.CP] = a
	}
	if a.events[e] {
		return
	}
	a.events[e] = true
	if id < a.newest {
		b.w.violated("S21", "%s: record %s/%d reached Kafka behind one that the broker received later", e.CP, e.Journal, e.Seq)
	}
	a.newest = id
}

// conn is one connection of a client.
type conn struct {
	broker    *broker
	line      *line
	client    string // client id
	alive     bool   // as the broker sees it
	will      mqttMessage
	onMessage func(inbound) // nil: the client is gone
	onLost    func()
	// disordered: the client has acknowledged out of order. Like Mosquitto, the broker
	// then delivers out of order what it has queued: held is overtaken by the next.
	disordered bool
	held       *inbound
}

// bridgeClient is the client id of the bridge.
const bridgeClient = "bridge"

// newBroker creates a broker that is down, and has nothing stored.
func newBroker(w *World) *broker {
	return &broker{w: w, retained: map[string]mqttMessage{}, clients: map[string]*conn{}, arrivals: map[charge.CPID]*arrivals{}}
}

// connect opens a connection and passes it to done; nil if the broker does not
// answer. A second connection with the same client id displaces the first.
func (b *broker) connect(l *line, client string, will mqttMessage, onMessage func(inbound), onLost func(), done func(*conn)) {
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
		// MQTT: a client id has one connection.
		if old := b.clients[client]; old != nil { // the new one displaces it
			old.close()
		}
		c := &conn{broker: b, line: l, client: client, alive: true, will: will, onMessage: onMessage, onLost: onLost}
		b.clients[client] = c
		l.onBroken = c.close
		done(c)
		if c.alive {
			b.deliverInitial(c)
		}
	})
}

// deliverInitial delivers what a new connection gets from its subscriptions: the
// retained acknowledgement for an agent; the queue and all retained presences for
// the bridge.
func (b *broker) deliverInitial(c *conn) {
	if c.client != bridgeClient {
		if n, ok := b.retained[b.topics.Of(charge.CPID(c.client), wire.KindAck)]; ok {
			c.deliver(inbound{mqttMessage: n})
		}
		return
	}
	// First what is unacknowledged, in order, then the retained messages of the
	// subscription.
	for _, d := range b.queued {
		c.deliver(d)
	}
	for _, topic := range slices.Sorted(maps.Keys(b.retained)) {
		if strings.HasSuffix(topic, string(wire.KindPresence)) {
			b.toBridge(b.retained[topic])
		}
	}
}

// deliver carries a message to the client. The queue's messages stay in order: the
// broker sends them again until they are acknowledged.
func (c *conn) deliver(d inbound) {
	way := c.line.transmit
	if d.id > 0 { // TCP and the acknowledgement protect it
		way = c.line.transmitInOrder
	}
	way(down, "mqtt down", func() {
		if c.alive && c.onMessage != nil {
			c.broker.w.mix(d.topic, d.raw)
			c.onMessage(d)
		}
	})
}

// publish carries a message to the broker; acked is called at the PUBACK, if it
// arrives.
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

// acknowledge removes a message from the queue for the bridge.
func (c *conn) acknowledge(id int) {
	if id == 0 {
		return
	}
	c.line.transmitInOrder(up, "ack up", func() {
		if c.alive {
			if q := c.broker.queued; len(q) > 0 && q[0].id < id && slices.ContainsFunc(q, func(d inbound) bool { return d.id == id }) {
				c.disordered = true
			}
			c.broker.queued = slices.DeleteFunc(c.broker.queued, func(d inbound) bool { return d.id == id })
		}
	})
}

// route stores a retained message and forwards the message to its subscriber: an
// agent for commands and acknowledgements, the bridge for everything else.
func (b *broker) route(n mqttMessage) {
	b.w.mix(n.topic, n.raw)
	if n.retained {
		b.retained[n.topic] = n
	}
	live := n
	// A message to an existing subscription does not carry the retain flag.
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

// toBridge delivers to the bridge, and queues what has QoS 1.
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
		c.deliverQueued(d)
	}
}

// deliverQueued delivers to the bridge, in order if that acknowledges in order.
func (c *conn) deliverQueued(d inbound) {
	if c.held == nil && c.disordered && d.id > 0 {
		c.held = &d
		c.broker.w.after(time.Second, "broker delivers", c.release)
		return
	}
	c.deliver(d)
	c.release()
}

func (c *conn) release() {
	if held := c.held; held != nil && c.alive {
		c.held = nil
		c.deliver(*held)
	}
}

// close ends a connection at the broker, which publishes the client's will. The
// client notices within a second.
func (c *conn) close() {
	if !c.alive {
		return
	}
	c.alive = false
	if c.broker.clients[c.client] == c {
		// Unless another connection has displaced it.
		delete(c.broker.clients, c.client)
	}
	if c.broker.up && c.will.topic != "" {
		c.broker.route(c.will)
	}
	c.broker.w.after(c.line.rng.between(span{0, time.Second}), "connection lost", c.onLost)
}

// closedByClient ends the client's side: it receives nothing more. The broker
// notices soon if the process was killed, because its socket is closed, and only
// after lineTimeout if the power failed.
func (c *conn) closedByClient(power bool) {
	c.onMessage, c.onLost = nil, func() {}
	after := 50 * time.Millisecond
	if power {
		after = lineTimeout
	}
	c.broker.w.after(after, "client gone", c.close)
}

// kill stops the broker. wiped deletes what it kept on disk.
func (b *broker) kill(wiped bool) {
	b.up = false
	for _, name := range slices.Sorted(maps.Keys(b.clients)) {
		b.clients[name].close()
	}
	if wiped {
		b.retained, b.queued = map[string]mqttMessage{}, nil
	}
}

// start makes the broker available, with what it kept.
func (b *broker) start() { b.up = true }
