package e2e_test

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// outage is how Kafka is away for long while charging points go on.
type outage struct {
	away   time.Duration
	every  time.Duration // between two lives at a charging point
	points int
}

// TestF07KafkaIsAwayForLong: memory and goroutines stay flat, the first event is
// through within a second of its return, and then all of it comes. A soak takes
// a day with much to say and a month with little.
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
	// The agents' own index of what they hold grows by some bytes a record.
	if later > heap+16<<20 || more > routines+5 {
		w.t.Error("memory or goroutines grow while Kafka is away")
	}
	waiting := int64(0)
	for _, p := range w.points {
		waiting += p.status().Unacked
	}
	w.firstEventWithin(time.Second)
	began := time.Now()
	w.await(healTimeout+time.Duration(waiting)*10*time.Millisecond, "the backlog is through", func() bool {
		for _, p := range w.points {
			if p.status().Unacked != 0 {
				return false
			}
		}
		return true
	})
	took := time.Since(began)
	w.t.Logf("%d records waited and were through after %s: %.0f a second of fake time", waiting, took,
		float64(waiting)/took.Seconds())
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
			if p.board.Plug(1) != nil { // somebody is there
				_ = p.board.Unplug(1)
			}
		}
	}
}

// footprint is the memory in use and the number of goroutines.
func footprint() (heap uint64, routines int) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse, runtime.NumGoroutine()
}
