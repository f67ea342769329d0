package kafkalink

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

var errNoAnswer = errors.New("no answer for the partition")

// bounds returns the first offset and the end of the log.
func (r *PartitionReader) bounds(ctx context.Context) (first, end int64, err error) {
	p, err := r.list(ctx, kafka.FirstOffsetOf(r.cfg.Partition), kafka.LastOffsetOf(r.cfg.Partition))
	return p.FirstOffset, p.LastOffset, err
}

// offsetOf returns the offset of the first record of that time or later, or −1.
func (r *PartitionReader) offsetOf(ctx context.Context, at time.Time) (int64, error) {
	p, err := r.list(ctx, kafka.TimeOffsetOf(r.cfg.Partition, at))
	if err != nil {
		return 0, err
	}
	for offset := range p.Offsets {
		return offset, nil
	}
	return 0, errNoAnswer
}

func (r *PartitionReader) list(ctx context.Context, ask ...kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	res, err := r.client.api.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{r.cfg.Topic: ask},
	})
	if err != nil {
		return kafka.PartitionOffsets{}, err
	}
	for _, p := range res.Topics[r.cfg.Topic] {
		if p.Partition == r.cfg.Partition {
			return p, p.Error
		}
	}
	return kafka.PartitionOffsets{}, errNoAnswer
}

// TopicReader reads all partitions that a topic really has, also those that are
// added later: of these each record is new, so a reader that would begin at the
// end begins at the first.
type TopicReader struct {
	client  *Client
	watcher *TopicWatcher
	topic   string
	config  func(partition int) ReaderConfig

	mu sync.Mutex
	// mu guards everything that follows.
	readers []*PartitionReader
}

// NewTopicReader prepares a reader of a topic that the keeper keeps; it does no
// I/O. config is called once per partition, before its reader starts; topic and
// partition in it are set by the TopicReader.
func NewTopicReader(c *Client, k *TopicWatcher, topic string, config func(partition int) ReaderConfig) *TopicReader {
	return &TopicReader{client: c, watcher: k, topic: topic, config: config}
}

// Run reads until ctx ends; it returns after all readers have ended.
func (t *TopicReader) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for n := 0; ; {
		s, wake := t.watcher.Topic(t.topic)
		for added := n > 0; n < s.Partitions; n++ {
			cfg := t.config(n)
			cfg.Topic, cfg.Partition = t.topic, n
			if added && cfg.Start.kind == startEnd {
				cfg.Start = FromFirst()
			}
			r := NewPartitionReader(t.client, t.watcher, cfg)
			t.mu.Lock()
			t.readers = append(t.readers, r)
			t.mu.Unlock()
			running.Go(func() { _ = r.Run(ctx) }) // it ends with ctx alone
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// States returns the state of each partition's reader, in their order.
func (t *TopicReader) States() []ReaderState {
	t.mu.Lock()
	defer t.mu.Unlock()
	states := make([]ReaderState, len(t.readers))
	for i, r := range t.readers {
		states[i] = r.State()
	}
	return states
}
