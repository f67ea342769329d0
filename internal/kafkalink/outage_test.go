package kafkalink_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/internal/kafkalink"
)

// TestLongOutageIsFlat: six hours without Kafka need no more goroutines and no
// more memory, and recovery is as fast as after a short outage.
func TestLongOutageIsFlat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e, in := &world{}, &ends{}, &inbox{}
		w.start(t)
		p := w.open(t, setup{topics: one()})
		_, stop := p.read(in.config("a", kafkalink.FromFirst()))
		time.Sleep(2 * time.Second)
		w.away()
		p.enqueue(t, e, "a", numbers(0, 2000)...)
		measure := func() (int, uint64) {
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return runtime.NumGoroutine(), m.HeapAlloc
		}
		time.Sleep(10 * time.Minute)
		goroutines, heap := measure()
		time.Sleep(6 * time.Hour)
		later, grown := measure()
		if later > goroutines+5 || grown > heap+4<<20 {
			t.Errorf("goroutines %d → %d, heap %d → %d", goroutines, later, heap, grown)
		}
		w.back()
		came := time.Now()
		time.Sleep(3 * time.Second)
		if took := e.first().Sub(came); took > time.Second {
			t.Errorf("first record through after %v, want at most 1s", took)
		}
		if e.count(kafkalink.Produced) != 2000 {
			t.Errorf("outcomes %v", e.kinds)
		}
		stop()
		p.stop()
		w.stop()
	})
}
