package people_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/people"
)

func newModel(tb testing.TB, seed uint64) *people.Model {
	tb.Helper()
	cfg := people.DefaultConfig()
	cfg.Seed = seed
	d, err := people.NewModel(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func TestDriverComesAndLeavesAfterTheSession(t *testing.T) {
	d, cfg := newModel(t, 1), people.DefaultConfig()
	d.Reserved(0, 1, "ana")
	if got := d.Due(cfg.Arrives.Least - 1); got != nil {
		t.Fatalf("too early: got %v", got)
	}
	want := people.Action{Kind: people.Plug, Connector: 1, Username: "ana"}
	if got := d.Due(cfg.Arrives.Most); !slices.Equal(got, []people.Action{want}) {
		t.Fatalf("arrival: got %v, want %v", got, want)
	}
	d.Reserved(cfg.Arrives.Most, 1, "ana") // reported again
	d.Ended(20*time.Second, 1)
	if got := d.Due(20 * time.Second); got != nil {
		t.Fatalf("left before the session had ended: %v", got)
	}
	want.Kind = people.Unplug
	if got := d.Due(20*time.Second + cfg.Leaves.Most); !slices.Equal(got, []people.Action{want}) {
		t.Fatalf("leaving: got %v, want %v", got, want)
	}
	if _, some := d.Next(); some {
		t.Error("a visit is left")
	}
}

func TestDriverWhoseReservationEndsDoesNotCome(t *testing.T) {
	d := newModel(t, 1)
	d.Reserved(0, 1, "ana")
	d.Ended(time.Second, 1)
	if got := d.Due(time.Hour); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestDriverWithAFullVehicleLeaves(t *testing.T) {
	d, cfg := newModel(t, 1), people.DefaultConfig()
	d.Full(0, 1) // no vehicle there
	d.Reserved(0, 1, "ana")
	d.Full(0, 1) // not there yet
	_ = d.Due(cfg.Arrives.Most)
	d.Full(10*time.Second, 1)
	if got := d.Due(10*time.Second + cfg.Leaves.Most); len(got) != 1 || got[0].Kind != people.Unplug {
		t.Errorf("got %v", got)
	}
}

// TestPlugAndUnplugAlternate: per connector plug and unplug alternate, all
// vehicles leave in the end, and the same seed returns the same actions.
func TestPlugAndUnplugAlternate(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		type call struct {
			after  time.Duration
			what   int
			n      charge.ConnectorID
			driver charge.Username
		}
		calls := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) call {
			return call{
				after:  time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "after")),
				what:   rapid.IntRange(0, 3).Draw(t, "what"),
				n:      charge.ConnectorID(rapid.IntRange(1, 3).Draw(t, "n")),
				driver: rapid.SampledFrom([]charge.Username{"ana", "luis", "mar"}).Draw(t, "driver"),
			}
		}), 1, 40).Draw(rt, "calls")
		play := func() []people.Action {
			d := newModel(t, seed)
			var now time.Duration
			var all []people.Action
			for _, c := range calls {
				now += c.after
				all = append(all, d.Due(now)...)
				switch c.what {
				case 0, 1:
					d.Reserved(now, c.n, c.driver)
				case 2:
					d.Ended(now, c.n)
				case 3:
					d.Full(now, c.n)
				}
			}
			cfg := people.DefaultConfig()
			all = append(all, d.Due(now+cfg.Arrives.Most+cfg.Stays.Most)...)
			if next, some := d.Next(); some {
				rt.Fatalf("a visit is left until %v", next)
			}
			return all
		}
		first := play()
		plugged := map[charge.ConnectorID]bool{}
		for _, a := range first {
			if plugged[a.Connector] == (a.Kind == people.Plug) {
				rt.Fatalf("%v on connector %d while plugged is %v", a.Kind, a.Connector, plugged[a.Connector])
			}
			plugged[a.Connector] = a.Kind == people.Plug
		}
		if again := play(); !slices.Equal(first, again) {
			rt.Fatalf("same seed, other actions: %v and %v", first, again)
		}
	})
}

func TestConfigIsRefusedByField(t *testing.T) {
	cfg := people.DefaultConfig()
	cfg.Stays.Least = time.Hour
	if _, err := people.NewModel(cfg); err == nil {
		t.Error("a span from an hour to two minutes was accepted")
	}
}

func TestARepeatedEndDoesNotPutTheLeavingOff(t *testing.T) {
	d, cfg := newModel(t, 1), people.DefaultConfig()
	d.Reserved(0, 1, "ana")
	_ = d.Due(cfg.Arrives.Most)
	for now := 10 * time.Second; now <= 10*time.Second+cfg.Leaves.Most; now += cfg.Leaves.Least / 2 {
		if d.Ended(now, 1); len(d.Due(now)) == 1 {
			return
		}
	}
	t.Error("each repetition put the leaving off")
}
