package app

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/carga-ev/carga/bridge/internal/kafkaside"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/metrics"
	"github.com/carga-ev/carga/internal/reason"
)

// metricPrefix begins the names of all metrics.
const metricPrefix = "carga_bridge_"

// evaluate sets the checks of /readyz: whether the bridge can carry messages
// now. mqtt and kafka are the connections; kafka_lanes and kafka_readers are
// what cannot be written or read although Kafka answers. A warning about topics
// is shown as the reason of kafka while that is up.
func (b *bridge) evaluate(r *health.Registry) {
	m := b.mqtt.State()
	words := ""
	if !m.Up {
		words = m.String()
	}
	standby := health.Status{Name: "mqtt", Up: m.Up, Since: m.Since, Reason: words}
	if b.session != nil {
		if why, since := b.session.standby(); !why.IsZero() { // it is ready to take over
			standby.Up, standby.Since, standby.Reason, standby.Informational = false, since, why.String(), true
		}
	}
	r.Put(standby)
	k := b.kafka.Dependency()
	r.Put(health.Status{Name: "kafka", Up: k.Up, Since: k.Since.Std(), Reason: cmp.Or(k.Reason, reason.Join(b.kafka.Warnings()))})
	state := b.kafka.State()
	words = blocked(state.Producer)
	r.Set("kafka_lanes", words == "", words)
	unread := ""
	if t := b.kafka.ReadTroubles(); len(t) > 0 {
		unread = t[0].Reason.String()
	}
	r.Set("kafka_readers", unread == "", unread)
}

// blocked describes the lanes that cannot write, with the one that has been
// blocked for the longest time; "" if all can.
func blocked(s kafkalink.Stats) string {
	all := s.Blocked()
	if len(all) == 0 {
		return ""
	}
	n := 0
	worst := all[0]
	for _, b := range all {
		n += b.Lanes
		if b.Since.Before(worst.Since) {
			worst = b
		}
	}
	return fmt.Sprintf("%d of %d lanes cannot write; %s holds %d records, the first for %s: %s",
		n, len(s.Lanes), worst.Topic, worst.Records, time.Since(worst.Since).Round(time.Second), worst.Why())
}

// families returns the metrics of the bridge. All are read from the state of its
// two sides; docs/OPERATIONS.md lists them with alerts.
func (b *bridge) families() []metrics.Family {
	m, k, counts := b.mqtt.State(), b.kafka.State(), b.core.Counts()
	p := &k.Producer
	oldest := 0.0
	if !counts.Oldest.IsZero() {
		oldest = max(0, time.Since(counts.Oldest).Seconds())
	}
	stuck := 0
	for _, t := range p.Blocked() {
		stuck += t.Lanes
	}
	one := func(name string, kind metrics.Kind, help string, value float64) metrics.Family {
		return metrics.One(metricPrefix+name, kind, help, value)
	}
	return []metrics.Family{
		one("mqtt_received_total", metrics.Counter, "Messages received by MQTT, telemetry and repeats included.", float64(m.Received)),
		metrics.By(metricPrefix+"mqtt_messages_total", metrics.Counter, "Messages of MQTT that must not be lost, by what became of them; repeated ones were received again while the first copy waited for Kafka, refused ones cannot be used, came with QoS 0, and found no space in the buffer.", "result",
			metrics.At("forwarded", float64(counts.Forwarded)), metrics.At("dead_letter", float64(counts.DeadLetters)), metrics.At("repeated", float64(counts.Repeats)), metrics.At("refused", float64(counts.Dropped))),
		one("mqtt_connects_total", metrics.Counter, "Connections to the MQTT broker that came up.", float64(m.Connects)),
		one("buffer_records", metrics.Gauge, "Messages received by MQTT and not yet in Kafka; their agents keep them.", float64(counts.Buffered)),
		one("buffer_bytes", metrics.Gauge, "Bytes of the messages received by MQTT and not yet in Kafka.", float64(counts.Bytes)),
		one("buffer_limit_records", metrics.Gauge, "The high-water mark: with this many messages in the buffer, no more are received.", float64(b.cfg.Buffer.Messages)),
		one("buffer_oldest_seconds", metrics.Gauge, "Age of the oldest message that is not yet in Kafka.", oldest),
		metrics.By(metricPrefix+"kafka_records_total", metrics.Counter, "Records for Kafka, by what became of them.", "result",
			metrics.At("produced", float64(p.Produced)), metrics.At("poisoned", float64(p.Poisoned)), metrics.At("conflated", float64(p.Conflated))),
		one("kafka_retries_total", metrics.Counter, "Attempts to write to Kafka that failed and were retried.", float64(p.Retries)),
		one("kafka_lanes", metrics.Gauge, "Lanes to Kafka, one for each partition written.", float64(len(p.Lanes))),
		one("kafka_lanes_blocked", metrics.Gauge, "Lanes to Kafka that hold a record for more than 10 seconds.", float64(stuck)),
		metrics.Timed(metricPrefix+"kafka_produce_seconds", "How long Kafka took to acknowledge a batch.", k.ProduceTime),
		metrics.By(metricPrefix+"commands_total", metrics.Counter, "Messages of Central to charging points, by what became of them.", "result",
			metrics.At("published", float64(k.Commands)), metrics.At("stale", float64(k.Stale))),
		lag(k),
	}
}

// lag returns the metric of records of cp-commands that are not read yet.
func lag(k kafkaside.State) metrics.Family {
	f := metrics.Family{Name: metricPrefix + "consumer_lag_records", Kind: metrics.Gauge, Help: "Records in Kafka that wait to be read here."}
	for _, r := range k.Readers {
		f.Samples = append(f.Samples, metrics.Sample{
			Labels: []metrics.Label{{Name: "topic", Value: r.Topic}, {Name: "partition", Value: strconv.Itoa(r.Partition)}}, Value: float64(r.Lag()),
		})
	}
	return f
}
