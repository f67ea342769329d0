package backoff_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/internal/backoff"
)

func source() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// TestPausesGrowToTheBound: each pause lies between half of and the whole
// ceiling, the ceiling doubles, and it stays at the bound for ever.
func TestPausesGrowToTheBound(t *testing.T) {
	b := backoff.New(50*time.Millisecond, 2*time.Second, source())
	ceiling := 50 * time.Millisecond
	for i := range 100 {
		got := b.Next()
		if got < ceiling/2 || got > ceiling {
			t.Fatalf("pause %d is %v, want %v to %v", i, got, ceiling/2, ceiling)
		}
		ceiling = min(2*ceiling, 2*time.Second)
	}
	b.Reset()
	if got := b.Next(); got > 50*time.Millisecond {
		t.Errorf("after Reset the pause is %v, want at most 50ms", got)
	}
}

// TestSameSeedSamePauses: simulations can be replayed.
func TestSameSeedSamePauses(t *testing.T) {
	a, b := backoff.New(time.Second, time.Minute, source()), backoff.New(time.Second, time.Minute, source())
	spread := map[time.Duration]bool{}
	for range 50 {
		x, y := a.Next(), b.Next()
		if x != y {
			t.Fatalf("%v and %v from the same seed", x, y)
		}
		spread[x] = true
	}
	if len(spread) < 40 {
		t.Errorf("%d different pauses of 50: not spread", len(spread))
	}
}

// TestAnyBoundsAreSafe: for any bounds, a pause is positive, bounded and never
// overflows.
func TestAnyBoundsAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := time.Duration(rapid.Int64().Draw(t, "low"))
		high := time.Duration(rapid.Int64().Draw(t, "high"))
		b := backoff.New(low, high, source())
		bound := max(low, high, time.Millisecond)
		for range 70 {
			if got := b.Next(); got < 0 || got > bound {
				t.Fatalf("pause %v, want 0 to %v", got, bound)
			}
		}
	})
}

// TestNilSource: a source of its own.
func TestNilSource(t *testing.T) {
	if got := backoff.New(time.Second, time.Second, nil).Next(); got < time.Second/2 || got > time.Second {
		t.Errorf("pause %v, want 0.5s to 1s", got)
	}
}
