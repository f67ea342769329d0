package chaos_test

import (
	"context"
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

// long skips a test that takes an hour, unless that is wanted.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("CARGA_SOAK") != "1" {
		t.Skip("takes an hour; CARGA_SOAK=1 runs it")
	}
}

// crashes are all deaths of one part: at and after each point, with each delay;
// the passages go round, so that each point dies twice at each of them. The
// longest delay is beyond all after which somebody is missed.
func crashes(part string) (list []crash) {
	passages := []int{1, 2, 7}
	for i, at := range crashpoint.All() {
		if !strings.HasPrefix(string(at), part) {
			continue
		}
		for side, after := range []bool{false, true} {
			for j, delay := range []time.Duration{0, time.Second, 10 * time.Second} {
				list = append(list, crash{at, passages[(i+side+j)%len(passages)], after, delay})
			}
		}
	}
	return list
}

// TestCrashPointsForLong lets each program die at and after each of its crash
// points, at a later passage too, and starts it again at once, soon, and late.
func TestCrashPointsForLong(t *testing.T) {
	long(t)
	bin, engines := build(t, "crashpoints", "-tags", "crashpoints"), apache(t)
	for _, part := range []string{"a", "b", "c"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			n := crashNetwork(t, bin, engines)
			line := startClient(t, n)
			for _, c := range crashes(part) {
				if !t.Run(c.String(), func(t *testing.T) { crashDuringService(t, n, line, c) }) {
					t.Fatal("the network is not what it was; the rest would not say anything")
				}
			}
			reconcileAfterCrashes(t, n)
		})
	}
}

// TestCrashPointPairsForLong lets an agent and Central die within one service,
// for each pair of their points: where the one dies while the other is dead,
// both are dead at the same time.
func TestCrashPointPairsForLong(t *testing.T) {
	long(t)
	n := crashNetwork(t, build(t, "crashpoints", "-tags", "crashpoints"), apache(t))
	line := startClient(t, n)
	for _, a := range crashpoint.All() {
		for _, c := range crashpoint.All() {
			if a[0] != 'a' || c[0] != 'c' {
				continue
			}
			if !t.Run(fmt.Sprintf("%s and %s", a, c), func(t *testing.T) { crashBoth(t, n, line, crash{at: a, passage: 1}, crash{at: c, passage: 1}) }) {
				t.Fatal("the network is not what it was; the rest would not say anything")
			}
		}
	}
	reconcileAfterCrashes(t, n)
}

// pairTimeout is how long the one who has died waits for the other.
const pairTimeout = 2 * time.Second

// crashBoth performs services until both have died, and starts them again.
func crashBoth(t *testing.T, n *chaos.Network, line *driver.Client, agent, central crash) {
	t.Helper()
	late := []func(){}
	for _, c := range []crash{central, agent} {
		arm := func() { c.arm(t, n) }
		switch {
		case c.at == crashpoint.NewSegment:
			c.restart(t, n, arm)
		case c.beforeCharging():
			arm()
		default:
			late = append(late, arm)
		}
	}
	charging := func() {
		for _, arm := range late {
			arm()
		}
	}
	served, dead := make(chan driver.Outcome, 1), make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() { served <- serveUntil(ctx, n.Points[0], line, charging, func() {}, dead) })
	both := func(ctx context.Context) error {
		if err := agent.awaitDeath(n)(ctx); err != nil {
			return err
		}
		return central.awaitDeath(n)(ctx)
	}
	first := agent
	await(t, "one of them dies", func(ctx context.Context) error {
		if first = agent; agent.awaitDeath(n)(ctx) == nil {
			return nil
		}
		first = central
		return central.awaitDeath(n)(ctx)
	})
	other := map[crash]crash{agent: central, central: agent}[first]
	if chaos.Await(t.Context(), pairTimeout, both) == nil {
		other.startAgain(t, n)
		first.startAgain(t, n)
	} else {
		first.startAgain(t, n)
		await(t, "the other one dies "+other.String(), other.awaitDeath(n))
		other.startAgain(t, n)
	}
	close(dead)
	t.Logf("the driver has his %s", (<-served).Result)
	await(t, "all comes to rest", n.AtRest())
}
