package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/engines"
	"github.com/carga-ev/carga/internal/wire"
)

const (
	// bridgeWanted is the least rate of the bridge, as a ratio to the
	// yardstick.
	bridgeWanted = 0.9
	// bridgeRounds is the number of rounds of bridge and yardstick each.
	bridgeRounds = 5
	// Topic prefixes: the counting subscriber and the bridge each receive only
	// the messages of their own rounds.
	countedPrefix = "counted"
	carriedPrefix = wire.DefaultPrefix
	// stallTimeout is how long no message may arrive before the missing ones
	// count as lost.
	stallTimeout = 5 * time.Second
)

// measureBridge measures the bridge with the embedded engines, in this process.
func measureBridge(ctx context.Context, r *run, budget time.Duration) (rows []Row, err error) {
	broker := engines.NewMQTT("127.0.0.1:0", nil, r.log)
	if err := broker.Start(); err != nil {
		return nil, err
	}
	defer broker.Stop()
	kafka := engines.NewKafka("127.0.0.1:0", "", nil) // its log is in memory, as Kafka acknowledges from the page cache
	if err := kafka.Start(); err != nil {
		return nil, err
	}
	defer kafka.Stop()
	bridge, err := r.startBridge(ctx, broker.URL(), kafka.Addr())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bridge.stop()) }()
	carried := &consumer{prefix: carriedPrefix, received: func() int64 { return acknowledgedEvents(kafka) }, reset: func() { deleteEvents(kafka) }}
	row, counted, err := r.carry(ctx, broker.URL(), budget, carried)
	if err != nil {
		return nil, err
	}
	row.Note = fmt.Sprintf("CPU time of this process: %s µs per forwarded message, %s µs per counted one",
		amount(median(carried.costs)), amount(median(counted.costs)))
	return []Row{row}, nil
}

// carry measures how fast the bridge forwards records from MQTT to Kafka, in
// messages per second. The yardstick is a subscriber that only counts the same
// publishers' messages: the most that the broker can deliver. Bridge and counter
// stay connected during all rounds; the prefixes keep them apart.
func (r *run) carry(ctx context.Context, url string, budget time.Duration, carried *consumer) (row Row, counted *consumer, err error) {
	row = Row{Name: "bridge", What: "bridge: MQTT in → Kafka acked", Unit: "msg/s", BesideWhat: "count-only subscriber", Wanted: bridgeWanted}
	counting, err := newCounter(url, countedPrefix)
	if err != nil {
		return row, nil, err
	}
	defer counting.client.Disconnect(0)
	load, err := newLoad(url, r.cfg.Publishers)
	if err != nil {
		return row, nil, err
	}
	defer load.close()
	counted = &consumer{prefix: countedPrefix, received: counting.got.Load, reset: func() {}}

	// The rest of the budget is for starting, stopping and the last waits of
	// the rounds.
	each := budget * 8 / 10 / (2*bridgeRounds + 1)
	for _, v := range []*consumer{counted, carried} { // warm-up, not counted
		if err := v.round(ctx, load, each/2); err != nil {
			return row, nil, err
		}
		v.rates, v.costs = nil, nil
	}
	for n := range bridgeRounds {
		// The order alternates, so that a machine that slows down during a pair
		// favours neither.
		pair := []*consumer{counted, carried}
		if n%2 == 1 {
			pair[0], pair[1] = pair[1], pair[0]
		}
		for _, v := range pair {
			if err := v.round(ctx, load, each); err != nil {
				return row, nil, err
			}
		}
	}
	return compared(row, carried.rates, counted.rates), counted, nil
}

// consumer is one of the two receivers that are compared.
type consumer struct {
	prefix string // of the topics that it receives
	// received is the number of messages received since the start; a round
	// works with differences.
	received func() int64
	reset    func() // frees the memory of received messages
	rates    []float64
	costs    []float64 // CPU time in µs per message, publishers included
}

// round publishes for d and waits until all messages were received. It records
// the rate and the CPU time.
func (v *consumer) round(ctx context.Context, l *load, d time.Duration) error {
	v.reset()
	// The clock starts before the first publish and stops at the last message
	// received: the rate includes the wait for what is in flight.
	before, computed := v.received(), cpuTime()
	begin := time.Now()
	sent, err := l.publish(ctx, v.prefix, d)
	if err != nil {
		return err
	}
	received, last := int64(0), time.Now()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for received < sent {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		// stallTimeout runs from the last message, not from the start: a slow
		// consumer is slow, not broken.
		if now := v.received() - before; now != received {
			received, last = now, time.Now()
		} else if time.Since(last) > stallTimeout {
			return fmt.Errorf("%d of %d messages were not received", sent-received, sent)
		}
	}
	v.rates = append(v.rates, perSecond(int(sent), time.Since(begin)))
	if sent > 0 {
		v.costs = append(v.costs, float64((cpuTime()-computed)/time.Microsecond)/float64(sent))
	}
	return nil
}

// acknowledgedEvents is the number of events that Kafka has acknowledged.
func acknowledgedEvents(k *engines.Kafka) (n int64) {
	for _, p := range k.Cluster().PartitionInfos(wire.TopicEvents) {
		n += p.HighWatermark
	}
	return n
}

// deleteEvents frees the memory of Kafka's log.
func deleteEvents(k *engines.Kafka) {
	c := k.Cluster()
	for _, p := range c.PartitionInfos(wire.TopicEvents) {
		_ = c.DeleteRecords(wire.TopicEvents, p.Partition, p.HighWatermark) // an error only costs memory
	}
}
