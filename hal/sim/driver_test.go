package sim_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

func newDriver(tb testing.TB, seed uint64) *sim.Driver {
	tb.Helper()
	cfg := sim.DefaultDriverConfig()
	cfg.Seed = seed
	d, err := sim.NewDriver(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func TestDriverComesAndLeavesAfterTheSession(t *testing.T) {
	d, cfg := newDriver(t, 1), sim.DefaultDriverConfig()
	d.Reserved(0, 1, "ana")
	if got := d.Tick(cfg.Arrives.Least - 1); got != nil {
		t.Fatalf("too early: got %v", got)
	}
	want := sim.Action{Deed: sim.DeedPlug, Connector: 1, Username: "ana"}
	if got := d.Tick(cfg.Arrives.Most); !slices.Equal(got, []sim.Action{want}) {
		t.Fatalf("arrival: got %v, want %v", got, want)
	}
	d.Reserved(cfg.Arrives.Most, 1, "ana") // told again
	d.Ended(20*time.Second, 1)
	if got := d.Tick(20 * time.Second); got != nil {
		t.Fatalf("left before the session had ended: %v", got)
	}
	want.Deed = sim.DeedUnplug
	if got := d.Tick(20*time.Second + cfg.Leaves.Most); !slices.Equal(got, []sim.Action{want}) {
		t.Fatalf("leaving: got %v, want %v", got, want)
	}
	if _, some := d.Next(); some {
		t.Error("somebody is still under way")
	}
}

func TestDriverWhoseReservationEndsDoesNotCome(t *testing.T) {
	d := newDriver(t, 1)
	d.Reserved(0, 1, "ana")
	d.Ended(time.Second, 1)
	if got := d.Tick(time.Hour); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestDriverWithAFullVehicleLeaves(t *testing.T) {
	d, cfg := newDriver(t, 1), sim.DefaultDriverConfig()
	d.Full(0, 1) // nobody there
	d.Reserved(0, 1, "ana")
	d.Full(0, 1) // not there yet
	_ = d.Tick(cfg.Arrives.Most)
	d.Full(10*time.Second, 1)
	if got := d.Tick(10*time.Second + cfg.Leaves.Most); len(got) != 1 || got[0].Deed != sim.DeedUnplug {
		t.Errorf("got %v", got)
	}
}

// TestDriversComeInPairsAndAllLeave: per connector plug and unplug alternate,
// everybody leaves by himself, and the same seed gives the same actions.
func TestDriversComeInPairsAndAllLeave(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		type call struct {
			after time.Duration
			what  int
			n     charge.ConnectorID
			who   charge.Username
		}
		calls := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) call {
			return call{
				after: time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "after")),
				what:  rapid.IntRange(0, 3).Draw(t, "what"),
				n:     charge.ConnectorID(rapid.IntRange(1, 3).Draw(t, "n")),
				who:   rapid.SampledFrom([]charge.Username{"ana", "luis", "mar"}).Draw(t, "who"),
			}
		}), 1, 40).Draw(rt, "calls")
		play := func() []sim.Action {
			d := newDriver(t, seed)
			var now time.Duration
			var all []sim.Action
			for _, c := range calls {
				now += c.after
				all = append(all, d.Tick(now)...)
				switch c.what {
				case 0, 1:
					d.Reserved(now, c.n, c.who)
				case 2:
					d.Ended(now, c.n)
				case 3:
					d.Full(now, c.n)
				}
			}
			cfg := sim.DefaultDriverConfig()
			all = append(all, d.Tick(now+cfg.Arrives.Most+cfg.Stays.Most)...)
			if next, some := d.Next(); some {
				rt.Fatalf("somebody is there until %v", next)
			}
			return all
		}
		first := play()
		plugged := map[charge.ConnectorID]bool{}
		for _, a := range first {
			if plugged[a.Connector] == (a.Deed == sim.DeedPlug) {
				rt.Fatalf("%v on connector %d while plugged is %v", a.Deed, a.Connector, plugged[a.Connector])
			}
			plugged[a.Connector] = a.Deed == sim.DeedPlug
		}
		if again := play(); !slices.Equal(first, again) {
			rt.Fatalf("same seed, other actions: %v and %v", first, again)
		}
	})
}

func TestDriverConfigIsRefusedByField(t *testing.T) {
	cfg := sim.DefaultDriverConfig()
	cfg.Stays.Least = time.Hour
	if _, err := sim.NewDriver(cfg); err == nil {
		t.Error("a span from an hour to two minutes was accepted")
	}
}

func TestDriverWhoIsToldAgainDoesNotStayLonger(t *testing.T) {
	d, cfg := newDriver(t, 1), sim.DefaultDriverConfig()
	d.Reserved(0, 1, "ana")
	_ = d.Tick(cfg.Arrives.Most)
	for now := 10 * time.Second; now <= 10*time.Second+cfg.Leaves.Most; now += cfg.Leaves.Least / 2 {
		if d.Ended(now, 1); len(d.Tick(now)) == 1 {
			return
		}
	}
	t.Error("each repetition put the leaving off")
}
