package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	bridgeapp "github.com/carga-ev/carga/bridge/app"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/engines"
)

// highRate is how Kafka is away for long while a thousand records come about each
// second.
type highRate struct {
	away   time.Duration
	points int
	every  time.Duration // between two records of a charging point
	// compared is how many records of the backlog the rate is measured over, and
	// the books are compared for: all of it would take a day.
	compared int64
}

// TestF07AThousandASecond: memory, goroutines and the bridge's buffer stay flat
// however much waits in the journals, nothing is dropped, the first event is
// through within a second of Kafka's return, and what follows is applied once
// and in order. The rate is printed.
func TestF07AThousandASecond(t *testing.T) {
	f := highRate{away: 20 * time.Minute, points: 4, every: 4 * time.Millisecond, compared: 20_000}
	if soak() {
		f.away, f.compared = 24*time.Hour, 200_000
	}
	inWorld(t, plan{points: f.points, partitions: 3, idle: time.Minute}, func(w *world) { f.run(w) })
}

func (f highRate) run(w *world) {
	w.t.Helper()
	bridge := f.start(w)
	all := w.startGenerated(f.points, f.every)
	for _, b := range all {
		w.run("deluge at "+string(b.id), b.log.run)
	}
	time.Sleep(5 * time.Second)
	w.kafka.Stop()
	time.Sleep(f.away / 4)
	heap, routines := footprint()
	time.Sleep(f.away * 3 / 4)
	later, more := footprint()
	w.t.Logf("%d records a second; after %s: %d KiB and %d goroutines, after %s: %d KiB and %d", int64(f.points)*int64(time.Second/f.every),
		f.away/4, heap>>10, routines, f.away, later>>10, more)
	if later > heap+4<<20 || more > routines+5 {
		w.t.Error("memory or goroutines grow while Kafka is away")
	}
	// A charging point fills its window, and then says the first record of it again
	// and again, which is held once.
	most := int64(f.points) * delivery.MaxWindow
	b := bridge.Load()
	w.t.Logf("the bridge holds %d records, the oldest for %s; %d were tried again", b.Buffered, time.Duration(b.OldestMS)*time.Millisecond, b.Retries)
	if b.Buffered > most || b.Accepted != b.Forwarded+b.Buffered || b.DeadLetters != 0 {
		w.t.Errorf("books of the bridge: %+v", *b)
	}
	f.drain(w, all)
	f.checkBooks(w, all)
}

// start starts everything but the charging points. Nobody reads along: that
// would take half of the time, and the same messages pass elsewhere.
func (f highRate) start(w *world) *atomic.Pointer[wire.BridgeAlive] {
	w.t.Helper()
	w.mqtt = engines.NewMQTT(mqttAddr, w.vnet.Listen, slog.New(slog.DiscardHandler))
	w.start("mqtt")
	f.kafka(w)
	w.start("central")
	cfg := bridgeapp.DefaultConfig()
	cfg.MQTT.URL, cfg.Kafka.Brokers = "tcp://"+mqttAddr, []string{kafkaAddr}
	cfg.Kafka.SetPartitions(w.plan.partitions)
	cfg.StopWithin, cfg.Observe.Listen = time.Millisecond, ""
	alive := &atomic.Pointer[wire.BridgeAlive]{}
	w.run("bridge", func(ctx context.Context) error {
		return bridgeapp.Run(ctx, cfg, bridgeapp.Deps{
			DialMQTT: w.dialMQTT("bridge-mqtt"), DialKafka: w.dialKafka("bridge-kafka"), Observe: func(a wire.BridgeAlive) { alive.Store(&a) },
		})
	})
	return alive
}

func (highRate) kafka(w *world) {
	w.t.Helper()
	if err := w.kafka.Start(); err != nil {
		w.t.Fatal(err)
	}
}

// drain brings Kafka back and measures how the backlog goes.
func (f highRate) drain(w *world, all []*generatedPoint) {
	w.t.Helper()
	var waiting int64
	for _, b := range all {
		waiting += b.agent.Status().Unacked
	}
	applied := func() int64 { return w.count("SELECT coalesce(sum(last),0) FROM journals") }
	before := applied()
	f.kafka(w)
	began, outside := time.Now(), realNow()
	w.await(time.Second, "the first event is through", func() bool { return applied() > before })
	w.t.Logf("%d records wait; the first is through %s after Kafka's return", waiting, time.Since(began))
	w.await(time.Hour, fmt.Sprintf("%d records are through", f.compared), func() bool { return applied() >= before+f.compared })
	through, took, really := applied()-before, time.Since(began), realNow()-outside
	w.t.Logf("%d records were through after %s of fake time and %s of real time: %.0f and %.0f a second", through, took.Round(time.Millisecond),
		really.Round(time.Millisecond), float64(through)/took.Seconds(), float64(through)/really.Seconds())
}

// checkBooks compares what Central has with what was said: of each journal all up to
// some record, each once, in order, behind the one that it names; and that last
// one with the very bytes.
func (f highRate) checkBooks(w *world, all []*generatedPoint) {
	w.t.Helper()
	sums := w.totals()
	if sums.Lost != 0 || sums.DeadLetters != 0 || sums.Unaccounted != 0 || sums.Overdue != 0 {
		w.t.Errorf("books: %+v", sums)
	}
	w.stop("central")
	if n := w.count(`SELECT count(*) FROM (SELECT n, json_extract(CAST(raw AS TEXT), '$.prev') AS prev,
		lag(n) OVER boot AS before, lag(hash) OVER boot AS hash FROM records WINDOW boot AS (PARTITION BY cp_id, journal ORDER BY seq))
		WHERE n <= before OR prev <> hash`); n != 0 {
		w.t.Errorf("%d records were applied before the one that they follow", n)
	}
	for _, b := range all {
		if bad := w.count("SELECT count(*) FROM journals WHERE cp_id = ? AND (journal <> ? OR last <> (SELECT count(*) FROM records WHERE cp_id = ?))",
			b.id, b.log.Journal, b.id); bad != 0 {
			w.t.Errorf("%s: records of it are missing, or it is somebody else's too", b.id)
		}
		last := charge.Seq(w.count("SELECT last FROM journals WHERE cp_id = ?", b.id))
		if hash := b.log.hashOf(last); w.count("SELECT count(*) FROM journals WHERE cp_id = ? AND hash = ?", b.id, hash) != 1 {
			w.t.Errorf("%s: record %d is not the one that was said (%q)", b.id, last, hash)
		}
		if most := b.log.mostRecords(); most > 2*delivery.MaxWindow {
			w.t.Errorf("%s: %d records were made that Central had not acknowledged", b.id, most)
		}
	}
}

// realNow is the time outside of the bubble.
func realNow() time.Duration {
	var now syscall.Timeval
	_ = syscall.Gettimeofday(&now) // fails for a bad address only
	return time.Duration(now.Nano())
}
