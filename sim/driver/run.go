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
	// Send says a message once. Nil means that Kafka has it; after an error it may
	// have it all the same. It ends with ctx.
	Send(ctx context.Context, m *wire.DriverRequest) error
	// Subscribe returns an ear that hears everything said to the driver from now on,
	// beginning with the state of the link if that is known. It is given back to
	// Hang.
	Subscribe(who charge.Username) *Subscription
	Unsubscribe(e *Subscription)
}

// sendTimeout bounds one sending: Kafka that takes longer is asked again.
const sendTimeout = 10 * time.Second

// Run performs one service and tells each step, in order and from one
// goroutine. It returns when the service has ended, or with the error of ctx;
// a reservation or session that runs then goes on without its driver.
func Run(ctx context.Context, cfg Config, p Transport, report func(Step)) (Outcome, error) {
	if err := cfg.Validate(); err != nil {
		return Outcome{}, err
	}
	subscription := p.Subscribe(cfg.Username)
	defer p.Unsubscribe(subscription)
	now := time.Now()
	c := NewConversation(cfg, now, func() string { return ids.New(time.Now(), rand.Reader) })

	sent := make(chan Sent, 1) // one Send at a time, so it never blocks the sender
	sendCtx, cancel := context.WithCancel(ctx)
	sending := false
	defer func() {
		cancel()
		if sending {
			<-sent
		}
	}()
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
