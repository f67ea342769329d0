package ledger_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// TestTimesAreCorrected: the times of a session that began with a clock that was not
// set, or was wrong, are those of the first record of the boot with a synchronised
// clock, in whatever order the records are delivered; the rows keep what was recorded.
func TestTimesAreCorrected(t *testing.T) {
	t.Parallel()
	const (
		truth  charge.Time = 1_790_000_000_000
		unset              = charge.ClockUnset
		set                = charge.ClockSet
		synced             = charge.ClockSynced
		hour               = charge.Time(time.Hour / time.Millisecond)
	)
	for _, tc := range []struct {
		name   string
		clocks [4]charge.ClockQuality // at the grant, the start, the stop and afterwards
		// How far the clock is ahead at these moments, and how far the times are then.
		clocksAhead [4]charge.Time
		note        ledger.ClockNote
		ahead       charge.Time
	}{
		{"synchronised", [4]charge.ClockQuality{synced, synced, synced, synced}, [4]charge.Time{}, ledger.ClockFine, 0},
		{"never set", [4]charge.ClockQuality{unset, unset, unset, unset}, [4]charge.Time{-truth, -truth, -truth, -truth}, ledger.ClockUnknown, 0},
		{"never synchronised", [4]charge.ClockQuality{set, set, set, set}, [4]charge.Time{hour, hour, hour, hour}, ledger.ClockUnsure, hour},
		{"set in the session", [4]charge.ClockQuality{unset, set, set, set}, [4]charge.Time{-truth, hour, hour, hour}, ledger.ClockUnsure, hour},
		{"synchronised in the session", [4]charge.ClockQuality{unset, unset, synced, synced}, [4]charge.Time{-truth, -truth, 0, 0}, ledger.ClockCorrected, 0},
		{"synchronised after the ticket", [4]charge.ClockQuality{unset, set, set, synced}, [4]charge.Time{-truth, hour, hour, 0}, ledger.ClockCorrected, 0},
		{"wrong, then synchronised", [4]charge.ClockQuality{set, set, set, synced}, [4]charge.Time{-hour, -hour, -hour, 0}, ledger.ClockCorrected, 0},
		{"synchronised years ahead", [4]charge.ClockQuality{unset, unset, unset, synced}, [4]charge.Time{-truth, -truth, -truth, 90_000 * hour}, ledger.ClockUnknown, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cp := ledgertest.NewChargingPoint("CP_1", 1, truth-hour)
			cp.Clock = tc.clocks[0]
			cp.Boot()
			uptime := func(at charge.Time) int64 { return int64(at - (truth - hour)) }
			write := func(i int, at charge.Time, p wire.Payload) {
				r := cp.Write(1, "s1", p)
				r.Clock, r.At, r.UptimeMS = tc.clocks[i], at+tc.clocksAhead[i], uptime(at)
				cp.Storage[len(cp.Storage)-1], cp.Log[len(cp.Log)-1] = r, r
			}
			cp.Log[0].Clock, cp.Storage[0].Clock = unset, unset
			write(0, truth, &wire.Authorized{By: wire.GrantFreeVend, Register: 1000})
			write(1, truth+1000, &wire.ChargingStarted{Register: 1000})
			write(2, truth+hour, &wire.ChargingStopped{Reason: charge.StopLocal, Start: 1000, Register: 3000})
			write(3, truth+2*hour, &wire.PluggedIn{})
			b := ledgertest.NewBook("CP_1", truth+24*hour)
			for left := cp.Log; len(left) > 0; {
				for _, i := range rand.Perm(len(left)) { //nolint:gosec // any order
					b.Apply(left[i])
				}
				rest := left[:0:0]
				for _, r := range left {
					if out, _ := b.Apply(r); out.Verdict != ledger.Duplicate {
						rest = append(rest, r)
					}
				}
				left = rest
			}
			row := b.Sessions["s1"]
			got, note := row.CorrectTimes(func(id charge.JournalID) ledger.BootTime { return b.FullState().Journals[id].Boot })
			want := [3]charge.Time{truth + tc.ahead, truth + 1000 + tc.ahead, truth + hour + tc.ahead}
			if tc.note == ledger.ClockUnknown {
				want = [3]charge.Time{}
			}
			if times := [3]charge.Time{got.AuthorizedAt, got.StartedAt, got.EndedAt}; note != tc.note || times != want {
				t.Errorf("note %q, times %v, want %q and %v", note, times, tc.note, want)
			}
			if row.AuthorizedAt != truth+tc.clocksAhead[0] || row.EndedAt != truth+hour+tc.clocksAhead[2] {
				t.Errorf("what was recorded has changed: %+v", row)
			}
		})
	}
}

// TestTimesOutsideOfTheCalendar: a record may state any uptime; a time that follows from
// it and is none of the years 1970 to 9999 is not known, so that it can be shown.
func TestTimesOutsideOfTheCalendar(t *testing.T) {
	t.Parallel()
	const truth charge.Time = 1_790_000_000_000
	for _, c := range []struct {
		boot charge.Time
		ms   int64
		want charge.Time
	}{
		{truth, 1000, truth + 1000},
		{truth - 1<<53, 1000, 0},
		{truth, 1 << 53, 0},
		{-1000, 1000, 0},
		{-1000, 1001, 1},
	} {
		s := ledger.Session{EndedAt: 5, Spans: []ledger.Span{{Journal: "j", StopMS: c.ms, Clock: charge.ClockUnset}}}
		got, _ := s.CorrectTimes(func(charge.JournalID) ledger.BootTime {
			return ledger.BootTime{At: c.boot, Clock: charge.ClockSynced, Seq: 1}
		})
		if got.EndedAt != c.want {
			t.Errorf("boot at %d, %d ms later: got %d, want %d", c.boot, c.ms, got.EndedAt, c.want)
		}
	}
}
