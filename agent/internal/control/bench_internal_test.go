package control

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkTick is one tick of a board with every device and two connectors.
func BenchmarkTick(b *testing.B) {
	f := newFake(2)
	f.log = nil
	r := newRig(b, f, slog.New(slog.DiscardHandler))
	b.ReportAllocs()
	now := time.Duration(1)
	for b.Loop() {
		now += 10 * time.Millisecond
		r.loop.tick(now, 10*time.Millisecond)
	}
}

// BenchmarkJitterUnderLoad runs the loop for b.N periods beside as many busy
// goroutines as there are processors, which also make garbage, and prints by how much
// its ticks deviate from the period: the share within 1 ms and within 10 ms, and how
// many came too late. Run it with -benchtime 3000x for half a minute.
func BenchmarkJitterUnderLoad(b *testing.B) {
	r := newRig(b, newFake(1), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var kept [64][]byte
			for i := 0; ctx.Err() == nil; i++ {
				kept[i%len(kept)] = make([]byte, 1<<16)
			}
			runtime.KeepAlive(kept)
		})
	}
	wg.Go(func() { r.loop.Run(ctx) })
	time.Sleep(time.Duration(b.N) * r.loop.Period)
	cancel()
	wg.Wait()
	d := r.loop.Jitter().Distribution()
	if d.Count < 100 {
		return // the run that finds b.N
	}
	var all strings.Builder
	for _, k := range d.Buckets {
		fmt.Fprintf(&all, " %s %.2f %%,", time.Duration(k.Bound*float64(time.Second)), 100*float64(k.Count)/float64(d.Count))
		switch k.Bound {
		case 0.001:
			b.ReportMetric(100*float64(k.Count)/float64(d.Count), "%≤1ms")
		case 0.01:
			b.ReportMetric(100*float64(k.Count)/float64(d.Count), "%≤10ms")
		}
	}
	b.Logf("deviation of %d ticks is at most:%s%d came too late", d.Count, strings.TrimSuffix(all.String(), ",")+"; ", r.loop.Late())
	b.ReportMetric(float64(r.loop.Late()), "late")
	b.ReportMetric(0, "ns/op")
}
