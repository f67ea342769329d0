package kafkalink

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// TopicReader reads all partitions that a topic really has, including those that
// are added later. Every record of an added partition is new, so a reader that
// starts at the end starts at the first record there. Readers of partitions that
// the topic no longer has, because it was made again, end and are forgotten.
type TopicReader struct {
	client  *Client
	watcher *TopicWatcher
	topic   string
	config  func(partition int) ReaderConfig
	sized   func(partitions int)

	mu sync.Mutex
	// mu guards everything that follows.
	readers []*PartitionReader // by partition
}

// NewTopicReader prepares a reader of a topic that the watcher watches; it does no
// I/O. config is called before the reader of a partition starts: once, or again for
// a partition that was gone and came back. The TopicReader sets topic and partition
// in the result.
func NewTopicReader(c *Client, w *TopicWatcher, topic string, config func(partition int) ReaderConfig) *TopicReader {
	return &TopicReader{client: c, watcher: w, topic: topic, config: config}
}

// OnPartitions makes Run call fn each time the topic has another number of
// partitions than before, at first included: after the readers of those that are
// gone have ended, and before those of added ones start. Call it before Run.
func (t *TopicReader) OnPartitions(fn func(partitions int)) { t.sized = fn }

// Run reads until ctx ends, and returns after all readers have ended.
func (t *TopicReader) Run(ctx context.Context) error {
	var running []*runningReader // by partition
	defer func() {
		for _, r := range running {
			<-r.ended
		}
	}()
	for first := true; ; {
		s, wake := t.watcher.Topic(t.topic)
		// A topic that is missing comes back, perhaps with as many partitions.
		if s.Exists() && s.Partitions != len(running) {
			running = t.end(running, s.Partitions)
			if t.sized != nil {
				t.sized(s.Partitions)
			}
			for n := len(running); n < s.Partitions; n++ {
				running = append(running, t.start(ctx, n, !first))
			}
			first = false
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// runningReader is a reader whose Run has been called.
type runningReader struct {
	stop  context.CancelFunc
	ended chan struct{} // closed when Run has returned
}

// start starts the reader of a partition.
func (t *TopicReader) start(ctx context.Context, partition int, added bool) *runningReader {
	cfg := t.config(partition)
	cfg.Topic, cfg.Partition = t.topic, partition
	if added && cfg.Start.kind == startEnd {
		cfg.Start = FromFirst()
	}
	r := NewPartitionReader(t.client, t.watcher, cfg)
	t.mu.Lock()
	t.readers = append(t.readers, r)
	t.mu.Unlock()
	ctx, stop := context.WithCancel(ctx)
	run := &runningReader{stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(run.ended)
		defer stop()
		_ = r.Run(ctx) // returns nil when ctx has ended
	}()
	return run
}

// end ends and forgets the readers from a partition on, and returns the others. It
// waits for them: the next reader of that partition calls the same handler.
func (t *TopicReader) end(running []*runningReader, from int) []*runningReader {
	if from >= len(running) {
		return running
	}
	t.mu.Lock()
	gone := t.readers[from:]
	t.readers = slices.Clone(t.readers[:from])
	t.mu.Unlock()
	for i, r := range running[from:] {
		r.stop()
		gone[i].cfg.Log.Warn("partition no longer exists; its reader ends")
	}
	for _, r := range running[from:] {
		<-r.ended
	}
	return running[:from]
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

// GoBack makes the readers of the given partitions read again from these offsets, if
// they have passed them. States reports the new positions at once. It may be called
// concurrently with Run.
func (t *TopicReader) GoBack(from map[int]int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n, offset := range from {
		if n < len(t.readers) {
			t.readers[n].goBack(offset)
		}
	}
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
		if ends, err := t.ends(ctx); err == nil && t.reach(ctx, time.Now(), ends) {
			return nil
		}
		pause.Reset(maxRetry)
	}
}

// reach waits until the readers are at the given ends, which Kafka reported before a
// moment, for at most readPatience.
func (t *TopicReader) reach(ctx context.Context, reported time.Time, ends []int64) bool {
	poll := time.NewTicker(readPoll)
	defer poll.Stop()
	for since := time.Now(); time.Since(since) < readPatience; {
		if t.reached(reported, ends) {
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

// reached reports whether each reader is at its end, and has asked Kafka for what
// follows since the ends were reported: the position of one that has not may be in the
// log before this one, of a topic that was made again.
func (t *TopicReader) reached(reported time.Time, ends []int64) bool {
	states := t.States()
	if len(states) != len(ends) {
		return false // the watcher, or the metadata of ends, is behind
	}
	for i, end := range ends {
		if states[i].Next < end || states[i].asked.Before(reported) {
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
