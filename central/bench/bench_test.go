package bench_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/bench"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
)

// partitions returns the journals of some charging points, distributed over
// count partitions. The points of a partition alternate.
func partitions(tb testing.TB, points, sessions, count int) [][]bench.Message {
	tb.Helper()
	out := make([][]bench.Message, count)
	var all []*journaltest.Point
	for i := range points {
		p := journaltest.New(tb, charge.CPID(fmt.Sprintf("CP_%03d", i)))
		for n := range sessions {
			p.Charge(n)
		}
		all = append(all, p)
	}
	for seq := range all[0].All {
		for i, p := range all {
			out[i%count] = append(out[i%count], bench.Message{Key: p.CP, Value: p.All[seq].Value})
		}
	}
	return out
}

func config(dir string, p [][]bench.Message) bench.Config {
	return bench.Config{Dir: dir, Partitions: p, Batch: 200, Tariff: "t1"}
}

func TestBothWaysAreMeasured(t *testing.T) {
	dir := t.TempDir()
	r, err := bench.Run(t.Context(), config(dir, partitions(t, 5, 2, 2)))
	if err != nil {
		t.Fatal(err)
	}
	if r.Events != 5*(1+2*8) || r.Transactions < 1 || r.Through <= 0 || r.Bare <= 0 {
		t.Errorf("%+v", r)
	}
	for _, name := range []string{"through.db", "bare.db"} {
		if m, err := filepath.Glob(filepath.Join(dir, name)); err != nil || len(m) != 1 {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// If records are not applied, Run returns ErrStuck.
func TestDishonestJournalsAreRefused(t *testing.T) {
	p := partitions(t, 1, 1, 1)
	p[0] = p[0][1:] // the registration is missing
	cfg := config(t.TempDir(), p)
	cfg.StuckAfter = 50 * time.Millisecond
	if _, err := bench.Run(t.Context(), cfg); !errors.Is(err, bench.ErrStuck) {
		t.Errorf("got %v, want ErrStuck", err)
	}
}

// BenchmarkIngest passes records of 500 charging points through the writer, and
// then writes the same rows alone.
func BenchmarkIngest(b *testing.B) {
	p := partitions(b, 500, 10, 12)
	var events int64
	var through, bare time.Duration
	dir := b.TempDir()
	for n := 0; b.Loop(); n++ {
		r, err := bench.Run(b.Context(), config(filepath.Join(dir, strconv.Itoa(n)), p))
		if err != nil {
			b.Fatal(err)
		}
		events, through, bare = events+r.Events, through+r.Through, bare+r.Bare
	}
	b.ReportMetric(float64(events)/through.Seconds(), "events/s")
	b.ReportMetric(float64(events)/bare.Seconds(), "bare_events/s")
	b.ReportMetric(bare.Seconds()/through.Seconds(), "ratio")
}
