package autonomy_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// The bounds that docs/PROTOCOL.md (4.1) publishes, and the session they are of.
const (
	usualTime = 3 * time.Hour
	usualWh   = 33_000
	maxBytes  = 24_000 // of the journal, for a usual session
	quota     = 256 << 20
	sessions  = 10_000 // that fit below nine tenths of the quota
)

// TestSizeOfASession: a usual session that a driver starts and stops through
// Central, with every field of its records filled, needs at most maxBytes on
// disk, and so 10 000 of them stay below the mark at which no session starts.
func TestSizeOfASession(t *testing.T) {
	if most := quota * 9 / 10 / sessions; maxBytes > most {
		t.Errorf("%d B for each of %d sessions are more than nine tenths of the quota: %d B are left", maxBytes, sessions, most)
	}
	for _, row := range []struct {
		name string
		long time.Duration
		wh   charge.WattHours
	}{
		{"3 h at 11 kW", usualTime, usualWh},
		{"45 min at 44 kW, 33 kWh", usualTime / 4, usualWh},
		{"3 h at 2.3 kW", usualTime, 6900},
	} {
		t.Run(row.name, func(t *testing.T) { sizeOf(t, row.long, row.wh) })
	}
}

// sizeOf measures a session, as the mean of several: with its part of headers,
// checkpoints and space that no record fitted into. Segments are allocated as a
// whole, so the mean is of those from the begin of one segment to that of a later one.
func sizeOf(t *testing.T, long time.Duration, wh charge.WattHours) {
	t.Helper()
	const several = 200
	s := newSite(t, 1)
	s.policy.FreeVend, s.policy.Rated = false, 50_000
	s.outlets[0].power = charge.Watts(int64(wh) * int64(time.Hour) / int64(long))
	s.start()
	var begun []segmentBegun
	for n := range several {
		id := charge.SessionID(s.newID())
		s.plug(1)
		s.command(1, &wire.Start{SessionID: id, Username: "maria.fernandez@example.org", Tariff: charge.TariffVersion(s.newID())})
		s.pass(long, 10*time.Second)
		s.command(1, &wire.Stop{SessionID: id})
		s.unplug(1)
		s.pass(time.Minute, 10*time.Second)
		if size := s.journalSize(); n > several/4 && (len(begun) == 0 || size > begun[len(begun)-1].size) {
			begun = append(begun, segmentBegun{n, size})
		}
	}
	all, size := s.records()
	samples := 0
	for _, r := range all {
		if r.Type == wire.TypeMeterRead {
			samples++
		}
	}
	first, last := begun[1], begun[len(begun)-1]
	used := (last.size - first.size) / (last.n - first.n)
	t.Logf("a session: %d records, %d of them samples, %d B; on disk %d B", len(all)/several, samples/several, size/several, used)
	if least := int(max(int64(wh)/1000, int64(long/(5*time.Minute)))) * 9 / 10; samples/several < least {
		t.Errorf("%d samples, want one after each kWh and each 5 min: at least %d", samples/several, least)
	}
	if used > maxBytes {
		t.Errorf("a session needs %d B on disk, want at most %d", used, maxBytes)
	}
}

// segmentBegun is how many sessions there were, and the bytes of all segments, when
// a segment was begun.
type segmentBegun struct{ n, size int }
