package app_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carga-ev/carga/bridge/app"
	"github.com/carga-ev/carga/internal/metrics/metricstest"
	"github.com/carga-ev/carga/internal/wire"
)

const observed = "127.0.0.1:9464"

// startObserved runs a bridge whose health is served in memory.
func (w *world) startObserved(observe func(wire.BridgeAlive)) {
	w.t.Helper()
	l, err := w.wires.Listen("tcp", observed)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		err := app.Run(ctx, w.cfg, app.Deps{DialMQTT: w.dialMQTT, DialKafka: w.ice.DialContext, Listener: l, Observe: observe})
		if err != nil {
			w.t.Errorf("bridge: %v", err)
		}
	})
	w.stops = append(w.stops, sync.OnceFunc(func() {
		cancel()
		running.Wait()
	}))
}

func (w *world) page() metricstest.Page {
	return metricstest.Page{T: w.t, Addr: observed, Dial: w.wires.DialContext}
}

func TestReadyFollowsTheDependenciesWithTheirReasons(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startObserved(nil)
		page := w.page()
		time.Sleep(3 * time.Second)
		ok, all := page.Ready()
		if ok || all["mqtt"].Up || all["kafka"].Up || !strings.Contains(all["mqtt"].Reason, "waiting for MQTT") || !strings.Contains(all["kafka"].Reason, "waiting for Kafka") {
			t.Errorf("alone: got %v %+v", ok, all)
		}
		if ok, loops := page.Live(); !ok || len(loops) != 3 {
			t.Errorf("alone it lives: got %v %+v", ok, loops)
		}
		w.startMQTT()
		w.startKafka()
		w.within(20*time.Second, "ready", func() bool { ok, _ := page.Ready(); return ok })

		w.publish("CP_1", wire.KindEvent, 1, false, event("CP_1", 1))
		w.within(10*time.Second, "forwarded", func() bool {
			return page.Scrape()[`carga_bridge_mqtt_messages_total{result="forwarded"}`] == 1
		})
		m := page.Scrape()
		for _, name := range []string{
			"carga_bridge_kafka_produce_seconds_count", "carga_bridge_mqtt_received_total", "carga_bridge_ready", "carga_bridge_alive",
			`carga_bridge_check_up{check="kafka"}`, `carga_bridge_kafka_records_total{result="produced"}`, "go_goroutines",
		} {
			if m[name] < 1 {
				t.Errorf("%s: got %v, want at least 1", name, m[name])
			}
		}

		m.Documented(t, "carga_bridge_", "../../docs/OPERATIONS.md")

		w.stopKafka()
		gone := time.Now()
		w.publish("CP_1", wire.KindEvent, 1, false, event("CP_1", 2))
		time.Sleep(20 * time.Second)
		ok, all = page.Ready()
		if k := all["kafka"]; ok || k.Up || k.Since.Before(gone) || k.Since.After(gone.Add(5*time.Second)) || !strings.Contains(k.Reason, "waiting for Kafka") {
			t.Errorf("Kafka went at %s: got %v %+v", gone, ok, k)
		}
		if l := all["kafka_lanes"]; l.Up || !strings.Contains(l.Reason, "cannot write; cp-events holds") || !strings.Contains(l.Reason, "cannot write cp-events: Kafka does not answer") {
			t.Errorf("lanes: got %+v", l)
		}
		if !all["mqtt"].Up {
			t.Errorf("MQTT did not go: got %+v", all["mqtt"])
		}
		m = page.Scrape()
		if n, age, stuck := m["carga_bridge_buffer_records"], m["carga_bridge_buffer_oldest_seconds"], m["carga_bridge_kafka_lanes_blocked"]; n != 1 || age < 15 || stuck < 1 {
			t.Errorf("buffer: got %v records, the oldest %v s, %v lanes blocked", n, age, stuck)
		}
		if ok, loops := page.Live(); !ok {
			t.Errorf("without Kafka it lives: got %+v", loops)
		}
		w.startKafka()
		w.within(20*time.Second, "ready again", func() bool { ok, _ := page.Ready(); return ok })
	})
}

func TestALoopThatHangsIsNamed(t *testing.T) {
	inWorld(t, func(w *world) {
		release := make(chan struct{})
		var hang atomic.Bool
		w.startObserved(func(wire.BridgeAlive) {
			if hang.Load() {
				<-release
			}
		})
		page := w.page()
		w.startMQTT()
		w.startKafka()
		time.Sleep(30 * time.Second)
		if ok, all := page.Live(); !ok {
			t.Errorf("all turns: got %+v", all)
		}
		hang.Store(true)
		time.Sleep(20 * time.Second)
		ok, all := page.Live()
		if ok || all["observer"].Up || !strings.Contains(all["observer"].Reason, "no progress for") || !all["heartbeat"].Up {
			t.Errorf("the observer hangs: got %v %+v", ok, all)
		}
		if ok, all := page.Ready(); ok || !strings.Contains(all["loops"].Reason, "observer") {
			t.Errorf("ready while a loop hangs: got %+v", all["loops"])
		}
		hang.Store(false)
		close(release)
		time.Sleep(2 * time.Second)
		if ok, all := page.Live(); !ok {
			t.Errorf("it turns again: got %+v", all)
		}
	})
}
