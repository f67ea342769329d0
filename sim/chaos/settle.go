package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/sim/operator"
)

// stopTimeout is how long a program may take to end after SIGTERM.
const stopTimeout = 15 * time.Second

// Settle brings a healed network to rest and ends its programs but for the
// boards: every session is stopped and every reservation cancelled through
// Central, and every record on the disks is in its database. What is not at
// rest within limit is an error, and everything is ended all the same.
func (n *Network) Settle(ctx context.Context, limit time.Duration) error {
	deadline, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := Await(deadline, limit, n.AtRest())
	if err != nil {
		err = fmt.Errorf("not at rest: %w", err)
	}
	for _, p := range n.Points {
		err = errors.Join(err, p.Agent.Stop(stopTimeout))
	}
	err = errors.Join(err, n.drain(deadline, limit))
	for _, p := range []*Process{n.Central, n.Bridge, n.MQTT, n.Kafka} {
		err = errors.Join(err, p.Stop(stopTimeout))
	}
	return err
}

// callTimeout bounds one call of Central, which may be dead or frozen.
const callTimeout = 3 * time.Second

// restDuration is how long nothing must happen: what somebody said a moment ago may
// still be on its way to Central.
const restDuration = time.Second

// AtRest returns a look for Await: it asks Central for an end of what is open, and
// says what is not at rest yet, or not for long enough.
func (n *Network) AtRest() func(context.Context) error {
	ending := operator.Drainer{API: n.API}
	var since time.Time
	return func(ctx context.Context) error {
		if err := n.checkAtRest(ctx, &ending); err != nil {
			since = time.Time{}
			return err
		}
		if since.IsZero() {
			since = time.Now()
		}
		if quiet := time.Since(since); quiet < restDuration {
			return fmt.Errorf("at rest for %v only", quiet.Round(time.Millisecond))
		}
		return nil
	}
}

// checkAtRest asks for an end of what is open, and says what is not at rest yet.
func (n *Network) checkAtRest(ctx context.Context, ending *operator.Drainer) error {
	open, kept, err := ending.Drain(ctx)
	if err != nil {
		return err
	}
	v, err := n.API.Network(ctx)
	if err != nil {
		return err
	}
	online := 0
	for _, p := range v.CPs {
		if p.Link == "online" {
			online++
		}
	}
	if open+kept > 0 || online < len(n.Points) || v.Books.Unacked > 0 {
		return fmt.Errorf("%d sessions open, %d reservations, %d of %d charging points online, %d records not acknowledged",
			open, kept, online, len(n.Points), v.Books.Unacked)
	}
	return nil
}

// drain waits until Central has applied what is on the disks of the agents,
// which have ended.
func (n *Network) drain(ctx context.Context, limit time.Duration) error {
	var onDisk int64
	for _, p := range n.Points {
		records, err := p.records()
		if err != nil {
			return err
		}
		onDisk += int64(len(records))
	}
	return Await(ctx, limit, func(ctx context.Context) error {
		v, err := n.API.Network(ctx)
		if err == nil && v.Books.Applied < onDisk {
			err = fmt.Errorf("%d records on disk, %d applied", onDisk, v.Books.Applied)
		}
		return err
	})
}
