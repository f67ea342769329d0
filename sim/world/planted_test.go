//go:build planted

package world_test

import (
	"os"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/carga-ev/carga/sim/world"
)

// expectations returns, for each planted bug, the checks that may find it, and the
// kinds of faults under which it has an effect.
func expectations() map[world.Bug]struct {
	by     []string
	faults []world.Kind
} {
	type row = struct {
		by     []string
		faults []world.Kind
	}
	lost := []string{"V1", "S8", "S6", "S5", "S4", "S3", "S7"} // durable records are gone
	return map[world.Bug]row{
		world.BugCloseBeforeSync: {[]string{"S1"}, []world.Kind{world.DiskSlow}},
		world.BugNoSync:          {lost, []world.Kind{world.PowerCut}},
		world.BugSyncErrorLost:   {lost, []world.Kind{world.DiskSync, world.PowerCut, world.PowerCut}},
		world.BugForgetAtPuback:  {[]string{"S6"}, []world.Kind{}},
		world.BugCommandTwice:    {[]string{"S12"}, []world.Kind{world.Noise, world.Noise}},
		world.BugIgnoreBoot:      {[]string{"S12"}, []world.Kind{world.KillAgent, world.PowerCut, world.Clog}},
		world.BugWallClock:       {[]string{"S10"}, []world.Kind{world.ClockJump, world.ClockJump}},
		world.BugPlugFromJournal: {[]string{"S1"}, []world.Kind{world.KillAgent, world.PowerCut, world.KillAtOp}},
		world.BugNoRewind:        {[]string{"S6", "S8", "V1"}, []world.Kind{world.Restore, world.NewKafka}},
		world.BugNoProbe:         {[]string{"V1"}, []world.Kind{world.Noise, world.Noise, world.CutKafka, world.NewKafka}},
		world.BugFullDiskCharges: {[]string{"S1"}, []world.Kind{world.DiskFull, world.DiskFull}},
		world.BugLimitByWall:     {[]string{"G1"}, []world.Kind{world.ClockJump, world.ClockJump}},
		world.BugAckBeforeKafka:  {[]string{"S16"}, []world.Kind{}},
		world.BugDropWhenFull:    {[]string{"S16"}, []world.Kind{world.KillKafka, world.Noise, world.KillAgent}},
		world.BugSkipFailed:      {[]string{"S16"}, []world.Kind{world.KillKafka}},
		world.BugDeadLetterStays: {[]string{"S15"}, []world.Kind{world.Poison}},
		world.BugAckOutOfOrder:   {[]string{"S21"}, []world.Kind{world.KillKafka, world.CutKafka}},
		world.BugAckBeforeCommit: {[]string{"S6"}, []world.Kind{}},
		world.BugNoDedupe:        {[]string{"S9"}, []world.Kind{world.KillBridge, world.Noise}},
		world.BugOffsetOutside:   {[]string{"V1"}, []world.Kind{world.KillAtCommit, world.KillAtCommit}},
		world.BugOffsetsBlind:    {[]string{"V1"}, []world.Kind{world.NewKafka, world.CutKafka}},
		world.BugGapApplied:      {[]string{"S8"}, []world.Kind{world.Noise, world.Noise}},
		world.BugStoredStatus:    {[]string{"S10"}, []world.Kind{world.KillAgent, world.Clog}},
		world.BugNoFence:         {[]string{"S14"}, []world.Kind{world.TwoCentrals}},
		world.BugClaimRaises:     {[]string{"S14"}, []world.Kind{world.HighEpoch, world.HighEpoch}},
		world.BugTicketOutside:   {[]string{"S4"}, slices.Repeat([]world.Kind{world.KillAtCommit}, 12)}, // few commits have a ticket
		world.BugForeignSession:  {[]string{"S15"}, []world.Kind{world.Nonsense, world.Nonsense}},
		world.BugForgedForks:     {[]string{"S13"}, []world.Kind{world.Forged}},
		world.BugDriversClock:    {[]string{"S20"}, []world.Kind{}},
		world.BugRepeatReserves:  {[]string{"S9"}, []world.Kind{}},
		world.BugAddedUnread:     {[]string{"V1"}, []world.Kind{world.GrowKafka}},
		world.BugTicketsUnread:   {[]string{"S4"}, nil}, // in settledThenRestored
		world.BugKeeperDead:      {[]string{"S2"}, []world.Kind{world.KillAgent}},
	}
}

// TestPlantedBugs: each bug is found within a bounded number of seeds, by a check
// that is meant for it.
func TestPlantedBugs(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	const most = 60
	table := expectations()
	for _, bug := range world.Bugs() {
		if only := os.Getenv("CARGA_WORLD_BUG"); only != "" && only != string(bug) {
			continue
		}
		t.Run(string(bug), func(t *testing.T) {
			row, ok := table[bug]
			if !ok {
				t.Fatal("no check is expected to find it")
			}
			for seed := uint64(1); seed <= most; seed++ {
				p := world.Draw(seed, row.faults)
				if bug == world.BugTicketsUnread { // needs a coincidence
					p = settledThenRestored(seed)
				}
				r := world.Run(p, world.Options{Bug: bug})
				if r.Failure == nil {
					continue
				}
				t.Logf("seed %d: %v", seed, r.Failure)
				if !slices.Contains(row.by, r.Failure.Check) {
					t.Errorf("found by %s, want one of %v", r.Failure.Check, row.by)
				}
				return
			}
			t.Errorf("not found in %d seeds", most)
		})
	}
}
