package bench_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/sim/bench"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{
		{nil, 0},
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
		{[]float64{1, 1, 1000}, 1}, // one slow round changes nothing
	} {
		if got := bench.Median(c.of); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.of, got, c.want)
		}
	}
}

// TestPercentile compares nearest ranks with counting.
func TestPercentile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 50), func(n int) time.Duration { return time.Duration(n) }), 0, 120).Draw(t, "values")
		p := rapid.IntRange(0, 100).Draw(t, "p")
		before := slices.Clone(values)
		got := bench.Percentile(values, float64(p))
		if !slices.Equal(values, before) {
			t.Fatal("the values were reordered")
		}
		if len(values) == 0 {
			if got != 0 {
				t.Fatalf("%v of nothing", got)
			}
			return
		}
		atMost := func(d time.Duration) (n int) {
			for _, v := range values {
				if v <= d {
					n++
				}
			}
			return n
		}
		if !slices.Contains(values, got) || atMost(got)*100 < p*len(values) {
			t.Fatalf("p%d of %v is %v: too small", p, values, got)
		}
		if smaller := atMost(got - 1); smaller > 0 && smaller*100 >= p*len(values) {
			t.Fatalf("p%d of %v is %v: a smaller one would do", p, values, got)
		}
	})
}

// TestRatios: a machine that slows down for both changes nothing.
func TestRatios(t *testing.T) {
	got := bench.Ratios([]float64{90, 45, 1, 9}, []float64{100, 50, 0})
	if !slices.Equal(got, []float64{0.9, 0.9}) {
		t.Errorf("ratios are %v", got)
	}
}

func TestAmount(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.057: "0.06", 7.317: "7.32", 8: "8", 52.63: "52.6", 147.4: "147", 999: "999", 1000: "1 000", 19387.4: "19 387",
		1234567: "1 234 567", -1500: "-1 500", -123456: "-123 456",
	} {
		if got := bench.Amount(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}
