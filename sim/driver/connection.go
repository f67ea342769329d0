package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// Limits of a connection's requests to Kafka.
const (
	openTimeout    = 5 * time.Second // for open: topics and offsets
	requestTimeout = 10 * time.Second
	fetchWait      = 500 * time.Millisecond // how long Kafka holds an empty fetch
	fetchBytes     = 1 << 20                // of one fetch; larger than any message
)

// connection is one connection to the Kafka cluster. It ends with its first
// error and is then replaced: kafka-go's pool keeps cluster metadata and dead
// connections, and only a new pool surely reads the cluster's state again.
//
// open, and then readAll, run in one goroutine; produce may be called by others
// until close.
type connection struct {
	cfg     *ClientConfig
	deliver func(value []byte)
	client  *kafka.Client
	conns   *conns
	cancel  context.CancelCauseFunc // ends the connection; the cause is its reason

	driverPartitions int // of the drivers' topic: a key's partition depends on their number
	// positions is the next offset of each partition of Central's topic. It is
	// carried over to the next connection. While readAll runs, each element is
	// owned by the reader of its partition.
	positions []int64
}

// metadataInterval is how often the number of partitions is checked.
const metadataInterval = 2 * time.Second

// newConnection returns a connection and the context of its life, which every
// call but produce uses. It does no I/O.
func newConnection(ctx context.Context, cfg *ClientConfig, deliver func([]byte)) (context.Context, *connection) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &conns{dial: cfg.Dial}
	return ctx, &connection{
		cfg: cfg, deliver: deliver, conns: c, cancel: cancel,
		client: &kafka.Client{
			Addr: kafka.TCP(cfg.Brokers...), Timeout: requestTimeout,
			Transport: &kafka.Transport{
				Dial: c.open, ClientID: cfg.ClientID, Context: ctx, DialTimeout: 3 * time.Second, MetadataTTL: time.Second,
				MetadataTopics: []string{cfg.DriverTopic, cfg.CentralTopic},
			},
		},
	}
}

// close closes all sockets. The connection must not be used afterwards.
func (c *connection) close() {
	c.cancel(nil)
	if t, ok := c.client.Transport.(*kafka.Transport); ok {
		t.CloseIdleConnections()
	}
	c.conns.closeAll()
}

// open reads the partitions of both topics, creates missing topics, and
// initializes the positions of partitions that were not read yet.
func (c *connection) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	m, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{c.cfg.DriverTopic, c.cfg.CentralTopic}})
	if err != nil {
		return fmt.Errorf("find the topics: %w", err)
	}
	counts := map[string]int{}
	var missing []kafka.TopicConfig
	for _, t := range m.Topics {
		switch {
		case errors.Is(t.Error, kafka.UnknownTopicOrPartition):
			missing = append(missing, kafka.TopicConfig{Topic: t.Name, NumPartitions: c.cfg.Partitions, ReplicationFactor: -1})
		case t.Error != nil:
			return fmt.Errorf("topic %s: %w", t.Name, t.Error)
		default:
			counts[t.Name] = len(t.Partitions)
		}
	}
	if len(missing) > 0 {
		return c.createTopics(ctx, missing)
	}
	c.driverPartitions = counts[c.cfg.DriverTopic]
	if c.driverPartitions == 0 || counts[c.cfg.CentralTopic] == 0 {
		return errors.New("the topics have no partition yet")
	}
	return c.initPositions(ctx, counts[c.cfg.CentralTopic])
}

// createTopics creates topics. It always returns an error: the next connection
// reads their partitions.
func (c *connection) createTopics(ctx context.Context, missing []kafka.TopicConfig) error {
	r, err := c.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: missing})
	if err != nil {
		return fmt.Errorf("make the topics: %w", err)
	}
	for name, err := range r.Errors {
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("make topic %s: %w", name, err)
		}
	}
	return errors.New("the topics are being made")
}

