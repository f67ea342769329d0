package app

import (
	"testing"

	"github.com/carga-ev/carga/internal/kafkalink"
)

// All partitions must be read to the ends that were seen first. If a log is
// replaced, its partition must be read to the end of the new one.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	e := &catchUp{done: make(chan struct{}), pending: map[partitionKey]struct{}{{"t", 0}: {}, {"t", 1}: {}}}
	whole := func() bool {
		select {
		case <-e.done:
			return true
		default:
			return false
		}
	}
	a, b := e.partition("t", 0), e.partition("t", 1)
	a.opened(kafkalink.Opened{Next: 5, End: 5})
	b.opened(kafkalink.Opened{Next: 3, End: 5})
	b.processed(4)
	b.opened(kafkalink.Opened{Next: 4, End: 9})
	if whole() {
		t.Fatal("t/1 is not read to 5")
	}
	b.logReplaced()
	b.opened(kafkalink.Opened{Next: 0, End: 3})
	b.processed(1)
	if whole() {
		t.Fatal("of the other log one record of 3 was read")
	}
	b.processed(3)
	b.processed(4)
	if !whole() {
		t.Fatal("all is read")
	}
	var none *catchUp
	none.partition("t", 0).opened(kafkalink.Opened{Next: 1, End: 1}) // no catchUp to notify
}

// A partition that is gone before its reader saw its end, or before it had a reader,
// is not waited for.
func TestCatchUpWithoutThePartitionsThatAreGone(t *testing.T) {
	t.Parallel()
	e := &catchUp{done: make(chan struct{}), pending: map[partitionKey]struct{}{{"t", 0}: {}, {"t", 1}: {}, {"t", 2}: {}, {"u", 2}: {}}}
	e.partitions("t", 1)
	if len(e.pending) != 2 {
		t.Fatalf("pending %v, want t/0 and u/2", e.pending)
	}
	e.partition("t", 0).opened(kafkalink.Opened{})
	e.partitions("u", 2)
	<-e.done
	e.partitions("u", 1)
	var none *catchUp
	none.partitions("t", 1)
}
