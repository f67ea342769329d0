package kafkalink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"

	"github.com/carga-ev/carga/internal/crashpoint"
)

// requests sends the batches of all lanes: to each broker one request at a time,
// which holds one batch for each partition that has something to write. While it
// is under way the next one fills. So a record leaves at once when there is
// little to do, and under load a request is as large as the broker is slow: each
// request has a cost in Kafka that does not depend on its size.
//
// Kafka answers a request when the slowest of its partitions has its copies. A
// partition that fails, or has no known leader, is therefore sent alone, beside
// the others, until it has succeeded; and a shared request waits for copies for
// sharedTimeout only.
type requests struct {
	client  *Client
	leader  func(topic string, partition int) (broker int, known bool)
	running sync.WaitGroup

	mu sync.Mutex
	// mu guards everything that follows.
	brokers map[int]*outbound
}

// outbound is what goes to one broker.
type outbound struct {
	waiting []*offer
	busy    bool // a goroutine sends
}

// offer is a lane's readiness to send a batch. The batch is taken when the
// request is built, so that it holds what came meanwhile.
type offer struct {
	lane  *lane
	next  func(bytes int) []entry
	batch []entry
	reply chan reply // capacity 1
	// settled is closed when the lane knows of the reply and has made its next
	// offer, if it has more. The next request is not built before, or the
	// partitions of one request would always miss the next.
	settled chan struct{}
}

// settle lets the next request be built. It may be called on nil, for a batch
// that was sent alone.
func (o *offer) settle() {
	if o != nil {
		close(o.settled)
	}
}

// reply is what became of a batch.
type reply struct {
	batch  []entry // as it was taken; empty if nothing was left
	offset int64   // of its first record
	err    error
}

const (
	// sharedTimeout is how long a broker may wait for copies of a shared request.
	sharedTimeout = time.Second
	// maxRequestBytes bounds one request; brokers take 100 MiB by default.
	maxRequestBytes = 8 << 20
)

func newRequests(c *Client, leader func(string, int) (int, bool)) *requests {
	return &requests{client: c, leader: leader, brokers: map[int]*outbound{}}
}

// offer makes a lane's batch part of the next request to the broker that leads
// its partition. It returns nil if no leader is known.
func (q *requests) offer(ctx context.Context, n *lane, next func(bytes int) []entry) *offer {
	broker, known := q.leader(n.topic, n.partition)
	if !known {
		return nil
	}
	o := &offer{lane: n, next: next, reply: make(chan reply, 1), settled: make(chan struct{})}
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.brokers[broker]
	if b == nil {
		b = &outbound{}
		q.brokers[broker] = b
	}
	b.waiting = append(b.waiting, o)
	if !b.busy {
		b.busy = true
		q.running.Go(func() { q.serve(ctx, b) })
	}
	return o
}

// alone sends a lane's batch in a request of its own.
func (q *requests) alone(ctx context.Context, n *lane, next func(bytes int) []entry) reply {
	o := &offer{lane: n, batch: next(maxBatchBytes)}
	if len(o.batch) == 0 {
		return reply{}
	}
	return q.client.produce(ctx, requestTimeout, []*offer{o})[0]
}

// serve sends to a broker as long as there is something to send.
func (q *requests) serve(ctx context.Context, b *outbound) {
	for {
		offers, more := q.collect(b)
		if !more {
			return
		}
		if len(offers) == 0 {
			continue // their records have just been moved to other lanes
		}
		for i, r := range q.client.produce(ctx, sharedTimeout, offers) {
			offers[i].reply <- r
		}
		for _, o := range offers {
			<-o.settled
		}
	}
}

// collect takes the batches of the next request. It reports false if no lane waits;
// the sender then ends.
func (q *requests) collect(b *outbound) (offers []*offer, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(b.waiting) == 0 {
		b.busy = false
		return nil, false
	}
	space := maxRequestBytes
	for i, o := range b.waiting {
		if space < maxBatchBytes {
			b.waiting = append([]*offer(nil), b.waiting[i:]...)
			return offers, true
		}
		if o.batch = o.next(maxBatchBytes); len(o.batch) == 0 {
			o.reply <- reply{}
			continue
		}
		for i := range o.batch {
			space -= o.batch[i].size
		}
		offers = append(offers, o)
	}
	b.waiting = nil
	return offers, true
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// wait waits until nothing is sent any more.
func (q *requests) wait() { q.running.Wait() }

// produce sends one request, and returns what became of each batch.
func (c *Client) produce(ctx context.Context, copies time.Duration, offers []*offer) []reply {
	replies := make([]reply, len(offers))
	req := &produce.Request{Acks: int16(kafka.RequireAll), Timeout: int32(copies.Milliseconds())}
	index := make(map[string]int, 4)            // of req.Topics
	offered := make(map[place]int, len(offers)) // of offers
	for i, o := range offers {
		replies[i] = reply{batch: o.batch, err: io.ErrUnexpectedEOF} // not answered
		at := place{o.lane.topic, int32(o.lane.partition)}
		offered[at] = i
		t, ok := index[at.topic]
		if !ok {
			t = len(req.Topics)
			index[at.topic] = t
			req.Topics = append(req.Topics, produce.RequestTopic{Topic: at.topic})
		}
		req.Topics[t].Partitions = append(req.Topics[t].Partitions, produce.RequestPartition{
			Partition: at.partition, RecordSet: protocol.RecordSet{Records: &batchReader{batch: o.batch}},
		})
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	crashpoint.During(crashpoint.Producing)
	m, err := c.transport.RoundTrip(ctx, c.api.Addr, req)
	if err != nil {
		for i := range replies {
			replies[i].err = fmt.Errorf("produce: %w", err)
		}
		return replies
	}
	res, ok := m.(*produce.Response)
	if !ok {
		return replies
	}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if i, ok := offered[place{t.Topic, p.Partition}]; ok {
				replies[i].offset, replies[i].err = p.BaseOffset, produceError(p)
			}
		}
	}
	return replies
}

func produceError(p produce.ResponsePartition) error {
	switch {
	case p.ErrorCode == 0:
		return nil
	case p.ErrorMessage == "":
		return kafka.Error(p.ErrorCode)
	}
	return fmt.Errorf("%w: %s", kafka.Error(p.ErrorCode), p.ErrorMessage)
}

// notSent reports that kafka-go could not choose the broker of a request: what it
// knows of the leaders differs from what the requests were built by.
func notSent(err error) bool {
	_, ok := errors.AsType[*produce.Error](err)
	return ok
}
