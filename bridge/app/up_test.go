package app_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/carga-ev/carga/bridge/app"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// TestKafkaAbsentAtTheStart starts the bridge minutes before Kafka, and before
// the MQTT broker.
func TestKafkaAbsentAtTheStart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startBridge()
		time.Sleep(3 * time.Minute)
		if a := w.now(); a.MQTT.Up || !strings.Contains(a.MQTT.Reason, "waiting for MQTT at tcp://localhost:1883 since ") {
			t.Errorf("MQTT is reported as %+v", a.MQTT)
		}
		w.startMQTT()
		w.within(10*time.Second, "MQTT is seen", func() bool { return w.now().MQTT.Up })
		w.events(1, 50, "CP_A", "CP_B", "CP_C")
		time.Sleep(5 * time.Minute)
		a := w.now()
		if a.Kafka.Up || !strings.Contains(a.Kafka.Reason, "waiting for Kafka at 127.0.0.1:9092 since 2000-01-01T00:00:00.000Z") {
			t.Errorf("Kafka is reported as %+v", a.Kafka)
		}
		if a.Accepted != 150 || a.Buffered != 150 || a.OldestMS < 290_000 {
			t.Errorf("the counts are %+v, want 150 buffered for 5 minutes", a)
		}
		w.startKafka()
		w.within(time.Second, "the first event is written", func() bool { return w.stored(wire.TopicEvents) > 0 })
		w.within(5*time.Second, "all records are written", func() bool { return w.complete(50, "CP_A", "CP_B", "CP_C") })
		if n := w.inOrder(50, "CP_A", "CP_B", "CP_C"); n != 0 {
			t.Errorf("%d records came twice", n)
		}
		w.within(5*time.Second, "Kafka is seen", func() bool { return w.now().Kafka.Up && w.now().Buffered == 0 })
		w.within(5*time.Second, "the broker holds nothing for the bridge", func() bool {
			c, ok := w.mqtt.Clients.Get("carga-bridge")
			return ok && c.State.Inflight.Len() == 0
		})
		w.within(5*time.Second, "the heartbeat is in Kafka", func() bool {
			for _, r := range w.read(wire.TopicMonitor) {
				if a, err := wire.DecodeBridgeAlive(r.Value); err == nil && string(r.Key) == "bridge/bridge" && a.Kafka.Up {
					return true
				}
			}
			return false
		})
	})
}

// TestKafkaOutage takes Kafka away in mid-stream, twice.
func TestKafkaOutage(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "both sides are up", func() bool { return w.now().MQTT.Up && w.now().Kafka.Up })
		seq := 0
		for range 2 {
			for range 20 {
				seq++
				w.events(seq, seq, "CP_A", "CP_B")
				time.Sleep(100 * time.Millisecond)
			}
			w.stopKafka()
			for range 100 {
				seq++
				w.events(seq, seq, "CP_A", "CP_B")
				time.Sleep(6 * time.Second)
			}
			w.startKafka()
			before := w.stored(wire.TopicEvents)
			w.within(time.Second, "the first event is written", func() bool { return w.stored(wire.TopicEvents) > before })
		}
		w.within(10*time.Second, "all records are written", func() bool { return w.complete(seq, "CP_A", "CP_B") })
		w.inOrder(seq, "CP_A", "CP_B")
	})
}

// TestFaultyProduce lets Kafka stall, and answer with errors although it has
// written the records.
func TestFaultyProduce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "both sides are up", func() bool { return w.now().MQTT.Up && w.now().Kafka.Up })
		for i, fault := range []*kerr.Error{
			kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.NotEnoughReplicas, kerr.NotLeaderForPartition,
			kerr.UnknownServerError, kerr.KafkaStorageError,
		} {
			w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: wire.TopicEvents, Err: fault, Count: 3})
			w.events(10*i+1, 10*i+10, "CP_A", "CP_B")
		}
		w.within(time.Minute, "all records are written", func() bool { return w.complete(60, "CP_A", "CP_B") })
		w.ice.freeze()
		w.events(61, 100, "CP_A", "CP_B")
		time.Sleep(2 * time.Minute)
		if a := w.now(); a.Kafka.Up || a.Buffered != 80 {
			t.Errorf("while Kafka is frozen the heartbeat is %+v", a)
		}
		w.ice.melt()
		w.within(3*time.Minute, "all records are written", func() bool { return w.now().Buffered == 0 && w.complete(100, "CP_A", "CP_B") })
		if w.inOrder(100, "CP_A", "CP_B") == 0 {
			t.Error("no record came twice: the faults were not met")
		}
	})
}

