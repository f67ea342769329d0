package kafkalink

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
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

const (
	// readPoll is how often ReadToEnd looks at the positions of the readers.
	readPoll = 100 * time.Millisecond
	// readPatience is when ReadToEnd asks for the ends again: a log that was
	// replaced may never reach the end of the one before.
	readPatience = 10 * time.Second
)

// ReadToEnd returns nil once Handle has accepted every record that the topic held
// when ReadToEnd was called, those of partitions added just before included. It
// waits as long as that takes, and returns an error only when ctx ends. Run must be
// running; ReadToEnd may be called concurrently with it.
func (t *TopicReader) ReadToEnd(ctx context.Context) error {
	pause := time.NewTimer(metadataTTL) // the client answers from metadata that may be as old as that
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if ends, err := t.ends(ctx); err == nil && t.reach(ctx, ends) {
			return nil
		}
		pause.Reset(maxRetry)
	}
}

// reach waits until the readers are at the given ends, for at most readPatience.
func (t *TopicReader) reach(ctx context.Context, ends []int64) bool {
	poll := time.NewTicker(readPoll)
	defer poll.Stop()
	for since := time.Now(); time.Since(since) < readPatience; {
		if t.reached(ends) {
			return true
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return false
		}
	}
	return false
}

func (t *TopicReader) reached(ends []int64) bool {
	states := t.States()
	if len(states) < len(ends) {
		return false // a partition that the watcher has not noticed yet
	}
	for i, end := range ends {
		if states[i].Next < end {
			return false
		}
	}
	return true
}

// ends returns the end of each partition that the topic has now.
func (t *TopicReader) ends(ctx context.Context) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	m, err := t.client.api.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{t.topic}})
	if err != nil {
		return nil, err
	}
	if len(m.Topics) != 1 || m.Topics[0].Error != nil {
		return nil, fmt.Errorf("topic %s: no metadata", t.topic)
	}
	var ask []kafka.OffsetRequest
	for n := range m.Topics[0].Partitions {
		ask = append(ask, kafka.LastOffsetOf(n))
	}
	res, err := t.client.api.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{t.topic: ask}})
	if err != nil {
		return nil, err
	}
	ends := make([]int64, len(ask))
	answered := 0
	for _, p := range res.Topics[t.topic] {
		if p.Error != nil {
			return nil, p.Error
		}
		if p.Partition < len(ends) {
			ends[p.Partition] = p.LastOffset
			answered++
		}
	}
	if answered != len(ends) {
		return nil, errNoAnswer
	}
	return ends, nil
}
