package mqttlink

import (
	"sync"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// acks holds the acknowledgements on their way to paho. It is bounded by the
// messages that were received and not yet acknowledged.
type acks struct {
	wake chan struct{} // capacity 1: there is work

	mu sync.Mutex
	// mu guards everything that follows.
	queue []mqtt.Message
}

// handle passes a message on. It runs on paho's reader of the line. paho's own
// automatic acknowledgement is off also without ManualAck: it would make this
// reader wait for the writer, and two ends that both write first stand still.
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

// unmatched acknowledges and counts what no subscription asked for. paho alone
// would never acknowledge it, and it would hold a slot of the broker's window.
func (c *Conn) unmatched(_ mqtt.Client, m mqtt.Message) {
	c.link.status.count(func(n *Counters) { n.Unmatched++ })
	c.ack(m)
}

// ack queues an acknowledgement: paho's own waits until the line has taken it,
// and whoever acknowledges must not.
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

func (a *acks) drain() []mqtt.Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	queue := a.queue
	a.queue = nil
	return queue
}

// ackLoop sends the acknowledgements in the order they were given.
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
