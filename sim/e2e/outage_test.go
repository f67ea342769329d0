package e2e_test

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// outage is an outage of Kafka while charging points go on.
type outage struct {
	away   time.Duration
	every  time.Duration // between two plugs or unplugs at a charging point
	points int
}

// TestF07KafkaIsAwayForLong: memory and goroutines stay flat, the first record
// is applied within a second of Kafka's return, and then all of them. A soak
// has an outage of a day with many records and one of a month with few.
func TestF07KafkaIsAwayForLong(t *testing.T) {
	cases := []outage{{away: 2 * time.Hour, every: 5 * time.Second, points: 2}}
	if soak() {
		cases = []outage{{24 * time.Hour, 5 * time.Second, 1}, {30 * 24 * time.Hour, 10 * time.Minute, 1}}
	}
	for _, o := range cases {
		t.Run(o.away.String(), func(t *testing.T) {
			inWorld(t, plan{points: o.points, idle: time.Minute}, func(w *world) { o.run(w) })
		})
	}
}

func (o outage) run(w *world) {
	w.t.Helper()
	w.start(allParts()...)
	time.Sleep(2 * time.Minute)
	w.kafka.Stop()
	w.run("life", func(ctx context.Context) error { o.plugAndUnplug(ctx, w); return nil })
	time.Sleep(o.away / 4)
	heap, routines := footprint()
	time.Sleep(o.away * 3 / 4)
	w.stop("life")
	later, more := footprint()
	w.t.Logf("after %s: %d KiB and %d goroutines, after %s: %d KiB and %d", o.away/4, heap>>10, routines, o.away, later>>10, more)
	// An agent's index of its journal grows by some bytes per record.
	if later > heap+16<<20 || more > routines+5 {
		w.t.Error("memory or goroutines grow while Kafka is away")
	}
	waiting := int64(0)
	for _, p := range w.points {
		waiting += p.status().Unacked
	}
	w.firstEventWithin(time.Second)
	began := time.Now()
	w.await(healTimeout+time.Duration(waiting)*10*time.Millisecond, "the backlog is applied", func() bool {
		for _, p := range w.points {
			if p.status().Unacked != 0 {
				return false
			}
		}
		return true
	})
	drained := time.Since(began)
	w.t.Logf("%d records waited and were applied after %s: %.0f a second of fake time", waiting, drained,
		float64(waiting)/drained.Seconds())
	w.settle()
	w.balanced(0)
}

// plugAndUnplug lets vehicles come and go without charging.
func (o outage) plugAndUnplug(ctx context.Context, w *world) {
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, p := range w.points {
			if p.board.Plug(1) != nil { // a vehicle is plugged in
				_ = p.board.Unplug(1)
			}
		}
	}
}

// footprint returns the memory in use in bytes and the number of goroutines.
func footprint() (heap uint64, routines int) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse, runtime.NumGoroutine()
}
