package bench

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/chaos"
)

// prepareReal prepares Mosquitto, Apache Kafka, bridge and Central as processes.
func (r *run) prepareReal(ctx context.Context) (*chaos.Network, error) {
	return chaos.NewNetwork(ctx, chaos.Config{
		Bin: r.cfg.Bin, Dir: r.dir, Engines: r.cfg.Engines, Partitions: partitions, KeepAlive: 30 * time.Second,
	})
}

// launch starts everything but the charging points as processes.
func (n *network) launch(ctx context.Context, r *run, _ string) (err error) {
	if n.real, err = r.prepareReal(ctx); err != nil {
		return err
	}
	n.url, n.brokers = "tcp://"+n.real.MQTTAddr(), n.real.KafkaAddr()
	return n.real.Start(ctx)
}

// measureBridgeReal measures the bridge between Mosquitto and Apache Kafka. Only the
// publishers and the counting subscriber run in this process.
func measureBridgeReal(ctx context.Context, r *run, budget time.Duration) (rows []Row, err error) {
	n, err := r.prepareReal(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	for _, p := range []*chaos.Process{n.MQTT, n.Kafka, n.Bridge} { // Central would take CPU time
		if err := p.Start(ctx); err != nil {
			return nil, err
		}
	}
	url, log := "tcp://"+n.MQTTAddr(), &realLog{client: &kafka.Client{Addr: kafka.TCP(n.KafkaAddr())}}
	if err := awaitBridge(ctx, url, log); err != nil {
		return nil, err
	}
	carried := &consumer{prefix: carriedPrefix, received: func() int64 { return log.records(ctx) }, reset: func() {}}
	row, _, err := r.carry(ctx, url, budget, carried)
	if err != nil {
		return nil, err
	}
	return []Row{row}, nil
}

// awaitBridge publishes records until one of them is in Kafka, and then until no more
// come.
func awaitBridge(ctx context.Context, url string, log *realLog) error {
	all, err := journals(1, 1)
	if err != nil {
		return err
	}
	stream := newRecordStream(all[0])
	return chaos.Await(ctx, slack, func(ctx context.Context) error {
		c, err := connect(url, "bench-probe")
		if err != nil {
			return err
		}
		defer c.Disconnect(0)
		before := log.records(ctx)
		c.Publish(wire.Topics{Prefix: carriedPrefix}.Of(stream.cp, wire.KindEvent), 1, false, stream.record(before)).WaitTimeout(dialTimeout)
		time.Sleep(time.Second)
		if log.records(ctx) == before {
			return errors.New("the bridge does not carry")
		}
		return nil
	})
}

// realLog counts the records of cp-events in Apache Kafka.
type realLog struct {
	client *kafka.Client
	count  int64
	asked  time.Time
}

// logInterval is how often Kafka is asked; more often would be load.
const logInterval = 20 * time.Millisecond

// records returns the last known number of records.
func (l *realLog) records(ctx context.Context) int64 {
	if time.Since(l.asked) < logInterval {
		return l.count
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var all []kafka.OffsetRequest
	for partition := range partitions {
		all = append(all, kafka.LastOffsetOf(partition))
	}
	got, err := l.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{wire.TopicEvents: all}})
	if err != nil {
		return l.count
	}
	l.asked = time.Now()
	sum := int64(0)
	for _, p := range got.Topics[wire.TopicEvents] {
		sum += max(p.LastOffset, 0)
	}
	l.count = max(l.count, sum)
	return l.count
}
