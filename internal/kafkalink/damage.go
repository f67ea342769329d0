package kafkalink

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/segmentio/kafka-go"
)

// Batches that cannot be decoded. A broker refuses them when they are produced,
// but its disk may be damaged later. Then every fetch returns the same bytes,
// and the records behind them would never be read. Such a batch is skipped:
// senders of durable records repeat what Central has not acknowledged.
const (
	// damagedTries is how often in a row a fetch at one offset must fail, while
	// the same broker answers everything else, before its batch counts as
	// damaged.
	damagedTries = 5
	// maxDamage bounds the offsets that are tried in one search for the end of
	// the damage.
	maxDamage = 10_000
)

// skipUndecodable counts that the records at the present offset could not be
// decoded although the reader has just located it, and skips them once damage is
// certain. It returns the error with which the reader retries.
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
		r.undecodedTries = 0 // the connection was bad, not the log
		return err
	}
	r.cfg.Log.Error("records that cannot be decoded are skipped", slog.Int64("offset", r.next), slog.Int64("records", behind-r.next), slog.String("err", err.Error()))
	r.mu.Lock()
	r.state.Unreadable += uint64(behind - r.next) //nolint:gosec // behind is greater
	r.mu.Unlock()
	r.next, r.undecodedTries = behind, 0
	return err
}

// endOfDamage returns the first offset behind the present one that can be
// fetched. A broker answers each offset within a batch with the whole batch, so
// that offsets are tried one by one.
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

// isContentError reports whether a fetch failed because of the bytes received:
// neither did the broker refuse it nor the network fail.
func isContentError(ctx context.Context, err error) bool {
	_, refused := errors.AsType[kafka.Error](err)
	_, network := errors.AsType[net.Error](err)
	return err != nil && ctx.Err() == nil && !refused && !network && !errors.Is(err, errNoRecord) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed)
}
