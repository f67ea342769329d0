package world_test

import (
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/sim/world"
)

// TestOneSession is the simplest run: one charging point, one driver, no faults.
func TestOneSession(t *testing.T) {
	t.Parallel()
	p := calm(1)
	p.Steps = []world.Step{{At: 11 * time.Minute, Kind: world.Visit, N: -1}}
	r := world.Run(p, world.Options{})
	if r.Failure != nil {
		t.Fatal(r.Failure)
	}
	if r.Stats.Tickets != 1 || r.Stats.BilledWh == 0 {
		t.Fatalf("got %d tickets for %d Wh, want one: %+v", r.Stats.Tickets, r.Stats.BilledWh, r.Stats)
	}
}

// calm returns a plan without faults and people.
func calm(seed uint64) world.Plan {
	p := world.Draw(seed, []world.Kind{})
	p.CPs, p.Connectors, p.Lossy, p.For, p.ReservationLife = 1, 1, false, 2*time.Hour, 10*time.Minute
	p.Fuse, p.Safe = 0, 0
	return p
}

// TestCards has many taps and blocked cards and no faults, so that the checks of cards
// always apply.
func TestCards(t *testing.T) {
	t.Parallel()
	var total world.Stats
	for seed := uint64(1); seed <= 4; seed++ {
		p := calm(seed)
		p.Connectors, p.Steps = 2, nil
		for i := range 90 {
			at := 11*time.Minute + time.Duration(i)*time.Minute
			p.Steps = append(p.Steps, world.Step{At: at, Kind: world.Tap, N: i})
			if i%5 == 0 {
				p.Steps = append(p.Steps, world.Step{At: at, Kind: world.IssueCard, N: i})
			}
			if i%12 == 7 {
				p.Steps = append(p.Steps, world.Step{At: at, Kind: world.BlockCard, N: i})
			}
		}
		r := world.Run(p, world.Options{})
		if r.Failure != nil {
			t.Errorf("seed %d: %v", seed, r.Failure)
		}
		total.Add(&r.Stats)
	}
	if total.Taps < 200 || total.CardSessions < 20 {
		t.Errorf("%d taps and %d sessions prove little", total.Taps, total.CardSessions)
	}
	t.Logf("%d taps, %d sessions", total.Taps, total.CardSessions)
}

// TestAGroupCharges: in most runs behind a fuse sessions get more than the safe current.
func TestAGroupCharges(t *testing.T) {
	t.Parallel()
	groups, charged := 0, 0
	for seed := uint64(1); seed <= 12; seed++ {
		p := world.Draw(seed, []world.Kind{})
		p.For = min(p.For, 2*time.Hour)
		if p.Fuse == 0 {
			continue
		}
		groups++
		r := world.Run(p, world.Options{})
		if r.Failure != nil {
			t.Errorf("seed %d: %v", seed, r.Failure)
		}
		if r.Stats.FuseChecks > 0 {
			charged++
		}
	}
	if groups < 3 || charged < groups/2 {
		t.Errorf("of %d groups %d had more than their safe current", groups, charged)
	}
}

// TestSameSeedSameRun: without determinism no failure could be reproduced.
func TestSameSeedSameRun(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 8; seed++ {
		a, b := world.Run(world.Draw(seed, nil), world.Options{}), world.Run(world.Draw(seed, nil), world.Options{})
		if a.Sum != b.Sum || a.Events != b.Events {
			t.Errorf("seed %d: %d events with hash %x, then %d with %x", seed, a.Events, a.Sum, b.Events, b.Sum)
		}
		if c := world.Run(world.Draw(seed+1000, nil), world.Options{}); c.Sum == a.Sum {
			t.Errorf("seeds %d and %d give the same run", seed, seed+1000)
		}
	}
}

// TestSeeds runs one network per seed, with faults of all kinds. CARGA_WORLD_SEEDS
// is the number of seeds; the default is small, for stages that test everything.
func TestSeeds(t *testing.T) {
	t.Parallel()
	n := uint64(10)
	if text := os.Getenv("CARGA_WORLD_SEEDS"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 32); err != nil {
			t.Fatalf("CARGA_WORLD_SEEDS: %v", err)
		}
		defer debug.SetGCPercent(debug.SetGCPercent(400))
	}
	var mu sync.Mutex // guards total and next
	var total world.Stats
	next, days := uint64(1), 0.0
	began := time.Now() //nolint:forbidigo // only for the log
	var working sync.WaitGroup
	for range 2 {
		working.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				mu.Unlock()
				if seed > n {
					return
				}
				r := world.Run(world.Draw(seed, nil), world.Options{})
				if r.Failure != nil {
					t.Errorf("seed %d: %v\nreproduce: sim world --seed %d", seed, r.Failure, seed)
				}
				mu.Lock()
				total.Add(&r.Stats)
				days += r.CPDays
				mu.Unlock()
			}
		})
	}
	working.Wait()
	t.Logf("%d runs, %.1f CP-days, %.1f a second: %d sessions, %d of them by cards, %d tickets, faults %v",
		n, days, days/time.Since(began).Seconds(), //nolint:forbidigo // as above
		total.Sessions, total.CardSessions, total.Tickets, total.Faults)
}

// TestShrink: only the steps that make a plan fail are left.
func TestShrink(t *testing.T) {
	t.Parallel()
	if !world.Planted() {
		return // no plan fails in this build
	}
	p := calm(3)
	for i := range 20 {
		p.Steps = append(p.Steps, world.Step{At: time.Duration(5*i+1) * time.Minute, Kind: world.Visit, N: -1})
	}
	o := world.Options{Bug: world.BugAckBeforeCommit}
	r := world.Run(p, o)
	if r.Failure == nil {
		t.Fatal("did not fail")
	}
	small, f := world.Shrink(t.Context(), p, o, r.Failure, 200)
	if f.Check != r.Failure.Check || len(small.Steps) > 2 {
		t.Errorf("%d steps are left, failing %v", len(small.Steps), f)
	}
}
