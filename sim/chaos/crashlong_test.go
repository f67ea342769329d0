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

// long skips a test that takes an hour, unless CARGA_SOAK=1.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("CARGA_SOAK") != "1" {
		t.Skip("takes an hour; CARGA_SOAK=1 runs it")
	}
}

// crashes returns all crashes of one program: at and after each point, with
// each delay. The passages rotate, so that each point is hit twice at each of
// them. The longest delay exceeds all timeouts after which a program is
// considered gone.
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

// TestCrashPointsForLong crashes each program at and after each of its crash
// points, also at later passages, and restarts it at once, after a second, and
// after ten.
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
					t.Fatal("the network is damaged; further results would mean nothing")
				}
			}
			reconcileAfterCrashes(t, n)
		})
	}
}

// TestCrashPointPairsForLong crashes an agent and Central during one service,
// for each pair of their points. If both crash within pairTimeout, both are
// down at the same time.
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
				t.Fatal("the network is damaged; further results would mean nothing")
			}
		}
	}
	reconcileAfterCrashes(t, n)
}

// pairTimeout is how long the first to crash stays down to wait for the other.
const pairTimeout = 2 * time.Second

// crashBoth performs services until both have crashed, and starts them again.
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
	await(t, "one of them crashes", func(ctx context.Context) error {
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
		await(t, "the other one crashes "+other.String(), other.awaitDeath(n))
		other.startAgain(t, n)
	}
	close(dead)
	t.Logf("the driver's result is %s", (<-served).Result)
	await(t, "all comes to rest", n.AtRest())
}
