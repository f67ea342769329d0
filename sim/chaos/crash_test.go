package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/sim/chaos"
	"github.com/carga-ev/carga/sim/driver"
)

// TestEachCrashPointOnce lets each program die at each of its crash points
// within one service, from the request to the ticket, and starts it again.
// Whatever the driver is told, the books are right in the end.
func TestEachCrashPointOnce(t *testing.T) {
	bin, engines := build(t, "crashpoints", "-tags", "crashpoints"), apache(t)
	for _, part := range []string{"a", "b", "c"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			n := crashing(t, bin, engines)
			line := phone(t, n)
			for _, at := range crashpoint.All() {
				if strings.HasPrefix(string(at), part) {
					t.Run(string(at), func(t *testing.T) { crashAt(t, n, line, at) })
				}
			}
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
		})
	}
}

func crashing(t *testing.T, bin string, engines chaos.Engines) *chaos.Network {
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
	await(t, "the network starts", n.Calm())
	return n
}

// phone is a driver's line that is there until the test ends.
func phone(t *testing.T, n *chaos.Network) *driver.Line {
	t.Helper()
	line, err := driver.NewLine(driver.LineConfig{Brokers: []string{n.KafkaAddr()}, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, hangUp := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = line.Run(ctx) })
	t.Cleanup(func() {
		hangUp()
		running.Wait()
	})
	return line
}

// crashAt performs one service, in which the part dies at a point: those that
// belong to the beginning are armed before it, the others when power flows.
func crashAt(t *testing.T, n *chaos.Network, line *driver.Line, at crashpoint.Point) {
	t.Helper()
	p := n.Points[0]
	victim := map[byte]*chaos.Process{'a': p.Agent, 'b': n.Bridge, 'c': n.Central}[at[0]]
	arm := func() {
		if err := victim.Arm(string(at)); err != nil {
			t.Error(err)
		}
	}
	switch at {
	case crashpoint.NewSegment: // made when an agent starts
		if err := victim.Stop(limit); err != nil {
			t.Fatal(err)
		}
		arm()
		if err := victim.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		arm = func() {}
	case crashpoint.Granted, crashpoint.Closed, crashpoint.Synced, crashpoint.Requested, crashpoint.Ordering:
		arm()
		arm = func() {}
	}
	served := make(chan driver.Outcome, 1)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() { served <- serve(ctx, p, line, arm) })
	await(t, fmt.Sprintf("%s dies at %s", victim.Name, at), func(context.Context) error {
		if victim.Alive() {
			return errors.New("it lives")
		}
		return nil
	})
	if victim == p.Agent {
		p.DiedBefore(time.Now())
	}
	if err := victim.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the driver has his %s", (<-served).Result)
	await(t, "all comes to rest after "+string(at), n.Calm())
}

// serve asks until there is a service in which power flows, and returns how it
// ended. charging is called when it does.
func serve(ctx context.Context, p *chaos.Point, line *driver.Line, charging func()) driver.Outcome {
	cfg := driver.DefaultConfig()
	cfg.Deadline, cfg.Patience, cfg.Grace, cfg.StopAfter = 30*time.Second, 30*time.Second, 5*time.Second, 2*time.Second
	for flows := false; ; {
		o, err := driver.Run(ctx, cfg, line, func(s driver.Step) {
			switch {
			case s.Kind == driver.StepAuthorized:
				_ = p.Hands().Plug(s.Connector) // it may stand there still
			case s.Kind == driver.StepStarted && !flows:
				flows = true
				charging()
			}
		})
		_ = p.Hands().Unplug(1)
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
