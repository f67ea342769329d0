package app_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/wire"
)

// Central uses topics that are made again with fewer partitions as they are: it is
// ready, nothing is shown as down, and no metric is about a partition that is gone.
func TestTopicsMadeAgainWithFewerPartitions(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := settings(path)
		cfg.Kafka.SetPartitions(6)
		w, c, o := network(t, cfg)
		page := c.observed(w)
		time.Sleep(10 * time.Second)
		for _, topic := range []string{
			wire.TopicEvents, wire.TopicTelemetry, wire.TopicMonitor, wire.TopicCommands, wire.TopicDriverEvents,
			wire.TopicCentralEvents, wire.TopicDeadLetters,
		} {
			if err := w.cluster.DeleteTopic(topic); err != nil {
				t.Fatal(err)
			}
			if err := w.cluster.CreateTopic(topic, 2, nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(30 * time.Second)
		p := journaltest.New(t, "CP_1")
		p.Charge(1)
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(30 * time.Second)
		if got := o.tickets(); len(got) != 1 {
			t.Errorf("got tickets %v", got)
		}
		if ok, all := page.Ready(); !ok {
			t.Errorf("not ready: %+v", all)
		}
		if part := c.parts(w)["central"]; part.State != "up" {
			t.Errorf("the page shows %+v", part)
		}
		for _, a := range c.openAlarms(w) {
			if strings.HasPrefix(a, "part_down central") {
				t.Errorf("alarm %q", a)
			}
		}
		lag := 0
		for name := range page.Scrape() {
			if strings.HasPrefix(name, "carga_central_consumer_lag_records{") {
				lag++
			}
			if strings.Contains(name, `partition="2"`) {
				t.Errorf("metric %s is about a partition that is gone", name)
			}
		}
		if lag != 12 { // of the topics that Central reads
			t.Errorf("%d partitions are read, want 12", lag)
		}
		o.stop()
		c.stop()
	})
}
