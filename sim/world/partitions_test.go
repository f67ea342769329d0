package world_test

import (
	"testing"

	"github.com/carga-ev/carga/sim/world"
)

// TestPartitionsGrow adds partitions under all faults that reorder and repeat: no
// check depends on a key keeping its partition.
func TestPartitionsGrow(t *testing.T) {
	t.Parallel()
	faults := []world.Kind{
		world.GrowKafka, world.GrowKafka, world.Noise, world.Clog, world.KillBridge, world.KillCentral, world.KillKafka, world.KillAgent,
	}
	grown := 0
	for seed := uint64(1); seed <= 12; seed++ {
		r := world.Run(world.Draw(seed, faults), world.Options{})
		if r.Failure != nil {
			t.Errorf("seed %d: %v", seed, r.Failure)
		}
		grown += r.Stats.Faults[world.GrowKafka]
	}
	if grown == 0 {
		t.Error("no partition was added")
	}
}
