package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/driver"
)

const (
	// The number of charging points, and the target.
	requestPoints = 10
	requestWanted = 100 // ms
	// requestLimit limits each request, and each departure.
	requestLimit = 10 * time.Second
)

// measureRequest measures the time from a driver's messages to the closed
// contactor. The vehicles are plugged in before, so that it does not contain
// the plug.
func measureRequest(ctx context.Context, r *run, budget time.Duration) (rows []Row, err error) {
	n, err := r.startNetwork(ctx, requestPoints, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	// All drivers share one connection, as the drivers of one app do.
	client, err := driver.NewClient(driver.ClientConfig{Brokers: []string{n.brokers}, ClientID: "carga-bench", Partitions: partitions})
	if err != nil {
		return nil, err
	}
	clientPart := start(ctx, client.Run)
	defer func() { err = errors.Join(err, clientPart.stop()) }()
	var whole, starts []time.Duration
	// In each round every vehicle is plugged in and waits, then one request
	// after the other is measured, so that requests do not wait for each other.
	for begin := time.Now(); len(whole) == 0 || time.Since(begin) < budget*7/10; {
		for _, p := range n.points {
			if err := p.board.Plug(1); err != nil {
				return nil, err
			}
		}
		for _, p := range n.points {
			a, s, err := p.request(ctx, client)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.id, err)
			}
			whole, starts = append(whole, a), append(starts, s)
		}
		for _, p := range n.points {
			if err := p.unplug(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", p.id, err)
			}
		}
	}
	row := func(name, what string, times []time.Duration, p, wanted float64) Row {
		return limited(Row{Name: "request-" + name, What: what, Unit: "ms", Wanted: wanted}, milliseconds(percentile(times, p)), len(times))
	}
	rows = []Row{
		row("start-p50", "driver's start in Kafka → contactor closed, p50", starts, 50, requestWanted),
		row("start-p99", "driver's start in Kafka → contactor closed, p99", starts, 99, 0),
		row("whole-p50", "reserve, answer, start → contactor closed, p50", whole, 50, 0),
		row("whole-p99", "reserve, answer, start → contactor closed, p99", whole, 99, 0),
	}
	rows[0].Note = "without a lock; the contactor itself takes 20 to 60 ms, the pilot is read each 10 ms"
	return rows, nil
}

// request reserves a charging point, sends the start as soon as the answer is
// there, and returns the time of both, and of the start alone.
func (p *point) request(ctx context.Context, client *driver.Client) (whole, started time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	if err := p.await(ctx, func(o sim.Outlet) bool { return o.Pilot == charge.PilotC.String() }); err != nil {
		return 0, 0, fmt.Errorf("the vehicle does not request power: %w", err)
	}
	username := charge.Username("driver-" + p.id)
	// Subscribed before the request is sent, so that the answer cannot be
	// missed.
	subscription := client.Subscribe(username)
	defer client.Unsubscribe(subscription)
	begin := time.Now()
	if err := p.send(ctx, client, username, wire.DriverAuthorization); err != nil {
		return 0, 0, err
	}
	if err := awaitAuthorized(ctx, subscription); err != nil {
		return 0, 0, err
	}
	// The start has its own time: it contains no answer, only the way to the
	// contactor.
	startSent := time.Now()
	if err := p.send(ctx, client, username, wire.DriverStarted); err != nil {
		return 0, 0, err
	}
	if err := p.await(ctx, func(o sim.Outlet) bool { return o.Closed }); err != nil {
		return 0, 0, fmt.Errorf("the contactor does not close: %w", err)
	}
	return time.Since(begin), time.Since(startSent), nil
}

// send sends one message, and retries while the client is not connected.
func (p *point) send(ctx context.Context, client *driver.Client, username charge.Username, what wire.DriverEventType) error {
	m := wire.DriverRequest{
		MessageID: ids.New(time.Now(), rand.Reader), EventType: what, Username: username, CPID: &p.id, ClientID: "carga-bench",
		Timestamp: wire.Seconds(charge.At(time.Now())),
	}
	for {
		err := client.Send(ctx, &m)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// awaitAuthorized waits for Central's answer.
func awaitAuthorized(ctx context.Context, subscription *driver.Subscription) error {
	for {
		select {
		case <-subscription.Ready():
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", ctx.Err())
		}
		for _, e := range subscription.Drain() {
			h, ok := e.(driver.Received)
			if !ok || h.Event.EventType != wire.CentralAuthorization {
				continue
			}
			if h.Event.Authorized == nil || !*h.Event.Authorized {
				return fmt.Errorf("refused: %s", h.Event.Reason)
			}
			return nil
		}
	}
}

// unplug unplugs the vehicle and waits until the connector is available and
// everything is acknowledged.
func (p *point) unplug(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	if err := p.board.Unplug(1); err != nil {
		return err
	}
	for {
		s := p.agent.Status()
		if len(s.Connectors) > 0 && s.Connectors[0].Status == charge.StatusAvailable && s.Unacked == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not become free: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
