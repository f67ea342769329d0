package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/sim/chaos"
	"github.com/carga-ev/carga/sim/driver"
)

// TestEachCrashPointOnce crashes each program at each of its crash points
// during one service, from the request to the ticket, and starts it again.
// Whatever result the driver gets, the books balance at the end.
func TestEachCrashPointOnce(t *testing.T) {
	bin, engines := build(t, "crashpoints", "-tags", "crashpoints"), apache(t)
	for _, part := range []string{"a", "b", "c"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			n := crashNetwork(t, bin, engines)
			line := startClient(t, n)
			for _, at := range crashpoint.All() {
				if strings.HasPrefix(string(at), part) {
					t.Run(string(at), func(t *testing.T) { crashDuringService(t, n, line, crash{at: at, passage: 1}) })
				}
			}
			reconcileAfterCrashes(t, n)
		})
	}
}

// reconcileAfterCrashes brings the network to rest and reconciles it.
func reconcileAfterCrashes(t *testing.T, n *chaos.Network) {
	t.Helper()
	if err := n.Settle(t.Context(), limit); err != nil {
		t.Fatal(err)
	}
	a, err := n.Reconcile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", a)
	for _, v := range a.Violations {
		t.Error(v)
	}
	if a.Sessions == 0 || a.Metered == 0 {
		t.Errorf("got %+v; want sessions with energy", a)
	}
}

// crashNetwork starts a network of one charging point from a build with crash
// points.
func crashNetwork(t *testing.T, bin string, engines chaos.Engines) *chaos.Network {
	t.Helper()
	n, err := chaos.NewNetwork(t.Context(), chaos.Config{
		Bin: bin, Dir: folder(t), Engines: engines, Points: 1, Connectors: 1, Seed: 1, Power: 50_000,
		Partitions: 1, KeepAlive: 5 * time.Second, Reservation: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the network starts", n.AtRest())
	return n
}

// startClient runs a drivers' Kafka client until the test ends.
func startClient(t *testing.T, n *chaos.Network) *driver.Client {
	t.Helper()
	client, err := driver.NewClient(driver.ClientConfig{Brokers: []string{n.KafkaAddr()}, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stopClient := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = client.Run(ctx) })
	t.Cleanup(func() {
		stopClient()
		running.Wait()
	})
	return client
}

// crash is one crash of a program, and its restart.
type crash struct {
	at      crashpoint.Point
	passage int           // at the n-th passage of the point since it was armed
	after   bool          // shortly after the point, not at it
	delay   time.Duration // before it is started again
}

func (c crash) String() string {
	side := "at"
	if c.after {
		side = "after"
	}
	return fmt.Sprintf("%s %s passage %d, back after %v", side, c.at, c.passage, c.delay)
}

// victim returns the process that crashes.
func (c crash) victim(n *chaos.Network) *chaos.Process {
	return map[byte]*chaos.Process{'a': n.Points[0].Agent, 'b': n.Bridge, 'c': n.Central}[c.at[0]]
}

// beforeCharging reports whether a point is passed before power flows: it is
// armed before the service, the others once power flows.
func (c crash) beforeCharging() bool {
	switch c.at {
	case crashpoint.Granted, crashpoint.Closed, crashpoint.Synced, crashpoint.Requested, crashpoint.Ordering:
		return true
	default:
		return false
	}
}

func (c crash) arm(t *testing.T, n *chaos.Network) {
	t.Helper()
	side := "at"
	if c.after {
		side = "after"
	}
	if err := c.victim(n).Arm(fmt.Sprintf("%s %d %s", c.at, c.passage, side)); err != nil {
		t.Error(err)
	}
}

// restart restarts the program: some points are passed at its start.
func (c crash) restart(t *testing.T, n *chaos.Network, between func()) {
	t.Helper()
	if err := c.victim(n).Stop(limit); err != nil {
		t.Error(err)
	}
	between()
	if err := c.victim(n).Start(t.Context()); err != nil {
		t.Error(err)
	}
}

// awaitDeath is a look function for await: the armed program has killed itself.
func (c crash) awaitDeath(n *chaos.Network) func(context.Context) error {
	return func(context.Context) error {
		if _, err := os.Stat(c.victim(n).Crash); err == nil {
			return errors.New("it has not come to the point")
		}
		if c.victim(n).Alive() {
			return errors.New("it still runs")
		}
		return nil
	}
}

// startAgain starts the program after the delay.
func (c crash) startAgain(t *testing.T, n *chaos.Network) {
	t.Helper()
	if c.at[0] == 'a' {
		n.Points[0].DiedBefore(time.Now())
	}
	select {
	case <-time.After(c.delay):
	case <-t.Context().Done():
	}
	if err := c.victim(n).Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// crashDuringService performs services until the program has crashed in one of
// them, and starts it again.
func crashDuringService(t *testing.T, n *chaos.Network, line *driver.Client, c crash) {
	t.Helper()
	arm := func() { c.arm(t, n) }
	again := func() {}
	switch {
	case c.at == crashpoint.NewSegment:
		c.restart(t, n, arm)
		arm, again = func() {}, func() { c.restart(t, n, func() {}) }
	case c.beforeCharging():
		arm()
		arm = func() {}
	}
	within := limit * time.Duration(c.passage)
	served, dead := make(chan driver.Outcome, 1), make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), within)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() { served <- serveUntil(ctx, n.Points[0], line, arm, again, dead) })
	if err := chaos.Await(t.Context(), within, c.awaitDeath(n)); err != nil {
		t.Fatalf("%s crashes %s: %v", c.victim(n).Name, c, err)
	}
	close(dead)
	c.startAgain(t, n)
	t.Logf("the driver's result is %s", (<-served).Result)
	await(t, "all comes to rest after "+c.String(), n.AtRest())
}

// serveUntil performs services until dead is closed, and returns the result of
// the last one. again is called between two services.
func serveUntil(ctx context.Context, p *chaos.Point, line *driver.Client, charging, again func(), dead <-chan struct{}) driver.Outcome {
	for {
		o := serve(ctx, p, line, charging)
		select {
		case <-dead:
			return o
		case <-ctx.Done():
			return o
		case <-time.After(time.Second): // a crash is detected within this time
		}
		select {
		case <-dead:
			return o
		default:
			charging = func() {}
			again()
		}
	}
}

// serve repeats the request until there is a service in which power flows, and
// returns its result. charging is called when power flows.
func serve(ctx context.Context, p *chaos.Point, line *driver.Client, charging func()) driver.Outcome {
	cfg := driver.DefaultConfig()
	cfg.Deadline, cfg.SessionTimeout, cfg.Grace, cfg.StopAfter = 30*time.Second, 30*time.Second, 5*time.Second, 2*time.Second
	for flows := false; ; {
		o, err := driver.Run(ctx, cfg, line, func(s driver.Step) {
			switch {
			case s.Kind == driver.StepAuthorized:
				_ = p.Controls().Plug(s.Connector) // it may still be plugged in
			case s.Kind == driver.StepStarted && !flows:
				flows = true
				charging()
			}
		})
		_ = p.Controls().Unplug(1)
		if err != nil || flows {
			return o
		}
		select {
		case <-ctx.Done():
			return o
		case <-time.After(200 * time.Millisecond):
		}
	}
}
