package kafkalink

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/segmentio/kafka-go"
)

// Batches that cannot be decoded. A broker refuses them when they are produced,
// but its disk may be damaged later: then the same answer comes for ever, and
// what lies behind it would never be read. All senders whose words matter say
// again what nobody confirmed, so such a batch is passed over.
const (
	// damagedTries is how often in a row the place must fail, while the same
	// broker answers everything else, before it counts as damaged.
	damagedTries = 5
	// maxDamage bounds the offsets looked at in one go for the end of it.
	maxDamage = 10_000
)

// skipUndecodable notes that the records at the place could not be fetched although
// the place was just found, and passes over them once that is sure. It returns
// the error to go on with.
func (r *PartitionReader) skipUndecodable(ctx context.Context, err error) error {
	if !isContentError(ctx, err) {
		r.undecodedTries = 0
		return err
	}
	if r.undecodedTries++; r.undecodedTries < damagedTries {
		return err
	}
	behind, found := r.endOfDamage(ctx)
	if !found {
		return err
	}
	if _, _, again := r.fetch(ctx, r.next, fetchBytes); !isContentError(ctx, again) {
		r.undecodedTries = 0 // the line was bad, not the log
		return err
	}
	r.cfg.Log.Error("records that cannot be decoded are passed over", slog.Int64("offset", r.next), slog.Int64("records", behind-r.next), slog.String("err", err.Error()))
	r.mu.Lock()
	r.state.Unreadable += uint64(behind - r.next) //nolint:gosec // behind is greater
	r.mu.Unlock()
	r.next, r.undecodedTries = behind, 0
	return err
}

// endOfDamage finds the first offset behind the place that can be fetched. A
// broker answers each offset within a batch with the whole batch.
func (r *PartitionReader) endOfDamage(ctx context.Context) (offset int64, found bool) {
	_, end, err := r.bounds(ctx)
	if err != nil {
		return 0, false
	}
	for offset = r.next + 1; offset < min(end, r.next+maxDamage); offset++ {
		_, _, err := r.fetch(ctx, offset, fetchBytes)
		switch {
		case err == nil || errors.Is(err, errNoRecord):
			return offset, true
		case !isContentError(ctx, err):
			return 0, false
		}
	}
	return 0, false
}

// isContentError reports whether a fetch failed by what came, not by how: neither
// the broker refused it nor the network broke.
func isContentError(ctx context.Context, err error) bool {
	_, refused := errors.AsType[kafka.Error](err)
	_, network := errors.AsType[net.Error](err)
	return err != nil && ctx.Err() == nil && !refused && !network && !errors.Is(err, errNoRecord) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed)
}
