package app

import (
	"context"
	"sync"

	"github.com/carga-ev/carga/internal/kafkalink"
)

// catchUp waits until partitions have been read up to the end that each of them
// had when its reader first saw it. Records that are appended later do not
// count, so the wait ends although Kafka is being written to.
type catchUp struct {
	done chan struct{} // closed when pending is empty

	mu sync.Mutex
	// pending are the partitions that have not reached their end, guarded by
	// mu.
	pending map[partitionKey]struct{}
}

// catchUpOf returns a catchUp of all partitions of some topics. It waits until
// Kafka has reported how many there are.
func (l *kafkaIO) catchUpOf(ctx context.Context, topics ...string) (*catchUp, error) {
	e := &catchUp{done: make(chan struct{}), pending: map[partitionKey]struct{}{}}
	for _, topic := range topics {
		n, err := l.topics.Wait(ctx, topic)
		if err != nil {
			return nil, err
		}
		for p := range n {
			e.pending[partitionKey{topic, p}] = struct{}{}
		}
	}
	return e, nil
}

// partitionKey is one partition of a topic.
type partitionKey struct {
	topic     string
	partition int
}

// partitionDone notes that a partition has reached its end. It may be called
// more than once.
func (e *catchUp) partitionDone(topic string, partition int) {
	e.drop(func(k partitionKey) bool { return k == partitionKey{topic, partition} })
}

// partitions notes how many partitions a topic has now. Those that are gone,
// because the topic was made again, have no end that could be reached. e may be
// nil.
func (e *catchUp) partitions(topic string, n int) {
	if e != nil {
		e.drop(func(k partitionKey) bool { return k.topic == topic && k.partition >= n })
	}
}

// drop removes pending partitions.
func (e *catchUp) drop(which func(partitionKey) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.pending) == 0 {
		return
	}
	for k := range e.pending {
		if which(k) {
			delete(e.pending, k)
		}
	}
	if len(e.pending) == 0 {
		close(e.done)
	}
}

// partitionEnd is the end of one partition as its reader first saw it. Only
// that reader uses it.
type partitionEnd struct {
	end int64 // -1 until the reader has seen it
	// done is called when the end is reached, possibly more than once; nil if
	// there is no catchUp.
	done func()
}

// partition returns the end of a partition, to be passed to its reader. e may
// be nil: then the end is only noted, which the reader needs to distinguish
// records from before this run.
func (e *catchUp) partition(topic string, partition int) *partitionEnd {
	t := &partitionEnd{end: -1}
	if e != nil {
		t.done = func() { e.partitionDone(topic, partition) }
	}
	return t
}

// opened implements kafkalink.ReaderConfig.Opened.
func (t *partitionEnd) opened(o kafkalink.Opened) {
	if t.end < 0 {
		t.end = o.End
	}
	t.processed(o.Next)
}

// processed notes that every record before next has been processed.
func (t *partitionEnd) processed(next int64) {
	if t.done != nil && next >= t.end {
		t.done()
	}
}

// logReplaced notes that Kafka's log was replaced by another one, whose end the
// reader has still to see.
func (t *partitionEnd) logReplaced() { t.end = -1 }
