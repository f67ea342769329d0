package fleet_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/fleet"
)

func newFleet(t *testing.T, dir string, cps int) *fleet.Fleet {
	t.Helper()
	f, err := fleet.New(fleet.Config{
		CPs: cps, Seed: 1, Dir: dir, MQTT: "tcp://127.0.0.1:1", Vehicles: sim.DefaultVehicles(),
		ID: func(n int) charge.CPID { return charge.CPID(fmt.Sprintf("CP_%d", n)) },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestRegistersAreWrittenBeforeTheAgentReadsThem: the last register that an
// agent has read is where the next process starts, also after a kill.
func TestRegistersAreWrittenBeforeTheAgentReadsThem(t *testing.T) {
	dir := t.TempDir()
	f := newFleet(t, dir, 2)
	p := f.Points()[1]
	c, err := p.Connector(1)
	if err != nil {
		t.Fatal(err)
	}
	before, err := c.Meter().Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Plug(1); err != nil {
		t.Fatal(err)
	}
	k, err := p.Keeper()
	if err != nil {
		t.Fatal(err)
	}
	seen := before.Import
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for seen < before.Import+2 { // 2 Wh take a few tenths of a second at this power
		if err := k.Kick(); err != nil {
			t.Fatal(err)
		}
		if err := c.Contactor().Set(true); err != nil {
			t.Fatal(err)
		}
		<-tick.C
		r, err := c.Meter().Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen = r.Import
	}
	// A kill: nothing is closed.
	again := newFleet(t, dir, 1)
	if got := len(again.Points()); got != 2 {
		t.Fatalf("%d charging points after a start with fewer, want 2", got)
	}
	k2, err := again.Points()[1].Connector(1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := k2.Meter().Read(t.Context())
	if err != nil || r.Import != seen {
		t.Errorf("the register is %d (%v), want the %d that was seen", r.Import, err, seen)
	}
	if got, want := again.Metered(), seen-before.Import; got != want {
		t.Errorf("metered %d, want %d", got, want)
	}
	for _, f := range []*fleet.Fleet{f, again} {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
