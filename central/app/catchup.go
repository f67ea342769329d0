package app

import (
	"context"
	"fmt"
	"sync"

	"github.com/carga-ev/carga/internal/kafkalink"
)

// catchUp are partitions that are to be read to the ends that were seen.
type catchUp struct {
	done chan struct{} // closed when all are

	mu      sync.Mutex
	pending map[string]struct{} // guarded by mu; those that are not
}

// catchUpOf waits until Kafka knows the topics.
func (l *kafkaIO) catchUpOf(ctx context.Context, topics ...string) (*catchUp, error) {
	e := &catchUp{done: make(chan struct{}), pending: map[string]struct{}{}}
	for _, topic := range topics {
		n, err := l.keeper.Wait(ctx, topic)
		if err != nil {
			return nil, err
		}
		for p := range n {
			e.pending[partitionName(topic, p)] = struct{}{}
		}
	}
	return e, nil
}

func partitionName(topic string, partition int) string { return fmt.Sprintf("%s/%d", topic, partition) }

// partitionDone notes that a partition was read to its end; again means nothing.
func (e *catchUp) partitionDone(topic string, partition int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := partitionName(topic, partition)
	if _, open := e.pending[name]; !open {
		return
	}
	if delete(e.pending, name); len(e.pending) == 0 {
		close(e.done)
	}
}

// partitionEnd is a partition on its way to the end of its log as this life first saw
// it. Only the reader of the partition uses it.
type partitionEnd struct {
	end  int64  // -1 until it is seen
	done func() // called there, more than once too; nil: nobody waits
}

// partition follows a partition. Of no ends it only notes where the log ended.
func (e *catchUp) partition(topic string, partition int) *partitionEnd {
	t := &partitionEnd{end: -1}
	if e != nil {
		t.done = func() { e.partitionDone(topic, partition) }
	}
	return t
}

// opened is kafkalink's Opened.
func (t *partitionEnd) opened(o kafkalink.Opened) {
	if t.end < 0 {
		t.end = o.End
	}
	t.processed(o.Next)
}

// processed says that everything before next was taken.
func (t *partitionEnd) processed(next int64) {
	if t.done != nil && next >= t.end {
		t.done()
	}
}

// logReplaced says that the log is another one, whose end is still to be seen.
func (t *partitionEnd) logReplaced() { t.end = -1 }
