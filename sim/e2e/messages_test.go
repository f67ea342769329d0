package e2e_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// These tests write to Kafka's log, or send by MQTT, messages that no part of
// this version sends.

// produce writes messages to a topic, as any client with access can.
func (w *world) produce(topic string, all ...kafka.Message) {
	w.t.Helper()
	transport := &kafka.Transport{Dial: w.vnet.DialContext}
	defer transport.CloseIdleConnections()
	c := kafka.Writer{Addr: kafka.TCP(kafkaAddr), Topic: topic, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond, Transport: transport}
	if err := c.WriteMessages(context.WithoutCancel(w.t.Context()), all...); err != nil {
		w.t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		w.t.Error(err)
	}
}

// consume reads a topic with one partition from its beginning to its end.
func (w *world) consume(topic string) (all []kafka.Message) {
	w.t.Helper()
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{kafkaAddr}, Topic: topic, MaxWait: 200 * time.Millisecond,
		Dialer: &kafka.Dialer{DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
			return w.vnet.DialContext(ctx, network, address)
		}},
	})
	for {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 3*time.Second)
		m, err := reader.ReadMessage(ctx)
		cancel()
		if err != nil {
			break // the end of the topic
		}
		all = append(all, m)
	}
	if err := reader.Close(); err != nil {
		w.t.Error(err)
	}
	return all
}

// TestF12DuplicatesOutOfOrder: the whole log is written three times more,
// shuffled. The books do not change.
func TestF12DuplicatesOutOfOrder(t *testing.T) {
	t.Parallel()
	duringSession(t, func(w *world) {
		var again []kafka.Message
		for _, m := range w.consume("cp-events") {
			for range 3 {
				again = append(again, kafka.Message{Key: m.Key, Value: m.Value, Headers: m.Headers})
			}
		}
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		w.produce("cp-events", again...)
		time.Sleep(10 * time.Second)
		if n := w.totals().Duplicates; n < int64(len(again)) {
			t.Errorf("%d duplicates were counted of %d", n, len(again))
		}
	})
}

// TestF20Poison: an invalid message at the head of a partition delays nothing.
// It becomes a dead letter with its bytes at once, and the records behind it
// are applied.
func TestF20Poison(t *testing.T) {
	t.Parallel()
	inWorld(t, plan{}, func(w *world) {
		w.start(allParts()...)
		w.watchInvariants()
		outcomes := w.drive(w.client(), driverPlan{username: "carl"})
		w.awaitCharging(w.points[0])
		poison := [][]byte{{0}, []byte("{"), []byte(`{"v":1}`), bytes.Repeat([]byte("x"), 40<<10)}
		w.schemas.allow(poison...)
		for _, p := range poison {
			w.produce("cp-events", kafka.Message{Key: []byte("CP_001"), Value: p})
		}
		w.await(time.Second, "it is counted", func() bool { return w.totals().DeadLetters == int64(len(poison)) })
		w.wantTicket(outcomes, time.Hour)
		w.settle()
		w.energy()
		w.rebuilt()
		dead := w.consume("cp-events-dlq")
		for _, p := range poison {
			if !slices.ContainsFunc(dead, func(m kafka.Message) bool { return bytes.Contains(m.Value, p) }) {
				t.Errorf("the bytes %.20q are not among the dead letters", p)
			}
		}
	})
}

// TestF34NewerAgent: a record type and a field of a later version are recorded
// and acknowledged, and the records behind them are applied.
func TestF34NewerAgent(t *testing.T) {
	t.Parallel()
	inWorld(t, plan{}, func(w *world) {
		w.start(allParts()...)
		time.Sleep(5 * time.Second)
		cp := ledgertest.NewChargingPoint("CP_900", 1, charge.At(time.Now()))
		cp.Boot()
		r := cp.Write(1, "", &wire.PluggedIn{})
		r.Type = "quantum_seen"
		cp.Storage[len(cp.Storage)-1] = r // the next record names its hash
		cp.Write(1, "", &wire.Unplugged{})
		o := mqtt.NewClientOptions().AddBroker("tcp://" + mqttAddr).SetClientID("CP_900").SetAutoReconnect(false)
		o.SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			return w.vnet.DialContext(w.t.Context(), "tcp", u.Host)
		})
		c := mqtt.NewClient(o)
		c.Connect().Wait()
		for i, rec := range cp.Storage {
			raw := ledgertest.Raw(rec)
			if i == len(cp.Storage)-1 { // no record names its hash, so its bytes
				raw = bytes.Replace(raw, []byte("{"), []byte(`{"entangled":true,`), 1)
			}
			if rec.Type == "quantum_seen" {
				w.schemas.allow(raw)
			}
			c.Publish("cp/CP_900/up/event", 1, false, raw).Wait()
		}
		w.await(healTimeout, "all three are acknowledged", func() bool {
			a, err := wire.DecodeAck(w.mqtt.Retained("cp/CP_900/down/ack")["cp/CP_900/down/ack"])
			return err == nil && a.Seq == 3
		})
		c.Disconnect(0)
		time.Sleep(time.Minute) // paho's goroutines end
		if n := w.recordCount("CP_900"); n != 3 || w.totals().DeadLetters != 0 {
			t.Errorf("%d records, %d dead letters; want 3 and none", n, w.totals().DeadLetters)
		}
	})
}
