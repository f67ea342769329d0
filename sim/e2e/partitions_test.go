package e2e_test

import (
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/driver"
)

// everyTopic returns all topics of the network.
func everyTopic() []string {
	return []string{
		wire.TopicEvents, wire.TopicTelemetry, wire.TopicMonitor, wire.TopicCommands, wire.TopicDriverEvents, wire.TopicCentralEvents,
		wire.TopicDeadLetters,
	}
}

// grow sets the number of partitions of topics, as an operator of Kafka would.
func (w *world) grow(partitions int32, topics ...string) {
	w.t.Helper()
	t := &kafka.Transport{Dial: w.vnet.DialContext}
	defer t.CloseIdleConnections()
	c := &kafka.Client{Addr: kafka.TCP(kafkaAddr), Transport: t, Timeout: 10 * time.Second}
	var all []kafka.TopicPartitionsConfig
	for _, topic := range topics {
		all = append(all, kafka.TopicPartitionsConfig{Name: topic, Count: partitions})
	}
	res, err := c.CreatePartitions(w.t.Context(), &kafka.CreatePartitionsRequest{Topics: all})
	if err != nil {
		w.t.Fatal(err)
	}
	for topic, err := range res.Errors {
		if err != nil {
			w.t.Errorf("%s: %v", topic, err)
		}
	}
}

// TestPartitionsGrow: topics grow from 3 to 6 and to 7 partitions while
// sessions run and commands, drivers' requests and tickets are in flight; one
// kind of topic, or all. No message is delayed, lost or counted twice, and no
// part is down.
func TestPartitionsGrow(t *testing.T) {
	t.Parallel()
	for name, topics := range map[string][]string{
		"events": {wire.TopicEvents}, "drivers": {wire.TopicDriverEvents, wire.TopicCentralEvents}, "all": everyTopic(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const points = 3
			inWorld(t, plan{points: points, partitions: 3, vehicle: vehicle{energy: 1500, power: 20_000}}, func(w *world) {
				w.start(allParts()...)
				w.watchInvariants()
				line := w.client()
				ask := func(i int) <-chan driver.Outcome {
					username := []charge.Username{"ana", "berta", "carl"}[i]
					return w.drive(line, driverPlan{username: username, cp: w.points[i].id, services: 2, pause: 10 * time.Second})
				}
				var asked []<-chan driver.Outcome
				asked = append(asked, ask(0))
				w.awaitCharging(w.points[0])
				asked = append(asked, ask(1))
				time.Sleep(20 * time.Millisecond) // a request is in flight
				w.grow(6, topics...)
				asked = append(asked, ask(2))
				time.Sleep(time.Minute)
				w.awaitRecords(healTimeout)
				w.grow(7, topics...)
				for range 2 {
					for _, outcomes := range asked {
						w.wantTicket(outcomes, time.Hour)
					}
				}
				w.settle()
				w.balanced(2 * points)
				w.rebuilt()
				n, _ := w.network()
				for _, p := range n.Parts {
					if p.State != "up" {
						t.Errorf("got %+v", p)
					}
				}
				if alarms := items[alarm](w, "/alarms"); len(alarms) != 0 {
					t.Errorf("alarms: got %+v", alarms)
				}
				if slices.Contains(topics, wire.TopicEvents) && w.part("kafka").Reason == "" {
					t.Error("the page does not warn of the difference")
				}
			})
		})
	}
}
