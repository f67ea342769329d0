package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// order writes records to cp-commands, as Central does.
func (w *world) order(records ...*kgo.Record) {
	w.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(w.wires.DialContext), kgo.DefaultProduceTopic(wire.TopicCommands))
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	if err := c.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

func record(cp, kind string, value []byte) *kgo.Record {
	return &kgo.Record{Key: []byte(cp), Value: value, Headers: []kgo.RecordHeader{{Key: wire.HeaderKind, Value: []byte(kind)}}}
}

func ack(cp string, seq int) *kgo.Record {
	m := wire.Ack{V: 1, Central: charge.Epoch{Number: 1, Run: "00000000000000ab"}, Journal: new(charge.JournalID("boot")), Seq: charge.Seq(seq), At: charge.At(time.Now())}
	raw, err := m.Encode()
	if err != nil {
		panic(err)
	}
	return record(cp, wire.KindValueAck, raw)
}

func command(cp, id string, life time.Duration) *kgo.Record {
	now := charge.At(time.Now())
	data, err := wire.EncodeOrder(&wire.Stop{SessionID: "s1"})
	if err != nil {
		panic(err)
	}
	m := wire.Command{
		V: 1, ID: charge.CommandID(id), N: 1, Central: charge.Epoch{Number: 1, Run: "00000000000000ab"}, Journal: "boot", CPID: charge.CPID(cp), Connector: 1,
		Type: wire.CommandStop, IssuedAt: now, SentAt: now, ExpiresAt: now.Add(life), Data: data,
	}
	raw, err := m.Encode()
	if err != nil {
		panic(err)
	}
	return record(cp, wire.KindValueCommand, raw)
}

// commands lists the ids that arrived, in order.
func (w *world) commands() (ids []string) {
	_, payloads := w.down(wire.KindCommand)
	for _, p := range payloads {
		c, err := wire.DecodeCommand(p)
		if err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, string(c.ID))
	}
	return ids
}

// acks lists the acknowledgements that arrived, as CP/seq, sorted by CP.
func (w *world) acks() (acks []string) {
	topics, payloads := w.down(wire.KindAck)
	for i, p := range payloads {
		a, err := wire.DecodeAck(p)
		if err != nil {
			w.t.Fatal(err)
		}
		acks = append(acks, fmt.Sprintf("%s/%d", strings.Split(topics[i], "/")[1], a.Seq))
	}
	slices.Sort(acks)
	return acks
}

// TestDownlinkAtTheStart: of what lies in the log, commands that have not
// expired and the last acknowledgement of each charging point are passed on.
func TestDownlinkAtTheStart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		if err := w.kafka.CreateTopic(wire.TopicCommands, 2, nil); err != nil {
			t.Fatal(err)
		}
		w.order(ack("CP_OLD", 1), command("CP_A", "ancient", time.Minute))
		time.Sleep(5 * time.Minute)
		w.order(command("CP_A", "expired", 20*time.Second), ack("CP_A", 1), ack("CP_B", 1), command("CP_A", "live", time.Minute))
		time.Sleep(30 * time.Second)
		w.order(ack("CP_A", 2), ack("CP_A", 3))
		w.within(20*time.Second, "the agents are connected", func() bool { return w.agents.Conn() != nil })
		w.startBridge()
		w.within(20*time.Second, "the last acknowledgements are there", func() bool { return slices.Equal(w.acks(), []string{"CP_A/3", "CP_B/1"}) })
		w.within(time.Second, "the command is there", func() bool { return slices.Equal(w.commands(), []string{"live"}) })
		if m, ok := w.mqtt.Topics.Retained.Get("cp/CP_A/down/ack"); !ok || !strings.Contains(string(m.Payload), `"seq":3`) {
			t.Error("the last acknowledgement is not retained")
		}
		if _, ok := w.mqtt.Topics.Retained.Get("cp/CP_A/down/command"); ok {
			t.Error("a command is retained")
		}
		w.order(command("CP_A", "next", 5*time.Second), ack("CP_A", 4))
		w.within(time.Second, "live ones follow at once", func() bool {
			return slices.Contains(w.commands(), "next") && slices.Contains(w.acks(), "CP_A/4")
		})
		if got := w.now().Commands; got > 5 {
			t.Errorf("%d were published, want 5", got)
		}
	})
}