// initPositions sets the position of each new partition: at the first
// connection the end of its log, later its beginning, because all messages of a
// partition that was added are new.
func (c *connection) initPositions(ctx context.Context, count int) error {
	first := len(c.positions) == 0
	var ask []kafka.OffsetRequest
	for p := len(c.positions); p < count; p++ {
		ask = append(ask, kafka.LastOffsetOf(p))
	}
	if len(ask) == 0 {
		return nil
	}
	topic := c.cfg.CentralTopic
	r, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: ask}})
	if err != nil {
		return fmt.Errorf("find the end of %s: %w", topic, err)
	}
	// Zero, the beginning, is where the partitions start that were added later.
	positions := make([]int64, count)
	copy(positions, c.positions)
	answered := len(c.positions)
	for _, o := range r.Topics[topic] {
		if o.Error != nil {
			return fmt.Errorf("find the end of %s/%d: %w", topic, o.Partition, o.Error)
		}
		if first && o.Partition < count {
			positions[o.Partition] = o.LastOffset
		}
		answered++
	}
	if answered < count {
		return fmt.Errorf("find the end of %s: %d of %d partitions answered", topic, answered, count)
	}
	c.positions = positions
	return nil
}

// errPartitionsChanged ends a connection: the next one reads the added
// partitions, and maps keys by the new number.
var errPartitionsChanged = errors.New("the topics have other partitions now")

// watchPartitions ends the connection when the number of partitions of a topic
// changes.
func (c *connection) watchPartitions(ctx context.Context) {
	tick := time.NewTicker(metadataInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		m, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{c.cfg.DriverTopic, c.cfg.CentralTopic}})
		if err != nil {
			continue // the readers see the same error
		}
		for _, t := range m.Topics {
			// The numbers that this connection was opened with.
			known := map[string]int{c.cfg.DriverTopic: c.driverPartitions, c.cfg.CentralTopic: len(c.positions)}[t.Name]
			if t.Error == nil && len(t.Partitions) != known {
				c.cancel(errPartitionsChanged)
			}
		}
	}
}

// readAll delivers the records of all partitions until the first error, which
// it returns.
func (c *connection) readAll(ctx context.Context) error {
	var readers sync.WaitGroup
	readers.Go(func() { c.watchPartitions(ctx) })
	for p := range c.positions {
		readers.Go(func() {
			for ctx.Err() == nil {
				if err := c.fetch(ctx, p); err != nil {
					c.cancel(err)
				}
			}
		})
	}
	readers.Wait()
	return context.Cause(ctx)
}

// fetch reads one batch of a partition and advances its position.
func (c *connection) fetch(ctx context.Context, p int) error {
	topic := c.cfg.CentralTopic
	r, err := c.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: topic, Partition: p, Offset: c.positions[p], MinBytes: 1, MaxBytes: fetchBytes, MaxWait: fetchWait,
	})
	if err == nil {
		err = r.Error
	}
	if errors.Is(err, kafka.OffsetOutOfRange) { // the log was replaced, or its beginning deleted: read what is there
		c.positions[p], err = c.firstOffset(ctx, p)
		return err
	}
	if err != nil {
		return fmt.Errorf("read %s/%d: %w", topic, p, err)
	}
	for {
		rec, err := r.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s/%d: %w", topic, p, err)
		}
		if rec.Offset < c.positions[p] {
			continue // a batch may begin before the requested offset
		}
		c.positions[p] = rec.Offset + 1
		if rec.Value == nil {
			continue
		}
		value, err := io.ReadAll(rec.Value)
		if err != nil {
			return fmt.Errorf("read %s/%d: %w", topic, p, err)
		}
		c.deliver(value)
	}
}

// firstOffset returns the first offset of a partition that Kafka still has.
func (c *connection) firstOffset(ctx context.Context, p int) (int64, error) {
	topic := c.cfg.CentralTopic
	r, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(p)}},
	})
	if err != nil {
		return 0, fmt.Errorf("find the beginning of %s/%d: %w", topic, p, err)
	}
	for _, o := range r.Topics[topic] {
		if o.Partition == p {
			return max(o.FirstOffset, 0), o.Error
		}
	}
	return 0, fmt.Errorf("find the beginning of %s/%d: no answer", topic, p)
}

// produce writes one message, without a retry.
func (c *connection) produce(ctx context.Context, partition int, key, value []byte) error {
	r, err := c.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: c.cfg.DriverTopic, Partition: partition, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes(key), Value: kafka.NewBytes(value)}),
	})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		return fmt.Errorf("write %s/%d: %w", c.cfg.DriverTopic, partition, err)
	}
	return nil
}

// conns records the sockets of a connection, so that close can close all:
// kafka-go's pool leaves a socket open whose request was cancelled.
type conns struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	all    []net.Conn // mu guards it and closed
	closed bool
}

func (c *conns) open(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	c.all = append(c.all, conn)
	return conn, nil
}

func (c *conns) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.all {
		_ = conn.Close() // most are closed already; the error means nothing
	}
}
