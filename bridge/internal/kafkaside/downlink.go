package kafkaside

import (
	"context"
	"log/slog"
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
		d := &downlink{side: s, publisher: p}
		opened := func(o kafkalink.Opened) { d.core.Opened(o.End) }
		return kafkalink.ReaderConfig{Start: start, Opened: opened, Handle: d.handle, Log: s.log}
	})
}

// downlink publishes what the core selects of one partition. Only the goroutine of its
// reader uses it.
type downlink struct {
	side      *Side
	publisher Publisher
	core      forward.Downlink
}

// handle publishes a batch and returns when the broker has confirmed all of it. It is
// called again with what it did not finish only after a restart.
func (d *downlink) handle(ctx context.Context, b kafkalink.Batch) error {
	read := time.Now()
	crashpoint.At(crashpoint.OrderFetched)
	records := make([]route.CommandRecord, len(b.Messages))
	for i, m := range b.Messages {
		records[i] = route.CommandRecord{
			Key: string(m.Key), Value: m.Value, Kind: string(m.Header(wire.HeaderKind)),
			Partition: b.Partition, Offset: m.Offset, At: charge.At(read),
		}
	}
	queue, dead := d.core.Read(d.side.cfg.Router, records, b.Next)
	for _, m := range dead { // lost only when the bridge stops; the record stays in the log
		d.side.cfg.Core.Receive(m)
	}
	if err := d.publishAll(ctx, queue, read); err != nil {
		return err
	}
	crashpoint.At(crashpoint.Confirmed)
	return nil
}

// publishAll publishes in order. After a lost connection it continues with the
// first message that was not confirmed. That may repeat a command, which has one
// effect however often it arrives, and an acknowledgement, of which the last one
// counts.
func (d *downlink) publishAll(ctx context.Context, queue []route.Publish, read time.Time) error {
	for len(queue) > 0 {
		if err := d.publisher.Await(ctx); err != nil {
			return err
		}
		n := d.publishWindow(ctx, queue, read)
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
func (d *downlink) publishWindow(ctx context.Context, queue []route.Publish, read time.Time) int {
	queue = queue[:min(len(queue), maxInFlight)]
	confirmed := make([]func(context.Context) error, 0, len(queue))
	for _, p := range queue {
		if p.Stale(charge.At(time.Now()), time.Since(read)) {
			d.side.stale.Add(1)
			confirmed = append(confirmed, nil)
			continue
		}
		c, err := d.publisher.Publish(ctx, p)
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
