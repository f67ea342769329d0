package chaos_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/driver"
)

// TestPartitionsGrowOnRealEngines: every topic of Apache Kafka gets six
// partitions instead of three during a session. This session and the next ones
// have their tickets, nothing is lost, and no part is down.
func TestPartitionsGrowOnRealEngines(t *testing.T) {
	n := realNetwork(t, 1)
	t.Parallel()
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the network starts", n.AtRest())
	line := startClient(t, n)
	grown := false
	for i := range 3 {
		o := serve(t.Context(), n.Points[0], line, func() {
			if grown {
				return
			}
			grown = true
			if err := grow(t, n.KafkaAddr(), 6); err != nil {
				t.Error(err)
			}
		})
		if o.Result != driver.Ticket {
			t.Errorf("service %d ended in %+v, want a ticket", i+1, o)
		}
	}
	reconcileAfterCrashes(t, n)
	if !grown {
		t.Error("no topic got a partition")
	}
}

// grow sets the number of partitions of all topics.
func grow(t *testing.T, broker string, partitions int32) error {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	c := &kafka.Client{Addr: kafka.TCP(broker), Transport: transport, Timeout: 30 * time.Second}
	var all []kafka.TopicPartitionsConfig
	for _, topic := range []string{
		wire.TopicEvents, wire.TopicTelemetry, wire.TopicMonitor, wire.TopicCommands, wire.TopicDriverEvents, wire.TopicCentralEvents,
		wire.TopicDeadLetters,
	} {
		all = append(all, kafka.TopicPartitionsConfig{Name: topic, Count: partitions})
	}
	res, err := c.CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{Topics: all})
	if err != nil {
		return err
	}
	for topic, err := range res.Errors {
		if err != nil {
			return fmt.Errorf("%s: %w", topic, err)
		}
	}
	return nil
}
