package world_test

import (
	"testing"

	"github.com/carga-ev/carga/sim/world"
)

// TestStrays: whoever publishes in a charging point's name without holding its
// chain is dropped and counted, and changes nothing.
func TestStrays(t *testing.T) {
	t.Parallel()
	faults := []world.Kind{
		world.Forged, world.Forged, world.Forged, world.Noise, world.KillAgent, world.KillBridge, world.KillCentral, world.Restore, world.NewKafka,
	}
	var total world.Stats
	for seed := uint64(1); seed <= 12; seed++ {
		r := world.Run(world.Draw(seed, faults), world.Options{})
		if r.Failure != nil {
			t.Errorf("seed %d: %v", seed, r.Failure)
		}
		total.Add(&r.Stats)
	}
	if total.ForgedRecords == 0 || total.Mismatched == 0 || total.Sessions == 0 {
		t.Errorf("%d strays were sent, %d records dropped, in %d sessions: want some of each", total.ForgedRecords, total.Mismatched, total.Sessions)
	}
	t.Logf("%d strays, %d records dropped that did not fit", total.ForgedRecords, total.Mismatched)
}

// TestLiars: charging points whose records make no sense are borne, beside honest
// ones and under all that doubles, reorders and restores.
func TestLiars(t *testing.T) {
	t.Parallel()
	faults := []world.Kind{
		world.Nonsense, world.Nonsense, world.Nonsense, world.Noise, world.KillAgent, world.KillBridge, world.KillCentral, world.KillAtCommit, world.Restore,
	}
	var total world.Stats
	for seed := uint64(1); seed <= 6; seed++ {
		r := world.Run(world.Draw(seed, faults), world.Options{})
		if r.Failure != nil {
			t.Errorf("seed %d: %v", seed, r.Failure)
		}
		total.Add(&r.Stats)
	}
	if total.NonsenseRecords == 0 || total.Sessions == 0 {
		t.Errorf("%d records without sense beside %d sessions: want some of each", total.NonsenseRecords, total.Sessions)
	}
	t.Logf("%d records without sense, %d sessions of honest charging points", total.NonsenseRecords, total.Sessions)
}

// TestKafkaRefusesTheFuture: while a clock is days ahead, its part cannot write;
// once it is right all that waited is written.
func TestKafkaRefusesTheFuture(t *testing.T) {
	t.Parallel()
	var total world.Stats
	for seed := uint64(2); seed <= 19; seed++ {
		r := world.Run(world.Draw(seed, []world.Kind{world.DaysAhead, world.DaysAhead, world.KillAgent}), world.Options{})
		if r.Failure != nil {
			t.Errorf("seed %d: %v", seed, r.Failure)
		}
		total.Add(&r.Stats)
	}
	if total.TooFarAhead == 0 {
		t.Error("nothing was refused")
	}
	t.Logf("%d times refused, %d sessions", total.TooFarAhead, total.Sessions)
}