// TestMQTTWiped kills the MQTT broker with its sessions; the agents repeat what
// is not acknowledged.
func TestMQTTWiped(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "MQTT is up", func() bool { return w.now().MQTT.Up })
		w.stopKafka()
		w.events(1, 20, "CP_A")
		w.stopMQTT()
		time.Sleep(2 * time.Minute) // many refused dials in a row
		w.startKafka()
		w.startMQTT()
		w.within(20*time.Second, "the agents are connected", func() bool { return w.agents.Conn() != nil })
		w.within(20*time.Second, "MQTT is up", func() bool { return w.now().MQTT.Up })
		w.events(1, 40, "CP_A")
		w.within(10*time.Second, "all records are written", func() bool { return w.complete(40, "CP_A") })
		w.inOrder(40, "CP_A")
	})
}

// TestKilledWithAFullBuffer kills the bridge while Kafka is away. What it held
// was never acknowledged, so the broker redelivers it.
func TestKilledWithAFullBuffer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		stop := w.startBridge(func(c *app.Config) { c.StopWithin = time.Millisecond })
		w.within(20*time.Second, "MQTT is up", func() bool { return w.now().MQTT.Up })
		w.events(1, 100, "CP_A", "CP_B")
		w.within(time.Second, "all are held", func() bool { return w.now().Buffered == 200 })
		stop()
		time.Sleep(time.Minute)
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "all records are written", func() bool { return w.complete(100, "CP_A", "CP_B") })
		w.all(100, "CP_A", "CP_B")
	})
}

// TestRepeatedWhileKafkaIsAway: agents without acknowledgements repeat their
// records. The bridge holds each once, and the broker keeps the newest copy
// until Kafka has the record.
func TestRepeatedWhileKafkaIsAway(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		stop := w.startBridge(func(c *app.Config) { c.StopWithin = time.Millisecond })
		again := func() {
			w.within(20*time.Second, "MQTT is up", func() bool { return w.now().MQTT.Up })
			w.events(1, 20, "CP_A")
			time.Sleep(time.Minute)
			if a := w.now(); a.Buffered != 20 || a.Accepted != 20 {
				t.Fatalf("20 records were repeated: %+v", a)
			}
		}
		for range 30 {
			again()
		}
		w.stopMQTT() // it has no persistent sessions
		w.startMQTT()
		w.within(20*time.Second, "the agents are connected", func() bool { return w.agents.Conn() != nil })
		again()
		stop()
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "all records are written", func() bool { return w.complete(20, "CP_A") })
		w.all(20, "CP_A")
		if n := w.stored(wire.TopicEvents); n != 20 {
			t.Errorf("Kafka has %d records, want 20", n)
		}
	})
}

// TestCleanStop: a stopping bridge writes what it has received if Kafka answers.
// Without Kafka it does not wait for ever.
func TestCleanStop(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		stop := w.startBridge()
		w.within(20*time.Second, "both sides are up", func() bool { return w.now().MQTT.Up && w.now().Kafka.Up })
		w.events(1, 200, "CP_A")
		stop()
		if !strings.Contains(w.log.String(), "bridge stopped") || !strings.Contains(w.log.String(), "left=0") {
			t.Errorf("something was left:\n%s", w.log.String())
		}
		w.stopKafka()
		stop = w.startBridge()
		time.Sleep(10 * time.Second)
		w.events(201, 210, "CP_A")
		began := time.Now()
		stop()
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("it stopped after %s, want 5 s and a little", took)
		}
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "what was left comes again", func() bool { return w.complete(210, "CP_A") })
		w.all(210, "CP_A")
	})
}

