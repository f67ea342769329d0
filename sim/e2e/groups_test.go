package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	agentapp "github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// The currents of the group, per phase.
const (
	fuse        charge.MilliAmps = 40_000
	safeCurrent charge.MilliAmps = 8_000
	mostCurrent charge.MilliAmps = 32_000
)

// current is what a vehicle really draws, per phase.
func (p *point) current() charge.MilliAmps {
	return charge.MilliAmps(int64(p.outlet().Power) * 1_000_000 / (3 * 230_000))
}

// watchFuse observes the boards, and reports a current above the fuse.
func (w *world) watchFuse(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		sum := charge.MilliAmps(0)
		for _, p := range w.points {
			sum += p.current()
		}
		if sum > fuse {
			w.t.Errorf("%s: the vehicles draw %d mA, above the fuse of %d mA", time.Now().Format(time.TimeOnly), sum, fuse)
		}
	}
}

// awaitCurrents waits until the vehicles draw these currents, but for the half of an
// ampere that a pilot rounds away and a vehicle leaves.
func (w *world) awaitCurrents(within time.Duration, what string, want ...charge.MilliAmps) {
	w.t.Helper()
	began := time.Now()
	var got []charge.MilliAmps
	so := func() bool {
		got = got[:0]
		same := true
		for i, p := range w.points {
			got = append(got, p.current())
			same = same && got[i] <= want[i] && got[i] >= want[i]-500
		}
		return same
	}
	for !so() {
		if time.Since(began) > within {
			w.t.Fatalf("%s: after %s the vehicles draw %v mA, want %v", what, within, got, want)
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.t.Logf("%s: %v mA after %s", what, got, time.Since(began).Round(time.Second))
}

// TestAGroupSharesItsFuse: three charging points of 32 A behind a fuse of 40 A. While
// one loses its connection, Central dies, and a vehicle leaves, the vehicles never draw
// more than the fuse carries, and each gets its share of what there is.
func TestAGroupSharesItsFuse(t *testing.T) {
	t.Parallel()
	const (
		unknown  = 6 * time.Minute               // after its start Central raises nothing
		lasts    = 4*time.Minute + 2*time.Minute // a grant above the safe current, as Central counts it
		reaction = 30 * time.Second              // commands, their results, the next plan
	)
	inWorld(t, plan{
		points: 3, idle: 10 * time.Second,
		agent: func(c *agentapp.Config) { c.Limits.Safe, c.Policies.StartDelay = safeCurrent, 0 },
		board: func(c *sim.Config) { c.MaxCurrent, c.RatedPower = mostCurrent, 22_000 },
	}, func(w *world) {
		for _, p := range w.points {
			p.noPeople, p.freeVend = true, true
		}
		cut := w.points[2]
		w.links["the third's mqtt"] = &faultyLink{}
		cut.link = "the third's mqtt"
		w.start(allParts()...)
		w.run("fuse", w.watchFuse)
		w.await(time.Minute, "Central knows all charging points", func() bool {
			n, ok := w.network()
			return ok && len(n.CPs) == len(w.points)
		})
		w.callAPI(http.MethodPost, "/groups", fmt.Appendf(nil, `{"name":"hall","limit_ma":%d,"cps":["CP_001","CP_002","CP_003"]}`, fuse))
		plug := func(p *point) {
			if err := p.board.PlugVehicle(1, sim.Vehicle{Capacity: 60_000, MaxPower: 22_000}); err != nil {
				t.Fatal(err)
			}
		}
		plug(w.points[0])
		w.awaitCurrents(unknown+reaction, "what the others do not need", mostCurrent, 0, 0)
		plug(w.points[1])
		plug(cut)
		w.awaitCurrents(reaction, "three vehicles", fuse/3, fuse/3, fuse/3)

		w.links[cut.link].set(linkCut)
		w.awaitCurrents(lasts+reaction, "one has no connection", (fuse-safeCurrent)/2, (fuse-safeCurrent)/2, safeCurrent)

		w.stop("central")
		w.awaitCurrents(lasts, "Central is dead", safeCurrent, safeCurrent, safeCurrent)
		w.links[cut.link].set(linkUp)
		w.start("central")
		w.awaitCurrents(unknown+time.Minute, "Central is back, and so is the connection", fuse/3, fuse/3, fuse/3)

		if err := w.points[1].board.Unplug(1); err != nil {
			t.Fatal(err)
		}
		w.awaitCurrents(reaction, "a vehicle has left", fuse/2, 0, fuse/2)
		w.stop("fuse")
	})
}
