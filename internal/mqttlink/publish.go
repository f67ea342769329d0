package mqttlink

import (
	"context"
	"fmt"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Pending is a publish in flight.
type Pending struct {
	topic    string
	payload  []byte
	qos      byte
	retained bool

	token chan mqtt.Token // capacity 1: publishLoop sends once
	done  chan struct{}
	err   error // valid after done
}

// Done is closed when the publish is over.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Err returns how the publish ended. It is valid after Done is closed.
func (p *Pending) Err() error { return p.err }

// Wait waits for the end and returns its error, or the error of the context.
func (p *Pending) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Publish publishes on this connection and waits for the end; see Link.Publish.
func (c *Conn) Publish(ctx context.Context, topic string, qos byte, retained bool, payload []byte) error {
	p, err := c.PublishAsync(ctx, topic, qos, retained, payload)
	if err != nil {
		return err
	}
	return p.Wait(ctx)
}

// PublishAsync publishes on this connection; see Link.PublishAsync. It blocks
// while the connection accepts no more. payload must not change until the end.
func (c *Conn) PublishAsync(ctx context.Context, topic string, qos byte, retained bool, payload []byte) (*Pending, error) {
	p := &Pending{
		topic: topic, payload: payload, qos: qos, retained: retained,
		token: make(chan mqtt.Token, 1), done: make(chan struct{}),
	}
	select {
	case c.out <- p:
		return p, nil
	case <-c.life.over:
		return nil, c.lostError()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// publishLoop passes the messages to paho one after the other, so that they are
// sent in the order of the calls. paho's Publish blocks while the connection is
// slow, and up to the write time-out after it was lost; callers do not.
func (c *Conn) publishLoop() {
	for {
		select {
		case p := <-c.out:
			c.link.running.Go(func() { c.awaitToken(p) })
			p.token <- c.client.Publish(p.topic, p.qos, p.retained, p.payload)
		case <-c.life.over:
			return
		}
	}
}

// awaitToken ends a publish with its token or with the connection, whichever is
// first. After a loss a token may never complete; one that has completed counts.
func (c *Conn) awaitToken(p *Pending) {
	var token mqtt.Token
	select {
	case token = <-p.token:
	case <-c.life.over:
		c.end(p, c.lostError())
		return
	}
	select {
	case <-token.Done():
	case <-c.life.over:
		select {
		case <-token.Done():
		default:
			c.end(p, c.lostError())
			return
		}
	}
	if err := token.Error(); err != nil {
		c.end(p, fmt.Errorf("publish on %s: %w", p.topic, err))
		return
	}
	c.end(p, nil)
}

// end records the outcome of a publish and releases its waiters.
func (c *Conn) end(p *Pending, err error) {
	p.err = err
	c.link.status.count(func(n *Counters) {
		if err == nil {
			n.Published++
		} else {
			n.Unpublished++
		}
	})
	close(p.done)
}

// lostError is ErrLost with the reason.
func (c *Conn) lostError() error {
	return fmt.Errorf("%w: %w", ErrLost, c.life.why)
}
