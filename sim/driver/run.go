package driver

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/wire"
)

// Transport is the connection a driver speaks and listens by; *Line is one.
type Transport interface {
	// Send sends a message once. Nil means that Kafka acknowledged it; after an
	// error the message may have been written or not. It returns when ctx ends.
	Send(ctx context.Context, m *wire.DriverRequest) error
	// Subscribe returns a queue that receives, from now on, all messages for
	// the driver, and first the state of the connection if that is known.
	// Unsubscribe releases it.
	Subscribe(username charge.Username) *Subscription
	Unsubscribe(s *Subscription)
}

// sendTimeout limits one Send; the conversation retries after it.
const sendTimeout = 10 * time.Second

// Run performs one service and reports each step, in order and from the calling
// goroutine. It returns when the service is over, or with the error of ctx:
// then an open reservation or session continues without its driver.
func Run(ctx context.Context, cfg Config, p Transport, report func(Step)) (Outcome, error) {
	if err := cfg.Validate(); err != nil {
		return Outcome{}, err
	}
	subscription := p.Subscribe(cfg.Username)
	defer p.Unsubscribe(subscription)
	now := time.Now()
	c := NewConversation(cfg, now, func() string { return ids.New(time.Now(), rand.Reader) })

	// A Send runs in a goroutine of its own, so that messages are read while
	// Kafka is slow. Run waits for the last one before it returns.
	sent := make(chan Sent, 1) // capacity 1, and one Send at a time: the sender never blocks
	sendCtx, cancel := context.WithCancel(ctx)
	sending := false
	defer func() {
		cancel()
		if sending {
			<-sent
		}
	}()
	// perform carries out effects.
	perform := func(effects []Effect) {
		for _, f := range effects {
			switch f := f.(type) {
			case Report:
				report(f.Step)
			case Send:
				sending = true
				go func() { sent <- send(sendCtx, p, f.Request) }()
			}
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if o, over := c.Outcome(); over {
			return o, nil
		}
		// Next changes with each event.
		timer.Reset(time.Until(c.Next()))
		select {
		case <-ctx.Done():
			return Outcome{}, ctx.Err()
		case <-subscription.Ready():
			for _, e := range subscription.Drain() {
				perform(c.Step(e))
			}
		case s := <-sent:
			sending = false
			perform(c.Step(s))
		case <-timer.C:
			perform(c.Step(Tick{time.Now()}))
		}
	}
}

// send performs one Send effect.
func send(ctx context.Context, p Transport, r wire.DriverRequest) Sent {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	s := Sent{MessageID: r.MessageID}
	if err := p.Send(ctx, &r); err != nil {
		s.Failed = err.Error()
	}
	s.At = time.Now()
	return s
}
