package app_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/metrics/metricstest"
	"github.com/carga-ev/carga/internal/wire"
)

func (r *runningCentral) observed(w *world) metricstest.Page {
	return metricstest.Page{T: r.t, Addr: r.page.Addr().String(), Dial: w.net.DialContext}
}

func TestReadyFollowsKafkaAndMetricsCountWhatWasCommitted(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := settings(path)
		c := w.central(cfg)
		o := w.others(cfg)
		page := c.observed(w)
		time.Sleep(time.Minute)
		ok, all := page.Ready()
		if ok || all["kafka"].Up || !strings.Contains(all["kafka"].Reason, "waiting for Kafka since") ||
			all["active"].Up || !strings.Contains(all["kafka_readers"].Reason, "nothing is read yet: waits for Kafka") || !all["database"].Up {
			t.Errorf("Kafka never came: got %v %+v", ok, all)
		}
		if ok, loops := page.Live(); !ok || len(loops) != 6 {
			t.Errorf("without Kafka it lives: got %v %+v", ok, loops)
		}

		w.kafka()
		defer w.kafkaGone()
		p := journaltest.New(t, "CP_1")
		p.Charge(1)
		o.publish(wire.TopicEvents, p.All...)
		o.publish(wire.TopicMonitor, p.Presence(1, charge.Epoch{}))
		time.Sleep(5 * time.Second)
		if ok, all = page.Ready(); !ok {
			t.Errorf("Kafka came: got %+v", all)
		}
		m := page.Scrape()
		m.Documented(t, "carga_central_", "../../docs/OPERATIONS.md")
		for key, want := range map[string]float64{
			`carga_central_records_total{result="applied"}`:                       float64(p.Seq),
			`carga_central_records_total{result="duplicate"}`:                     0,
			`carga_central_out_of_order_records_total`:                            0,
			`carga_central_energy_watt_hours{books="billed"}`:                     2100,
			`carga_central_energy_watt_hours{books="running"}`:                    0,
			`carga_central_alive`:                                                 1,
			`carga_central_ready`:                                                 1,
			`carga_central_check_up{check="kafka_readers"}`:                       1,
			`carga_central_sse_clients`:                                           0,
			`carga_central_consumer_lag_records{partition="0",topic="cp-events"}`: 0,
		} {
			if got, some := m[key]; !some || got != want {
				t.Errorf("%s: got %v %v, want %v", key, got, some, want)
			}
		}
		cps := m[`carga_central_cps{state="online"}`] + m[`carga_central_cps{state="offline"}`] + m[`carga_central_cps{state="unknown"}`]
		if age := m["carga_central_event_age_seconds_count"]; cps != 1 || age != float64(p.Seq) || m["carga_central_commit_seconds_count"] < 1 {
			t.Errorf("got %v charging points, ages of %v records, %v commits; want 1, %d, some", cps, age, m["carga_central_commit_seconds_count"], p.Seq)
		}
		for key := range m {
			if strings.Contains(key, "CP_1") {
				t.Errorf("%s names a charging point", key)
			}
		}

		gone := time.Now()
		w.kafkaGone()
		time.Sleep(20 * time.Second)
		ok, all = page.Ready()
		if k := all["kafka"]; ok || k.Up || k.Since.Before(gone) || k.Since.After(gone.Add(5*time.Second)) {
			t.Errorf("Kafka went at %s: got %v %+v", gone, ok, k)
		}
		if r := all["kafka_readers"]; r.Up || !strings.Contains(r.Reason, "partitions are not read: ") {
			t.Errorf("readers: got %+v", r)
		}
		w.kafka()
		time.Sleep(20 * time.Second)
		if ok, all = page.Ready(); !ok {
			t.Errorf("Kafka came back: got %+v", all)
		}
		if ok, loops := page.Live(); !ok {
			t.Errorf("it lived all the time: got %+v", loops)
		}
		o.stop()
		c.stop()
	})
}
