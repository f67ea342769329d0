package charge_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// TestTimeIsWrittenWithMilliseconds: as package time writes it by a layout, for any
// time.
func TestTimeIsWrittenWithMilliseconds(t *testing.T) {
	check := func(at charge.Time) {
		t.Helper()
		if got, want := at.String(), at.Std().Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Errorf("%d ms: %s, want %s", int64(at), got, want)
		}
	}
	for _, at := range []charge.Time{0, 1, 9, 10, 99, 100, 999, 1000, -1, -999, -1000, -1001, charge.MaxTime, charge.MaxTime + 1, 1_764_518_400_123} {
		check(at)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		check(charge.Time(random.Int64N(int64(charge.MaxTime))))
	}
}

// TestSub: a difference beyond the longest duration is that, with its sign.
func TestSub(t *testing.T) {
	const day = 24 * time.Hour
	years := func(n int) charge.Time { return charge.Time(n) * 365 * charge.Time(day/time.Millisecond) }
	longest := time.Duration(math.MaxInt64).Truncate(time.Millisecond)
	for _, c := range []struct {
		t, u charge.Time
		want time.Duration
	}{
		{1500, 500, time.Second},
		{500, 1500, -time.Second},
		{years(292), 0, 292 * 365 * day},
		{0, years(292), -292 * 365 * day},
		{years(293), 0, longest},
		{years(600), 0, longest},
		{0, years(293), -longest},
		{charge.MaxTime, 1, longest},
		{1, charge.MaxTime, -longest},
	} {
		if got := c.t.Sub(c.u); got != c.want {
			t.Errorf("%d - %d: got %s, want %s", c.t, c.u, got, c.want)
		}
	}
}
