package world

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// keptMost is how many messages the broker keeps for the bridge while it is
// away; those beyond are dropped, as real brokers do.
const keptMost = 1000

// note is a message as the broker takes it.
type note struct {
	topic    string
	raw      []byte
	retained bool
	qos      int
}

// received is a message as a client receives it.
type received struct {
	note
	id int           // of the broker's copy for the bridge, to be acknowledged; 0: none
	at time.Duration // when the broker took it
}

// broker is an MQTT broker: retained messages, last wills, and the one session
// that is kept, the bridge's.
type broker struct {
	w        *World
	up       bool
	topics   wire.Topics
	retained map[string]note
	clients  map[string]*conn
	kept     []received // for the bridge, not acknowledged
	ids      int
}

// conn is one connection of a client.
type conn struct {
	b      *broker
	l      *line
	client string
	alive  bool
	will   note
	hear   func(received)
	lost   func()
}

const bridgeClient = "bridge"

func newBroker(w *World) *broker {
	return &broker{w: w, retained: map[string]note{}, clients: map[string]*conn{}}
}

// connect opens a connection. done is told what came of it: nil when the broker
// does not answer.
func (b *broker) connect(l *line, client string, will note, hear func(received), lost func(), done func(*conn)) {
	w := b.w
	if !b.up || l.cut[up] || l.cut[down] {
		w.after(time.Second, "connect", func() { done(nil) })
		return
	}
	w.after(l.c.in(l.delay), "connect", func() {
		if !b.up || l.cut[up] || l.cut[down] {
			done(nil)
			return
		}
		if old := b.clients[client]; old != nil { // the new one displaces it
			old.end()
		}
		c := &conn{b: b, l: l, client: client, alive: true, will: will, hear: hear, lost: lost}
		b.clients[client] = c
		l.broken = c.end
		done(c)
		if c.alive {
			b.greet(c)
		}
	})
}

// greet delivers what the subscriptions of a new connection bring.
func (b *broker) greet(c *conn) {
	if c.client != bridgeClient {
		if n, ok := b.retained[b.topics.Of(charge.CPID(c.client), wire.KindAck)]; ok {
			c.deliver(received{note: n})
		}
		return
	}
	for _, d := range b.kept {
		c.deliver(d)
	}
	for _, topic := range slices.Sorted(maps.Keys(b.retained)) {
		if strings.HasSuffix(topic, string(wire.KindPresence)) {
			b.forBridge(b.retained[topic])
		}
	}
}

// deliver carries a message to the client.
func (c *conn) deliver(d received) {
	way := c.l.pass
	if d.id > 0 { // it has not arrived until it is acknowledged
		way = c.l.carry
	}
	way(down, "mqtt down", func() {
		if c.alive && c.hear != nil {
			c.b.w.mix(d.topic, d.raw)
			c.hear(d)
		}
	})
}

// publish carries a message to the broker; acked is told of its PUBACK.
func (c *conn) publish(n note, acked func()) {
	c.l.pass(up, "mqtt up", func() {
		if !c.alive || !c.b.up {
			return
		}
		c.b.accept(n)
		if n.qos > 0 && acked != nil {
			c.l.pass(down, "puback", func() {
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
	c.l.carry(up, "ack up", func() {
		if c.alive {
			c.b.kept = slices.DeleteFunc(c.b.kept, func(d received) bool { return d.id == id })
		}
	})
}

// accept takes a message and hands it on.
func (b *broker) accept(n note) {
	b.w.mix(n.topic, n.raw)
	if n.retained {
		b.retained[n.topic] = n
	}
	live := n
	live.retained = false
	cp, kind, err := b.topics.Parse(n.topic)
	if err != nil {
		b.forBridge(live)
		return
	}
	switch kind {
	case wire.KindCommand, wire.KindAck:
		if c := b.clients[string(cp)]; c != nil {
			c.deliver(received{note: live})
		}
	case wire.KindEvent, wire.KindPresence, wire.KindTelemetry:
		b.forBridge(live)
	}
}

func (b *broker) forBridge(n note) {
	c := b.clients[bridgeClient]
	d := received{note: n}
	if n.qos > 0 {
		if c == nil && len(b.kept) >= keptMost {
			b.w.stats.BrokerDropped++
			return
		}
		b.ids++
		d.id, d.at = b.ids, b.w.now
		b.kept = append(b.kept, d)
	}
	if c != nil {
		c.deliver(d)
	}
}

// end breaks a connection: the broker says the client's will, the client is
// told after a while.
func (c *conn) end() {
	if !c.alive {
		return
	}
	c.alive = false
	if c.b.clients[c.client] == c {
		delete(c.b.clients, c.client)
	}
	if c.b.up && c.will.topic != "" {
		c.b.accept(c.will)
	}
	c.b.w.after(c.l.c.in(span{0, time.Second}), "connection lost", c.lost)
}

// vanish is the end of the client's side: it hears nothing more. The broker
// notices at once when the process was killed, and late when the power failed.
func (c *conn) vanish(power bool) {
	c.hear, c.lost = nil, func() {}
	after := 50 * time.Millisecond
	if power {
		after = gone
	}
	c.b.w.after(after, "client gone", c.end)
}

// kill stops the broker; wiped forgets what it kept on disk.
func (b *broker) kill(wiped bool) {
	b.up = false
	for _, name := range slices.Sorted(maps.Keys(b.clients)) {
		b.clients[name].end()
	}
	if wiped {
		b.retained, b.kept = map[string]note{}, nil
	}
}

func (b *broker) start() { b.up = true }