// TestRefusedByKafka: a record that Kafka refuses for good does not block the
// others of its charging point.
func TestRefusedByKafka(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "both sides are up", func() bool { return w.now().MQTT.Up && w.now().Kafka.Up })
		w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: wire.TopicEvents, Err: kerr.InvalidRecord, Count: 1})
		w.events(1, 1, "CP_A")
		w.within(5*time.Second, "the dead letter is there", func() bool { return w.stored(wire.TopicDeadLetters) == 1 })
		w.events(2, 3, "CP_A")
		w.within(5*time.Second, "the other records are written", func() bool { return w.stored(wire.TopicEvents) == 2 })
		if r := w.read(wire.TopicDeadLetters)[0]; string(r.Value) != string(event("CP_A", 1)) {
			t.Errorf("the dead letter is %s", r.Value)
		}
		w.within(2*time.Second, "it is counted", func() bool { a := w.now(); return a.DeadLetters == 1 && a.Forwarded == 2 })
	})
}

// TestBackPressure gives the bridge a small buffer and many events.
func TestBackPressure(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startBridge(func(c *app.Config) { c.Buffer.Messages = 100 })
		w.within(20*time.Second, "MQTT is up", func() bool { return w.now().MQTT.Up })
		w.events(1, 300, "CP_A", "CP_B")
		time.Sleep(10 * time.Minute)
		a := w.now()
		if a.Buffered != 100 || a.MQTT.Up || !strings.Contains(a.MQTT.Reason, "wait for Kafka") {
			t.Errorf("the heartbeat is %+v, want 100 buffered and MQTT disconnected", a)
		}
		w.startKafka()
		w.within(time.Minute, "all records are written", func() bool { return w.complete(300, "CP_A", "CP_B") })
		w.all(300, "CP_A", "CP_B")
		w.within(5*time.Second, "the backlog is written", func() bool { return w.now().MQTT.Up && w.now().Buffered == 0 })
	})
}

// TestTwoBridges run beside each other: everything is written twice, in order.
func TestTwoBridges(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		w.startBridge()
		w.startBridge(func(c *app.Config) { c.Name, c.MQTT.ClientID = "second", "carga-bridge-2" })
		time.Sleep(20 * time.Second)
		w.events(1, 50, "CP_A", "CP_B")
		w.within(10*time.Second, "all records are written twice", func() bool { return w.stored(wire.TopicEvents) == 200 })
		if n := w.inOrder(50, "CP_A", "CP_B"); n != 100 {
			t.Errorf("%d records came twice, want 100", n)
		}
	})
}

// TestTheLatestIsEnough: of telemetry and presence only the latest value is
// kept.
func TestTheLatestIsEnough(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startBridge()
		w.within(20*time.Second, "MQTT is up", func() bool { return w.now().MQTT.Up })
		for i := range 100 {
			m := wire.Telemetry{V: 1, CPID: "CP_A", Journal: "boot", At: 1000, UptimeMS: int64(i), Connectors: []wire.ConnectorTelemetry{}}
			raw, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			w.publish("CP_A", wire.KindTelemetry, 0, false, raw)
			p := wire.Presence{V: 1, Online: true, Journal: "boot", Conn: uint64(i + 1), At: 1000}
			if raw, err = p.Encode(); err != nil {
				t.Fatal(err)
			}
			w.publish("CP_A", wire.KindPresence, 1, true, raw)
		}
		time.Sleep(time.Minute)
		w.startKafka()
		w.within(5*time.Second, "telemetry is there", func() bool { return w.stored(wire.TopicTelemetry) > 0 })
		records := w.read(wire.TopicTelemetry)
		if m, err := wire.DecodeTelemetry(records[0].Value); len(records) != 1 || err != nil || m.UptimeMS != 99 {
			t.Errorf("%d telemetries, the first of %d ms (%v); want the last one alone", len(records), m.UptimeMS, err)
		}
		w.within(5*time.Second, "presence is there", func() bool {
			for _, r := range w.read(wire.TopicMonitor) {
				if p, err := wire.DecodePresence(r.Value); err == nil && string(r.Key) == "CP_A" {
					return p.Conn == 100 && string(r.Headers[2].Value) == wire.KindValuePresence
				}
			}
			return false
		})
	})
}

