package ingest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// A series has the latest point of each step, in order, for as long as it is
// bounded to.
func TestSeriesKeepsTheLastHour(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s series
		want := map[charge.Time]view.Point{}
		now := charge.Time(100_000_000)
		for n := range rapid.IntRange(0, 2000).Draw(t, "points") {
			now += charge.Time(rapid.Int64Range(0, 20_000).Draw(t, "pause"))
			p := view.Point{At: now, Power: charge.Watts(n)}
			s.add(p)
			want[now/10_000] = p
		}
		got := s.between(0, charge.MaxTime)
		if len(got) != min(len(want), seriesPoints) || len(s.points) > seriesPoints {
			t.Fatalf("%d points, want %d", len(got), min(len(want), seriesPoints))
		}
		for i, p := range got {
			if want[p.At/10_000] != p || i > 0 && p.At <= got[i-1].At {
				t.Fatalf("point %d is %+v after %+v, want %+v", i, p, got[max(0, i-1)], want[p.At/10_000])
			}
		}
		if n := len(got); n > 2 {
			if part := s.between(got[1].At, got[n-1].At); len(part) != n-2 {
				t.Fatalf("%d points between the first and the last of %d", len(part), n)
			}
		}
		s.add(view.Point{At: now - charge.Time(time.Hour.Milliseconds())})
		if len(got) > 0 && len(s.between(0, charge.MaxTime)) != 1 {
			t.Fatal("the clock was set back, and points of the future are kept")
		}
	})
}
