package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/sim/operator"
)

// stopTimeout limits the time from SIGTERM to the end of a program.
const stopTimeout = 15 * time.Second

// Settle brings a network without faults to rest, and ends all programs but the
// boards. Every session is stopped and every reservation cancelled through
// Central; every record on the agents' disks must be in Central's database.
// What is not at rest within limit is an error; the programs are ended all the
// same.
func (n *Network) Settle(ctx context.Context, limit time.Duration) error {
	deadline, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// The agents are still connected here, so that stop commands reach them.
	err := Await(deadline, limit, n.AtRest())
	if err != nil {
		err = fmt.Errorf("not at rest: %w", err)
	}
	for _, p := range n.Points {
		err = errors.Join(err, p.Agent.Stop(stopTimeout))
	}
	// The records of the agents' own stop, the last ones, are counted too.
	err = errors.Join(err, n.drain(deadline, limit))
	for _, p := range []*Process{n.Central, n.Bridge, n.MQTT, n.Kafka} {
		err = errors.Join(err, p.Stop(stopTimeout))
	}
	return err
}

// callTimeout limits one call of Central's API: Central may be dead or frozen.
const callTimeout = 3 * time.Second

// restDuration is how long the network must stay at rest: a message that was
// sent a moment ago may still be on its way to Central.
const restDuration = time.Second

// AtRest returns a look function for Await. It asks Central to end all sessions
// and reservations, and returns an error until none is left and everything was
// acknowledged for restDuration.
func (n *Network) AtRest() func(context.Context) error {
	drainer := operator.Drainer{API: n.API}
	var since time.Time
	return func(ctx context.Context) error {
		if err := n.checkAtRest(ctx, &drainer); err != nil {
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

// checkAtRest asks for the end of open sessions and reservations, and returns
// what is not at rest.
func (n *Network) checkAtRest(ctx context.Context, drainer *operator.Drainer) error {
	open, kept, err := drainer.Drain(ctx)
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

// drain waits until Central has applied all records on the disks of the agents,
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
