package mqttlink

import (
	"sync"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// acks are the acknowledgements that paho has not yet sent. Their number is
// bounded by the messages that were received and not yet acknowledged.
type acks struct {
	wake chan struct{} // capacity 1: there is work

	mu sync.Mutex
	// mu guards everything that follows.
	queue []mqtt.Message
}

// handle passes a message to the Handler, on paho's reader of the connection.
// paho's own automatic acknowledgement is off even without ManualAck: it would
// make the reader wait for the writer, and two ends that both write first block
// each other.
func (c *Conn) handle(_ mqtt.Client, m mqtt.Message) {
	c.link.status.count(func(n *Counters) { n.Received++ })
	ack := func() {}
	if c.link.cfg.ManualAck {
		ack = sync.OnceFunc(func() { c.ack(m) })
	}
	c.link.cfg.Handler(Message{
		Topic: m.Topic(), Payload: m.Payload(), QoS: m.Qos(), Retained: m.Retained(), Dup: m.Duplicate(),
		Conn: c.number, Ack: ack,
	})
	if !c.link.cfg.ManualAck {
		c.ack(m)
	}
}

// unmatched acknowledges and counts a message that matches no subscription. paho
// alone would never acknowledge it, and it would occupy a slot of the broker's
// window.
func (c *Conn) unmatched(_ mqtt.Client, m mqtt.Message) {
	c.link.status.count(func(n *Counters) { n.Unmatched++ })
	c.ack(m)
}

// ack queues an acknowledgement. paho's own function blocks until the connection
// has accepted it, and callers must not block.
func (c *Conn) ack(m mqtt.Message) {
	if c.life.ended() {
		c.link.status.count(func(n *Counters) { n.AcksDropped++ })
		return
	}
	c.acks.mu.Lock()
	c.acks.queue = append(c.acks.queue, m)
	c.acks.mu.Unlock()
	select {
	case c.acks.wake <- struct{}{}:
	default:
	}
}

// drain removes and returns all queued acknowledgements.
func (a *acks) drain() []mqtt.Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	queue := a.queue
	a.queue = nil
	return queue
}

// ackLoop sends the acknowledgements in the order in which they were given.
func (c *Conn) ackLoop() {
	for {
		select {
		case <-c.acks.wake:
		case <-c.life.over:
			dropped := len(c.acks.drain())
			c.link.status.count(func(n *Counters) { n.AcksDropped += uint64(dropped) })
			return
		}
		for _, m := range c.acks.drain() {
			if c.life.ended() {
				c.link.status.count(func(n *Counters) { n.AcksDropped++ })
				continue
			}
			m.Ack()
			c.link.status.count(func(n *Counters) { n.Acked++ })
		}
	}
}
