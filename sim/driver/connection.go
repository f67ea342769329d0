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

// Bounds of what a session asks Kafka.
const (
	openTimeout    = 5 * time.Second // for finding the topics
	requestTimeout = 10 * time.Second
	fetchWait      = 500 * time.Millisecond
	fetchBytes     = 1 << 20
)

// connection is one life of the connection: it ends with its first error, because
// a new pool of connections is the only one that surely looks at the cluster
// anew.
type connection struct {
	cfg     *ClientConfig
	deliver func(value []byte)
	client  *kafka.Client
	conns   *conns
	cancel  context.CancelCauseFunc // ends the session with its reason

	driverPartitions int     // partitions of the drivers' topic
	positions        []int64 // next offset of each partition of Central's topic; each has one reader
}

// metadataInterval is how often a session looks whether a topic got other partitions.
const metadataInterval = 2 * time.Second

// newConnection makes a session and its context, which every call of it but
// produce takes. It does no I/O.
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

// close ends every connection; nobody uses the session any more.
func (s *connection) close() {
	s.cancel(nil)
	if t, ok := s.client.Transport.(*kafka.Transport); ok {
		t.CloseIdleConnections()
	}
	s.conns.closeAll()
}

// open finds the topics, makes those that are missing, and finds the ends of
// the partitions that were not read yet.
func (s *connection) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	m, err := s.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{s.cfg.DriverTopic, s.cfg.CentralTopic}})
	if err != nil {
		return fmt.Errorf("find the topics: %w", err)
	}
	counts := map[string]int{}
	var missing []kafka.TopicConfig
	for _, t := range m.Topics {
		switch {
		case errors.Is(t.Error, kafka.UnknownTopicOrPartition):
			missing = append(missing, kafka.TopicConfig{Topic: t.Name, NumPartitions: s.cfg.Partitions, ReplicationFactor: -1})
		case t.Error != nil:
			return fmt.Errorf("topic %s: %w", t.Name, t.Error)
		default:
			counts[t.Name] = len(t.Partitions)
		}
	}
	if len(missing) > 0 {
		return s.createTopics(ctx, missing)
	}
	s.driverPartitions = counts[s.cfg.DriverTopic]
	if s.driverPartitions == 0 || counts[s.cfg.CentralTopic] == 0 {
		return errors.New("the topics have no partition yet")
	}
	return s.initPositions(ctx, counts[s.cfg.CentralTopic])
}

// createTopics makes topics; it always ends the session, for the next one to see them.
func (s *connection) createTopics(ctx context.Context, missing []kafka.TopicConfig) error {
	r, err := s.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: missing})
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

// initPositions sets the position of each partition without one: the end of the log
// at the first time, its beginning where a partition was added later.
func (s *connection) initPositions(ctx context.Context, count int) error {
	first := len(s.positions) == 0
	var ask []kafka.OffsetRequest
	for p := len(s.positions); p < count; p++ {
		ask = append(ask, kafka.LastOffsetOf(p))
	}
	if len(ask) == 0 {
		return nil
	}
	topic := s.cfg.CentralTopic
	r, err := s.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: ask}})
	if err != nil {
		return fmt.Errorf("find the end of %s: %w", topic, err)
	}
	positions := make([]int64, count)
	copy(positions, s.positions)
	found := len(s.positions)
	for _, o := range r.Topics[topic] {
		if o.Error != nil {
			return fmt.Errorf("find the end of %s/%d: %w", topic, o.Partition, o.Error)
		}
		if first && o.Partition < count {
			positions[o.Partition] = o.LastOffset
		}
		found++
	}
	if found < count {
		return fmt.Errorf("find the end of %s: %d of %d partitions answered", topic, found, count)
	}
	s.positions = positions
	return nil
}

// errPartitionsChanged ends a session whose topics have other partitions now: the
// next one reads the new ones from their beginning, and maps keys by their number.
var errPartitionsChanged = errors.New("the topics have other partitions now")

// watchPartitions ends the session when a topic has other partitions than it knows.
func (s *connection) watchPartitions(ctx context.Context) {
	tick := time.NewTicker(metadataInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		m, err := s.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{s.cfg.DriverTopic, s.cfg.CentralTopic}})
		if err != nil {
			continue // the readers meet it
		}
		for _, t := range m.Topics {
			known := map[string]int{s.cfg.DriverTopic: s.driverPartitions, s.cfg.CentralTopic: len(s.positions)}[t.Name]
			if t.Error == nil && len(t.Partitions) != known {
				s.cancel(errPartitionsChanged)
			}
		}
	}
}

// readAll delivers what Central says until the first error.
func (s *connection) readAll(ctx context.Context) error {
	var readers sync.WaitGroup
	readers.Go(func() { s.watchPartitions(ctx) })
	for p := range s.positions {
		readers.Go(func() {
			for ctx.Err() == nil {
				if err := s.fetch(ctx, p); err != nil {
					s.cancel(err)
				}
			}
		})
	}
	readers.Wait()
	return context.Cause(ctx)
}

// fetch reads one batch of a partition.
func (s *connection) fetch(ctx context.Context, p int) error {
	topic := s.cfg.CentralTopic
	r, err := s.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: topic, Partition: p, Offset: s.positions[p], MinBytes: 1, MaxBytes: fetchBytes, MaxWait: fetchWait,
	})
	if err == nil {
		err = r.Error
	}
	if errors.Is(err, kafka.OffsetOutOfRange) { // another log than before, or its beginning was deleted
		s.positions[p], err = s.firstOffset(ctx, p)
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
		if rec.Offset < s.positions[p] {
			continue // a batch begins before the offset that was asked for
		}
		s.positions[p] = rec.Offset + 1
		if rec.Value == nil {
			continue
		}
		value, err := io.ReadAll(rec.Value)
		if err != nil {
			return fmt.Errorf("read %s/%d: %w", topic, p, err)
		}
		s.deliver(value)
	}
}

func (s *connection) firstOffset(ctx context.Context, p int) (int64, error) {
	topic := s.cfg.CentralTopic
	r, err := s.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
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

// produce says one message, once.
func (s *connection) produce(ctx context.Context, partition int, key, value []byte) error {
	r, err := s.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: s.cfg.DriverTopic, Partition: partition, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes(key), Value: kafka.NewBytes(value)}),
	})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		return fmt.Errorf("write %s/%d: %w", s.cfg.DriverTopic, partition, err)
	}
	return nil
}

// conns keeps the connections of one session, for the pool leaves a connection
// open whose request was cancelled.
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
		_ = conn.Close() // most are closed already
	}
}
