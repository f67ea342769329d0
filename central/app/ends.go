package app

import (
	"context"
	"fmt"
	"sync"

	"github.com/carga-ev/carga/internal/kafkalink"
)

// ends are partitions that are to be read to the ends that were seen.
type ends struct {
	reached chan struct{} // closed when all are

	mu   sync.Mutex
	open map[string]struct{} // guarded by mu; those that are not
}

// endsOf waits until Kafka knows the topics.
func (l *link) endsOf(ctx context.Context, topics ...string) (*ends, error) {
	e := &ends{reached: make(chan struct{}), open: map[string]struct{}{}}
	for _, topic := range topics {
		n, err := l.keeper.Wait(ctx, topic)
		if err != nil {
			return nil, err
		}
		for p := range n {
			e.open[partitionName(topic, p)] = struct{}{}
		}
	}
	return e, nil
}

func partitionName(topic string, partition int) string { return fmt.Sprintf("%s/%d", topic, partition) }

// reach notes that a partition was read to its end; again means nothing.
func (e *ends) reach(topic string, partition int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := partitionName(topic, partition)
	if _, open := e.open[name]; !open {
		return
	}
	if delete(e.open, name); len(e.open) == 0 {
		close(e.reached)
	}
}

// tail is a partition on its way to the end of its log as this life first saw
// it. Only the reader of the partition uses it.
type tail struct {
	end     int64  // -1 until it is seen
	reached func() // called there, more than once too; nil: nobody waits
}

// tail follows a partition. Of no ends it only notes where the log ended.
func (e *ends) tail(topic string, partition int) *tail {
	t := &tail{end: -1}
	if e != nil {
		t.reached = func() { e.reach(topic, partition) }
	}
	return t
}

// opened is kafkalink's Opened.
func (t *tail) opened(o kafkalink.Opened) {
	if t.end < 0 {
		t.end = o.End
	}
	t.took(o.Next)
}

// took says that everything before next was taken.
func (t *tail) took(next int64) {
	if t.reached != nil && next >= t.end {
		t.reached()
	}
}

// replaced says that the log is another one, whose end is still to be seen.
func (t *tail) replaced() { t.end = -1 }
