package app

import (
	"sync"

	"github.com/carga-ev/carga/bridge/forward"
	"github.com/carga-ev/carga/bridge/internal/kafkaside"
	"github.com/carga-ev/carga/bridge/internal/mqttside"
)

// core gives the pure core one caller at a time, and performs its effects on the
// two sides. Its methods may be called concurrently, by the sides too.
//
// Messages are passed to Kafka in the order in which they were received, also
// while the readers of an old and a new connection overlap: receiving is held
// until that is done. The end of a message does not wait for it, since writing one
// may end another at once.
type core struct {
	kafka *kafkaside.Side
	mqtt  *mqttside.Side

	receiving sync.Mutex // before mu

	mu sync.Mutex
	// mu guards everything that follows.
	state *forward.State
}

// Receive passes a message to the core. It reports false if the message was not
// accepted because reading is paused.
func (c *core) Receive(m *forward.Message) bool {
	c.receiving.Lock()
	defer c.receiving.Unlock()
	return c.step(forward.Received{Message: m}).Reading != forward.Pause
}

// Step passes an event to the core.
func (c *core) Step(e forward.Event) { c.step(e) }

func (c *core) step(event forward.Event) forward.Effects {
	c.mu.Lock()
	e := c.state.Step(event)
	if e.Reading != forward.Unchanged { // in the order of the steps
		c.mqtt.SetReading(e.Reading, e.Conn)
	}
	c.mu.Unlock()
	if e.Write != nil {
		c.kafka.Write(e.Write)
	}
	if e.Acknowledge > 0 {
		c.mqtt.Acknowledge(e.Conn, e.Acknowledge)
	}
	return e
}

// Counts returns the present counts.
func (c *core) Counts() forward.Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Counts()
}
