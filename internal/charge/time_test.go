package charge_test

import (
	"math/rand/v2"
	"testing"

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
