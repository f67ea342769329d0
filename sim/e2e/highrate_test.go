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
	"github.com/carga-ev/carga/internal/engines"
	"github.com/carga-ev/carga/internal/wire"
)

// highRate is an outage of Kafka while a thousand records per second are
// written.
type highRate struct {
	away   time.Duration
	points int
	every  time.Duration // between two records of a charging point
	// compared is how many records of the backlog the rate is measured over and
	// the books are compared for: all of them would take a day.
	compared int64
}

// TestF07AThousandASecond: memory, goroutines and the bridge's buffer stay flat
// however many records wait in the journals; nothing is dropped; the first
// record is applied within a second of Kafka's return; and the following ones
// are applied once and in order. The rate is logged.
func TestF07AThousandASecond(t *testing.T) {
	h := highRate{away: 20 * time.Minute, points: 4, every: 4 * time.Millisecond, compared: 20_000}
	if soak() {
		h.away, h.compared = 24*time.Hour, 200_000
	}
	inWorld(t, plan{points: h.points, partitions: 3, idle: time.Minute}, func(w *world) { h.run(w) })
}

func (h highRate) run(w *world) {
	w.t.Helper()
	bridge := h.start(w)
	all := w.startGenerated(h.points, h.every)
	for _, b := range all {
		b.log.run()
	}
	time.Sleep(5 * time.Second)
	w.kafka.Stop()
	time.Sleep(h.away / 4)
	heap, routines := footprint()
	time.Sleep(h.away * 3 / 4)
	later, more := footprint()
	w.t.Logf("%d records a second; after %s: %d KiB and %d goroutines, after %s: %d KiB and %d", int64(h.points)*int64(time.Second/h.every),
		h.away/4, heap>>10, routines, h.away, later>>10, more)
	if later > heap+4<<20 || more > routines+5 {
		w.t.Error("memory or goroutines grow while Kafka is away")
	}
	// A charging point fills its window and then repeats the first record of
	// it, which the bridge holds once.
	most := int64(h.points) * delivery.MaxWindow
	b := bridge.Load()
	w.t.Logf("the bridge holds %d records, the oldest for %s; %d retries", b.Buffered, time.Duration(b.OldestMS)*time.Millisecond, b.Retries)
	if b.Buffered > most || b.Accepted != b.Forwarded+b.Buffered || b.DeadLetters != 0 {
		w.t.Errorf("books of the bridge: %+v", *b)
	}
	h.drain(w, all)
	h.checkBooks(w, all)
}

// start starts everything but the charging points. Messages are not checked
// against the schemas: that would take half of the time, and other tests check
// the same messages.
func (h highRate) start(w *world) *atomic.Pointer[wire.BridgeAlive] {
	w.t.Helper()
	w.mqtt = engines.NewMQTT(mqttAddr, w.vnet.Listen, slog.New(slog.DiscardHandler))
	w.start("mqtt")
	h.kafka(w)
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

// drain starts Kafka again and measures how fast the backlog is applied.
func (h highRate) drain(w *world, all []*generatedPoint) {
	w.t.Helper()
	var waiting int64
	for _, b := range all {
		waiting += b.agent.Status().Unacked
	}
	applied := func() int64 { return w.count("SELECT coalesce(sum(last),0) FROM journals") }
	before := applied()
	h.kafka(w)
	began, outside := time.Now(), realNow()
	w.await(time.Second, "the first record is applied", func() bool { return applied() > before })
	w.t.Logf("%d records wait; the first is applied %s after Kafka's return", waiting, time.Since(began))
	w.await(time.Hour, fmt.Sprintf("%d records are applied", h.compared), func() bool { return applied() >= before+h.compared })
	through, fake, realTime := applied()-before, time.Since(began), realNow()-outside
	w.t.Logf("%d records were applied after %s of fake time and %s of real time: %.0f and %.0f a second", through, fake.Round(time.Millisecond),
		realTime.Round(time.Millisecond), float64(through)/fake.Seconds(), float64(through)/realTime.Seconds())
}

// checkBooks compares Central's records with the journals: of each journal all
// up to some record are there, each once, in order, after the one that it
// names; and the last one has the same bytes.
func (h highRate) checkBooks(w *world, all []*generatedPoint) {
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
			w.t.Errorf("%s: records are missing, or there is another journal", b.id)
		}
		last := charge.Seq(w.count("SELECT last FROM journals WHERE cp_id = ?", b.id))
		if hash := b.log.hashOf(last); w.count("SELECT count(*) FROM journals WHERE cp_id = ? AND hash = ?", b.id, hash) != 1 {
			w.t.Errorf("%s: record %d is not the one in the journal (%q)", b.id, last, hash)
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
