package mqttlink

import (
	"strings"
	"sync"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// window are the messages with QoS 1 that were received on one connection and are
// not acknowledged, in the order of receipt. Acknowledgements leave in that order
// (MQTT 3.1.1, MQTT-4.6.0-2): Mosquitto delivers what it has queued out of order
// to a client that acknowledges otherwise. The broker bounds it, since it delivers
// no more than its own window.
type window struct {
	wake chan struct{} // capacity 1: acknowledgements are due

	mu sync.Mutex
	// mu guards everything that follows.
	received []inbound
	due      []uint16 // packet ids to acknowledge, in their order
}

// inbound is a message that was received.
type inbound struct {
	id    uint16
	owned bool // the owner of the link acknowledges it
}

// add appends a message. One that is not owned is due as soon as all before it are.
func (w *window) add(id uint16, owned bool) {
	w.mu.Lock()
	w.received = append(w.received, inbound{id, owned})
	some := w.passLocked()
	w.mu.Unlock()
	w.notify(some)
}

// acknowledge makes the next n owned messages due, and those in between.
func (w *window) acknowledge(n int) {
	w.mu.Lock()
	some := false
	for ; n > 0 && len(w.received) > 0; n-- { // the first one is owned
		w.due = append(w.due, w.received[0].id)
		w.received = w.received[1:]
		w.passLocked()
		some = true
	}
	w.mu.Unlock()
	w.notify(some)
}

// passLocked makes what is not owned at the front due. Afterwards the first
// message is owned.
func (w *window) passLocked() (some bool) {
	for len(w.received) > 0 && !w.received[0].owned {
		w.due = append(w.due, w.received[0].id)
		w.received = w.received[1:]
		some = true
	}
	return some
}

func (w *window) notify(some bool) {
	if !some {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// drainDue returns what is due, and uses the memory of a slice that it returned
// before for what comes next.
func (w *window) drainDue(space []uint16) []uint16 {
	w.mu.Lock()
	defer w.mu.Unlock()
	due := w.due
	w.due = space[:0]
	return due
}

// receive is paho's handler for every message. paho's own routes are not used: for
// each message they would divide each filter and the topic into new slices.
func (c *Conn) receive(_ mqtt.Client, m mqtt.Message) {
	for _, s := range c.link.cfg.Subscriptions {
		if matches(s.Filter, m.Topic()) {
			c.handle(m)
			return
		}
	}
	c.unmatched(m)
}

// matches reports whether a topic matches a filter, by MQTT 3.1.1, 4.7: + is any one
// level, and # the rest, with the level before it.
func matches(filter, topic string) bool {
	for {
		f, filterRest, filterMore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		t, topicRest, topicMore := strings.Cut(topic, "/")
		switch {
		case f != "+" && f != t:
			return false
		case !filterMore || !topicMore:
			return filterMore == topicMore || filterMore && filterRest == "#"
		}
		filter, topic = filterRest, topicRest
	}
}

// handle passes a message to the Handler, on paho's reader of the connection.
// paho's own automatic acknowledgement is off even without ManualAck: it would
// make the reader wait for the writer, and two ends that both write first block
// each other.
func (c *Conn) handle(m mqtt.Message) {
	c.link.status.received.Add(1)
	owned := c.link.cfg.ManualAck
	if owned {
		c.add(m, true)
	}
	c.link.cfg.Handler(Message{
		Topic: m.Topic(), Payload: m.Payload(), QoS: m.Qos(), Retained: m.Retained(), Dup: m.Duplicate(), Conn: c.number,
	})
	if !owned {
		c.add(m, false)
	}
}

// unmatched acknowledges and counts a message that matches no subscription. paho
// alone would never acknowledge it, and it would occupy a slot of the broker's
// window.
func (c *Conn) unmatched(m mqtt.Message) {
	c.link.status.count(func(n *Counters) { n.Unmatched++ })
	c.add(m, false)
}

// add puts a message into the window. paho's own acknowledgement is not used: it
// writes each with a system call of its own, and blocks until the connection has
// accepted it, which would stop the reader or the owner of the message.
func (c *Conn) add(m mqtt.Message, owned bool) {
	if m.Qos() > 0 {
		c.window.add(m.MessageID(), owned)
	}
}

// ackLoop sends the acknowledgements that are due, as many at a time as there are.
func (c *Conn) ackLoop() {
	var due []uint16
	var raw []byte
	for {
		select {
		case <-c.window.wake:
		case <-c.life.over:
			dropped := len(c.window.drainDue(nil))
			c.link.status.count(func(n *Counters) { n.AcksDropped += uint64(dropped) })
			return
		}
		due = c.window.drainDue(due)
		raw = raw[:0]
		for _, id := range due {
			raw = append(raw, packets.Puback<<4, 2, byte(id>>8), byte(id))
		}
		if !c.write(raw) {
			c.link.status.count(func(n *Counters) { n.AcksDropped += uint64(len(due)) })
			continue
		}
		c.link.status.count(func(n *Counters) { n.Acked += uint64(len(due)) })
	}
}

// write sends packets beside paho, which knows nothing of them. An error ends the
// connection.
func (c *Conn) write(raw []byte) bool {
	c.mu.Lock()
	conn := c.netConn
	c.mu.Unlock()
	if conn == nil || c.life.ended() {
		return false
	}
	_, err := conn.Write(raw)
	return err == nil
}

// noStore is paho's store of what is under way, which keeps nothing: each
// connection has a client of its own, so nothing is ever resumed from it.
type noStore struct{}

func (noStore) Open()                                     {}
func (noStore) Put(string, packets.ControlPacket)         {}
func (noStore) Get(string) (packet packets.ControlPacket) { return nil }
func (noStore) All() []string                             { return nil }
func (noStore) Del(string)                                {}
func (noStore) Close()                                    {}
func (noStore) Reset()                                    {}
