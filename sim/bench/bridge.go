package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/engines"
)

const (
	bridgeWanted = 0.9
	bridgeRounds = 5
	// The topics of what is counted only and of what the bridge carries differ,
	// so that each hears its own rounds alone.
	countedPrefix = "counted"
	carriedPrefix = "carried"
	// stallTimeout is how long nothing may arrive before the rest is held to be lost.
	stallTimeout = 5 * time.Second
)

// measureBridge carries records over the embedded broker.
func measureBridge(ctx context.Context, r *run, budget time.Duration) (rows []Row, err error) {
	broker := engines.NewMQTT("127.0.0.1:0", nil, r.log)
	if err := broker.Start(); err != nil {
		return nil, err
	}
	defer broker.Stop()
	return r.carry(ctx, broker.URL(), budget, Row{Name: "bridge", What: "bridge, embedded broker: MQTT in → Kafka acked"})
}

// measureMosquitto carries records over Mosquitto.
func measureMosquitto(ctx context.Context, r *run, budget time.Duration) (rows []Row, err error) {
	row := Row{Name: "bridge-mosquitto", What: "bridge, Mosquitto: MQTT in → Kafka acked"}
	m, err := startMosquitto(ctx, r.cfg.Mosquitto, r.dir)
	if errors.Is(err, errNoMosquitto) {
		return []Row{missing(row, err.Error())}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.stop()) }()
	return r.carry(ctx, m.url, budget, row)
}

// carry lets the same publishers be heard in turn by a subscriber that only
// counts and by a bridge.
func (r *run) carry(ctx context.Context, url string, budget time.Duration, row Row) (rows []Row, err error) {
	row.Unit, row.BesideWhat, row.Wanted = "msg/s", "count-only subscriber", bridgeWanted
	kafka := engines.NewKafka("127.0.0.1:0", "", nil) // acks from memory, as Kafka's come from the page cache
	if err := kafka.Start(); err != nil {
		return nil, err
	}
	defer kafka.Stop()
	bridge, err := r.startBridge(ctx, url, kafka.Addr(), carriedPrefix)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bridge.stop()) }()
	counting, err := newCounter(url, countedPrefix)
	if err != nil {
		return nil, err
	}
	defer counting.client.Disconnect(0)
	load, err := newLoad(url, r.cfg.Publishers)
	if err != nil {
		return nil, err
	}
	defer load.close()

	each := budget * 8 / 10 / (2*bridgeRounds + 1)
	counted := consumer{prefix: countedPrefix, received: counting.got.Load, reset: func() {}}
	carried := consumer{prefix: carriedPrefix, received: func() int64 { return acknowledgedEvents(kafka) }, reset: func() { deleteEvents(kafka) }}
	for _, v := range []*consumer{&counted, &carried} { // not counted: everything is new
		if err := v.round(ctx, load, each/2); err != nil {
			return nil, err
		}
		v.rates, v.costs = nil, nil
	}
	for n := range bridgeRounds {
		pair := []*consumer{&counted, &carried}
		if n%2 == 1 {
			pair[0], pair[1] = pair[1], pair[0]
		}
		for _, v := range pair {
			if err := v.round(ctx, load, each); err != nil {
				return nil, err
			}
		}
	}
	row.Note = fmt.Sprintf("this process computes %s µs for a message that is carried, %s µs for one that is counted",
		amount(median(carried.costs)), amount(median(counted.costs)))
	return []Row{compared(row, carried.rates, counted.rates)}, nil
}

// consumer is one of those who hear.
type consumer struct {
	prefix   string
	received func() int64 // so far
	reset    func()       // what was heard
	rates    []float64
	costs    []float64 // µs of computing per message, publishers included
}

// round publishes for so long and waits until all of it was heard.
func (v *consumer) round(ctx context.Context, l *load, d time.Duration) error {
	v.reset()
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
		if now := v.received() - before; now != received {
			received, last = now, time.Now()
		} else if time.Since(last) > stallTimeout {
			return fmt.Errorf("%d of %d messages were not heard", sent-received, sent)
		}
	}
	v.rates = append(v.rates, perSecond(int(sent), time.Since(begin)))
	if sent > 0 {
		v.costs = append(v.costs, float64((cpuTime()-computed)/time.Microsecond)/float64(sent))
	}
	return nil
}

// acknowledgedEvents is how many events Kafka has acknowledged.
func acknowledgedEvents(k *engines.Kafka) (n int64) {
	for _, p := range k.Cluster().PartitionInfos(wire.TopicEvents) {
		n += p.HighWatermark
	}
	return n
}

// deleteEvents frees what Kafka has.
func deleteEvents(k *engines.Kafka) {
	c := k.Cluster()
	for _, p := range c.PartitionInfos(wire.TopicEvents) {
		_ = c.DeleteRecords(wire.TopicEvents, p.Partition, p.HighWatermark) // only memory is at stake
	}
}
