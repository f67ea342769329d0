package kafkaside

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/bridge/forward"
	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/wire"
)

// lookBack is how far back cp-commands is read after a start. Commands live for
// one minute at most.
const lookBack = 2 * time.Minute

// maxInFlight bounds the messages that are published and not yet confirmed, per
// partition.
const maxInFlight = 64

// lossPause gives a lost connection time to be detected before the next attempt.
const lossPause = 20 * time.Millisecond

// commandReader returns the reader of cp-commands.
func (s *Side) commandReader(p Publisher) *kafkalink.TopicReader {
	start := kafkalink.FromTime(time.Now().Add(-lookBack))
	return kafkalink.NewTopicReader(s.client, s.topics, s.cfg.Router.Kafka.Commands, func(int) kafkalink.ReaderConfig {
		d := &downlink{side: s, publisher: p, acks: map[charge.CPID]route.Publish{}}
		return kafkalink.ReaderConfig{Start: start, Opened: d.opened, Handle: d.handle, Log: s.log}
	})
}

// downlink publishes the records of one partition. Only the goroutine of its
// reader uses it.
type downlink struct {
	side      *Side
	publisher Publisher

	// backlogEnd is the end of the log when the reader located its position:
	// records before it are the backlog.
	backlogEnd int64
	// acks are the last acknowledgements of the backlog, which are published at
	// its end.
	acks map[charge.CPID]route.Publish
}

// opened is called whenever the reader has located its position: at the start,
// and again after Kafka was away.
func (d *downlink) opened(o kafkalink.Opened) { d.backlogEnd = max(d.backlogEnd, o.End) }

// handle publishes a batch and returns when the broker has confirmed all of it.
func (d *downlink) handle(ctx context.Context, b kafkalink.Batch) error {
	read := time.Now()
	crashpoint.At(crashpoint.OrderFetched)
	var queue []outgoing
	for _, m := range b.Messages {
		p, ok := d.decide(b, m)
		switch {
		case !ok:
		case p.Retained:
			d.acks[p.CP] = p // of acknowledgements the last one of a batch is enough, too
		default:
			queue = append(queue, outgoing{Publish: p, read: read, backlog: m.Offset < d.backlogEnd})
		}
	}
	if b.Next >= d.backlogEnd {
		for _, cp := range slices.Sorted(maps.Keys(d.acks)) {
			queue = append(queue, outgoing{Publish: d.acks[cp]})
		}
	}
	if err := d.publishAll(ctx, queue); err != nil {
		return err
	}
	crashpoint.At(crashpoint.Confirmed)
	if b.Next >= d.backlogEnd {
		clear(d.acks)
	}
	return nil
}

// decide returns the message of a record, or writes a dead letter.
func (d *downlink) decide(b kafkalink.Batch, m kafkalink.Message) (route.Publish, bool) {
	p, dead := d.side.cfg.Router.Down(route.CommandRecord{
		Key: string(m.Key), Value: m.Value, Kind: string(m.Header(wire.HeaderKind)),
		Partition: b.Partition, Offset: m.Offset, At: charge.At(time.Now()),
	})
	if dead == nil {
		return p, true
	}
	// It is lost only when the bridge stops; the record stays in the log.
	d.side.cfg.Core.Receive(&forward.Message{Decision: *dead, ReceivedAt: time.Now()})
	return route.Publish{}, false
}

// outgoing is a message to publish.
type outgoing struct {
	route.Publish
	read    time.Time // when the bridge read it
	backlog bool      // it was in the log at the start
}

// publishAll publishes in order. After a lost connection it continues with the
// first message that was not confirmed. That may repeat a command, which has one
// effect however often it arrives, and an acknowledgement, of which the last one
// counts.
func (d *downlink) publishAll(ctx context.Context, queue []outgoing) error {
	for len(queue) > 0 {
		if err := d.publisher.Await(ctx); err != nil {
			return err
		}
		n := d.publishWindow(ctx, queue)
		queue = queue[n:]
		if n == 0 { // the connection is lost, which is not detected yet
			select {
			case <-time.After(lossPause):
			case <-ctx.Done():
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// publishWindow publishes the first messages of the queue, and returns how many
// of them are confirmed or expired.
func (d *downlink) publishWindow(ctx context.Context, queue []outgoing) int {
	queue = queue[:min(len(queue), maxInFlight)]
	confirmed := make([]func(context.Context) error, 0, len(queue))
	for _, w := range queue {
		if w.Stale(charge.At(time.Now()), time.Since(w.read), w.backlog) {
			d.side.stale.Add(1)
			confirmed = append(confirmed, nil)
			continue
		}
		c, err := d.publisher.Publish(ctx, w.Publish)
		if err != nil {
			break
		}
		crashpoint.At(crashpoint.Published)
		confirmed = append(confirmed, c)
	}
	for i, c := range confirmed {
		if c == nil {
			continue
		}
		if err := c(ctx); err != nil {
			if ctx.Err() == nil {
				d.side.log.Debug("message to a charging point not confirmed; publishing again", slog.String("err", err.Error()))
			}
			return i
		}
		d.side.published.Add(1)
	}
	return len(confirmed)
}
