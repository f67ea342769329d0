package world_test

import (
	"testing"

	"github.com/carga-ev/carga/sim/world"
)

// TestForgedRecords: records that a client publishes in the name of a charging
// point, without knowing its hash chain, are dropped and counted, and change
// nothing.
func TestForgedRecords(t *testing.T) {
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
		t.Errorf("%d forged records were sent, %d records dropped, in %d sessions: want some of each", total.ForgedRecords, total.Mismatched, total.Sessions)
	}
	t.Logf("%d forged records, %d records dropped that did not fit the chain", total.ForgedRecords, total.Mismatched)
}

// TestByzantine: charging points whose records make no sense are tolerated, beside
// normal ones and under faults that duplicate, reorder and restore.
func TestByzantine(t *testing.T) {
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
		t.Errorf("%d nonsense records beside %d sessions: want some of each", total.NonsenseRecords, total.Sessions)
	}
	t.Logf("%d nonsense records, %d sessions of normal charging points", total.NonsenseRecords, total.Sessions)
}

// TestKafkaRefusesTheFuture: while its clock is days ahead a component cannot write
// to Kafka; once the clock is right everything that waited is written.
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
	t.Logf("%d produce calls refused, %d sessions", total.TooFarAhead, total.Sessions)
}