// TestOtherPartitions: a topic with another number of partitions than configured
// is used with those it has. That is a warning, not a failure.
func TestOtherPartitions(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		if err := w.kafka.CreateTopic(wire.TopicEvents, 5, nil); err != nil {
			t.Fatal(err)
		}
		w.startBridge()
		w.within(20*time.Second, "MQTT is up", func() bool { return w.now().MQTT.Up })
		w.events(1, 5, "CP_A", "CP_B", "CP_C")
		w.within(10*time.Second, "all records are written", func() bool { return w.complete(5, "CP_A", "CP_B", "CP_C") })
		w.inOrder(5, "CP_A", "CP_B", "CP_C")
		// The broker has a record before the bridge has its acknowledgement.
		w.within(5*time.Second, "the bridge knows", func() bool { return w.now().Kafka.Up && w.now().Buffered == 0 })
		if a := w.now(); len(a.Troubles) != 0 ||
			!slices.Equal(a.Warnings, []string{"topic cp-events has 5 partitions and 2 are configured: it is used with those it has"}) {
			t.Errorf("the heartbeat is %+v", a)
		}
	})
}

// TestTroublesAreReported: the heartbeat has the reason and the beginning of
// each trouble while Kafka itself is up.
func TestTroublesAreReported(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "both sides are up", func() bool { return w.now().MQTT.Up && w.now().Kafka.Up })
		writing := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: wire.TopicEvents, Err: kerr.InvalidTimestamp, Count: -1})
		reading := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: wire.TopicCommands, Err: kerr.TopicAuthorizationFailed, Count: -1})
		began := time.Now()
		w.events(1, 5, "CP_A")
		time.Sleep(9 * time.Second)
		if a := w.now(); len(a.Troubles) != 0 {
			t.Errorf("after 9 s the troubles are %+v", a.Troubles)
		}
		time.Sleep(4 * time.Second)
		a := w.now()
		if !a.Kafka.Up || len(a.Troubles) != 2 {
			t.Fatalf("the heartbeat is %+v", a)
		}
		for i, words := range []string{
			"cannot write cp-events: this machine's clock is ahead of Kafka's: Kafka refuses the timestamps",
			"cannot read cp-commands: Kafka denies access to the topic: an access rule (ACL) is missing",
		} {
			got := a.Troubles[i]
			if since := got.Since.Std().Sub(began); got.Reason != words || since < 0 || since > time.Second {
				t.Errorf("the troubles are %+v, want %q since %s", got, words, began)
			}
		}
		writing.Remove()
		reading.Remove()
		w.within(15*time.Second, "all records are written", func() bool { return w.complete(5, "CP_A") })
		w.within(10*time.Second, "all is well", func() bool { return len(w.now().Troubles) == 0 })
	})
}

// TestLastDeadLetterIsReported: the heartbeat has its origin and reason, beside
// the count.
func TestLastDeadLetterIsReported(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "both sides are up", func() bool { return w.now().MQTT.Up && w.now().Kafka.Up })
		if a := w.now(); a.DeadLetters != 0 || a.DeadLetter != "" || !a.DeadLetterWhy.IsZero() {
			t.Errorf("the heartbeat is %+v", a)
		}
		w.publish("CP_A", wire.KindEvent, 1, false, []byte("old tool was here"))
		w.within(10*time.Second, "it is counted", func() bool { return w.now().DeadLetters == 1 })
		why := reason.OfMessage("record", "", reason.Wrong{Code: reason.JSONNoObject})
		if a := w.now(); a.DeadLetter != "cp/CP_A/up/event: "+why.String() || a.DeadLetterWhy != why {
			t.Errorf("the dead letter is reported as %q", a.DeadLetter)
		}
	})
}
