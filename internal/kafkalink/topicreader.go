package kafkalink

import (
	"context"
	"sync"
)

// TopicReader reads all partitions that a topic really has, including those that
// are added later. Every record of an added partition is new, so a reader that
// starts at the end starts at the first record there.
type TopicReader struct {
	client  *Client
	watcher *TopicWatcher
	topic   string
	config  func(partition int) ReaderConfig

	mu sync.Mutex
	// mu guards everything that follows.
	readers []*PartitionReader // by partition
}

// NewTopicReader prepares a reader of a topic that the watcher watches; it does no
// I/O. config is called once per partition, before its reader starts. The
// TopicReader sets topic and partition in the result.
func NewTopicReader(c *Client, w *TopicWatcher, topic string, config func(partition int) ReaderConfig) *TopicReader {
	return &TopicReader{client: c, watcher: w, topic: topic, config: config}
}

// Run reads until ctx ends, and returns after all readers have ended.
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
			running.Go(func() { _ = r.Run(ctx) }) // returns nil when ctx has ended
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// States returns the state of each partition's reader, by partition.
func (t *TopicReader) States() []ReaderState {
	t.mu.Lock()
	defer t.mu.Unlock()
	states := make([]ReaderState, len(t.readers))
	for i, r := range t.readers {
		states[i] = r.State()
	}
	return states
}