// TestDownlinkWithoutMQTT: a command that waited too long for the broker is not
// published; an acknowledgement is.
func TestDownlinkWithoutMQTT(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "both sides are up", func() bool { return w.now().MQTT.Up && w.now().Kafka.Up })
		w.order(command("CP_A", "first", time.Minute))
		w.within(5*time.Second, "a command goes through", func() bool { return slices.Contains(w.commands(), "first") })
		w.stopMQTT()
		w.order(command("CP_A", "short", 5*time.Second), ack("CP_A", 7))
		time.Sleep(40 * time.Second)
		w.startMQTT()
		w.within(20*time.Second, "all are connected", func() bool { return w.now().MQTT.Up && w.agents.Conn() != nil })
		w.order(command("CP_A", "long", time.Minute))
		w.within(5*time.Second, "what is still good comes", func() bool { return slices.Contains(w.commands(), "long") })
		w.within(20*time.Second, "the acknowledgement stands", func() bool {
			_, ok := w.mqtt.Topics.Retained.Get("cp/CP_A/down/ack")
			return ok
		})
		w.within(2*time.Second, "it is counted", func() bool { return w.now().Commands >= 3 })
		if got := w.now().Commands; got != 3 || slices.Contains(w.commands(), "short") {
			t.Errorf("%d were published, commands %v; want two commands that were not over, and an acknowledgement", got, w.commands())
		}
	})
}

// TestDownlinkAfterKafkaWasAway: the place is kept over an outage.
func TestDownlinkAfterKafkaWasAway(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "both sides are up", func() bool { return w.now().MQTT.Up && w.now().Kafka.Up })
		w.order(command("CP_A", "before", time.Minute), ack("CP_A", 1))
		w.within(5*time.Second, "they go through", func() bool { return len(w.commands()) == 1 && len(w.acks()) == 1 })
		w.stopKafka()
		time.Sleep(10 * time.Minute)
		w.startKafka()
		w.order(command("CP_A", "after", time.Minute), ack("CP_A", 2))
		w.within(5*time.Second, "the next ones follow", func() bool {
			return slices.Equal(w.commands(), []string{"before", "after"}) && slices.Equal(w.acks(), []string{"CP_A/1", "CP_A/2"})
		})
	})
}

// TestDownlinkOfANewLog: when cp-commands is deleted and created again, nothing waits
// for the end of the old log.
func TestDownlinkOfANewLog(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		create := func() {
			if err := w.kafka.CreateTopic(wire.TopicCommands, 1, nil); err != nil {
				t.Fatal(err)
			}
		}
		create()
		for i := range 20 {
			w.order(ack("CP_A", i+1))
		}
		w.startBridge()
		w.within(20*time.Second, "the backlog is read", func() bool { return slices.Contains(w.acks(), "CP_A/20") })
		if err := w.kafka.DeleteTopic(wire.TopicCommands); err != nil {
			t.Fatal(err)
		}
		create()
		w.order(ack("CP_A", 21))
		w.within(time.Minute, "one of the new log comes", func() bool { return slices.Contains(w.acks(), "CP_A/21") })
		w.order(ack("CP_A", 22))
		w.within(10*time.Second, "and the next one", func() bool { return slices.Contains(w.acks(), "CP_A/22") })
	})
}

// TestBadOrders: records of cp-commands that cannot be used become dead letters
// and block no other.
func TestBadOrders(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "both sides are up", func() bool { return w.now().MQTT.Up && w.now().Kafka.Up })
		w.order(record("CP_A", "song", []byte("la")), record("+", wire.KindValueAck, ack("x", 1).Value),
			record("CP_A", wire.KindValueCommand, command("CP_B", "x", time.Minute).Value), command("CP_A", "good", time.Minute))
		w.within(5*time.Second, "the good one goes through", func() bool { return slices.Equal(w.commands(), []string{"good"}) })
		w.within(5*time.Second, "the others are dead letters", func() bool { return w.stored(wire.TopicDeadLetters) == 3 })
		w.within(2*time.Second, "they are counted", func() bool { return w.now().DeadLetters == 3 })
	})
}
