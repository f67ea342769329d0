package kafkalink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/backoff"
	"github.com/carga-ev/carga/internal/reason"
)

const (
	// fetchWait is how long a broker waits for new records before it answers.
	fetchWait = 500 * time.Millisecond
	// fetchTimeout is when a broker that accepted a request counts as frozen.
	fetchTimeout  = 5 * time.Second
	fetchBytes    = 1 << 20
	maxHandled    = 1000
	shorterNeeded = 3 // observations in a row; see seemsShorter
)

// ReaderConfig configures a PartitionReader.
type ReaderConfig struct {
	Topic     string
	Partition int
	Start     Start
	// Handle receives every batch, in order, one at a time. After an error it
	// receives the same batch again, after a pause; nothing is skipped. It runs
	// on the goroutine of Run.
	Handle func(ctx context.Context, b Batch) error
	// Replaced, if set, is called when the log was replaced, before the first
	// batch of the new log.
	Replaced func(Replaced)
	// Opened, if set, is called each time the reader has located its position.
	Opened func(Opened)
	Rand   *rand.Rand
	Log    *slog.Logger
}

// ReaderState is the state of a reader, for pages and logs.
type ReaderState struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	// Reading reports that the last request succeeded.
	Reading       bool      `json:"reading"`
	Since         time.Time `json:"since"` // when Reading last changed
	Next          int64     `json:"next"`
	HighWatermark int64     `json:"high_watermark"`
	Records       uint64    `json:"records"` // handled
	// Unreadable counts the offsets that were skipped because their batches
	// cannot be decoded.
	Unreadable uint64 `json:"unreadable,omitempty"`
	Replaced   uint64 `json:"replaced"`
	// Stuck counts the errors in a row that Handle returned for the present
	// batch.
	Stuck     int    `json:"stuck,omitempty"`
	LastError string `json:"last_error,omitempty"`
	// Reason explains LastError to a person.
	Reason reason.Reason `json:"reason,omitzero"`

	asked time.Time // when the last request that succeeded was sent
}

// Lag is how many records wait to be read, as of the last answer.
func (s ReaderState) Lag() int64 { return max(0, s.HighWatermark-s.Next) }

// PartitionReader reads one partition, for ever. It keeps the position in
// memory; the owner stores it (Batch.Next and Batch.CRC) if it has to survive a
// restart. Only the goroutine of Run changes the position; State may be called
// concurrently.
type PartitionReader struct {
	cfg            ReaderConfig
	client         *Client
	watcher        *TopicWatcher
	retrier        retrier
	handlerBackoff *backoff.Backoff

	located        bool  // next is valid
	next           int64 // the offset to read next
	lastCRC        uint32
	lastOffset     int64     // the record before next, of which lastCRC is the Fingerprint
	hasLast        bool      // lastOffset and lastCRC are valid
	undecodedTries int       // answers in a row that could not be decoded
	shorterTries   int       // observations in a row of a log that ends before next
	end            int64     // of the log, when it was last asked for …
	endAt          time.Time // … and the moment before that request

	mu sync.Mutex
	// mu guards everything that follows.
	state ReaderState
	back  int64 // the offset to go back to; noOffset: none
}

// noOffset is no offset of a record.
const noOffset = -1

// NewPartitionReader prepares a reader; it does no I/O.
func NewPartitionReader(c *Client, k *TopicWatcher, cfg ReaderConfig) *PartitionReader {
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With(slog.String("topic", cfg.Topic), slog.Int("partition", cfg.Partition))
	return &PartitionReader{
		cfg: cfg, client: c, watcher: k,
		retrier:        retrier{backoff: backoff.New(minRetry, maxRetry, cfg.Rand), watcher: k},
		handlerBackoff: backoff.New(minRetry, maxRetry, cfg.Rand),
		state:          ReaderState{Topic: cfg.Topic, Partition: cfg.Partition, Since: time.Now()},
		back:           noOffset,
	}
}

// Run reads until ctx ends. Call it once.
func (r *PartitionReader) Run(ctx context.Context) error {
	for {
		t, wake := r.watcher.Topic(r.cfg.Topic)
		if t.Partitions <= r.cfg.Partition {
			select {
			case <-wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if err := r.read(ctx); !r.retry(ctx, err, wake) {
			return nil
		}
	}
}

// retry records why reading ended, and waits. It reports false when ctx has
// ended.
func (r *PartitionReader) retry(ctx context.Context, err error, wake <-chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	r.noteReadError(err)
	return r.retrier.wait(ctx, err, wake)
}

// read locates the position and reads from there until an error.
func (r *PartitionReader) read(ctx context.Context) error {
	if err := r.locate(ctx); err != nil {
		return err
	}
	for {
		r.applyGoBack()
		asked := time.Now()
		messages, end, err := r.fetch(ctx, r.next, fetchBytes)
		if errors.Is(err, errNoRecord) {
			r.next++
			continue
		}
		if err != nil { // for an offset out of range, locate finds the reason
			return r.skipUndecodable(ctx, err)
		}
		r.undecodedTries = 0
		r.noteAnswer(end, asked)
		var after time.Time
		if r.next >= r.end {
			after = r.endAt
		}
		r.end, r.endAt = end, asked
		for len(messages) > 0 {
			n := min(len(messages), maxHandled)
			if err := r.handle(ctx, messages[:n], end, after); err != nil {
				return err
			}
			messages = messages[n:]
		}
	}
}

// locate resolves the start, or verifies that the log is still the one that was
// read.
func (r *PartitionReader) locate(ctx context.Context) error {
	asked := time.Now()
	first, end, err := r.bounds(ctx)
	if err != nil {
		return fmt.Errorf("locate the position: %w", err)
	}
	r.end, r.endAt = end, asked
	if !r.located {
		err = r.resolveStart(ctx, first, end)
	} else {
		err = r.verify(ctx, first, end)
	}
	if err != nil {
		return fmt.Errorf("locate the position: %w", err)
	}
	if r.cfg.Opened != nil {
		r.cfg.Opened(Opened{Topic: r.cfg.Topic, Partition: r.cfg.Partition, Next: r.next, End: end})
	}
	return nil
}

// resolveStart resolves the configured start. end was requested before
// everything else, so that what is written meanwhile lies behind it.
func (r *PartitionReader) resolveStart(ctx context.Context, first, end int64) error {
	s := r.cfg.Start
	switch s.kind {
	case startFirst:
		r.seek(first)
	case startOffset:
		r.next, r.lastCRC, r.lastOffset, r.hasLast = s.next, s.crc, s.next-1, true
		if err := r.verify(ctx, first, end); err != nil {
			return err
		}
		r.located = true
	case startTime:
		at, err := r.offsetOf(ctx, s.since)
		if err != nil {
			return err
		}
		if at < 0 { // no record is as late
			at = end
		}
		r.seek(at)
	case startEnd:
		r.seek(end)
	case startLast:
		r.seek(max(first, end-s.next))
	}
	return nil
}

// seek sets the next offset; nothing is known of the record before it.
func (r *PartitionReader) seek(next int64) {
	r.located, r.next, r.hasLast, r.shorterTries = true, next, false, 0
}

// verify compares the record before the position with the one that was read, by
// its Fingerprint: brokers number the records of a new log from 0 again.
func (r *PartitionReader) verify(ctx context.Context, first, end int64) error {
	switch {
	case end < r.next:
		return r.seemsShorter(first)
	case first > r.next:
		r.replaced(ReasonExpired, first)
		return nil
	case !r.hasLast:
		return nil
	case first > r.lastOffset: // all that was read has expired since
		r.shorterTries, r.hasLast = 0, false
		return nil
	}
	messages, _, err := r.fetch(ctx, r.lastOffset, 1)
	switch {
	case errors.Is(err, errNoRecord): // another record, or none, is at this offset now
		r.replaced(ReasonDifferent, first)
		return nil
	case isContentError(ctx, err) && r.undecodedTries >= damagedTries: // damaged: it can no longer be compared
		r.undecodedTries, r.hasLast = 0, false
		return nil
	case isContentError(ctx, err):
		r.undecodedTries++
		return err
	case err != nil:
		return err
	case len(messages) == 0:
		return errors.New("the record before the position was not delivered")
	}
	r.shorterTries = 0
	m := messages[0]
	if m.Offset != r.lastOffset || Fingerprint(m.Key, m.Value) != r.lastCRC {
		r.replaced(ReasonDifferent, first)
	}
	return nil
}

// seemsShorter accepts that the log is shorter after a few observations: just
// after an election, a leader may not know the end of its log.
func (r *PartitionReader) seemsShorter(first int64) error {
	if r.shorterTries++; r.shorterTries < shorterNeeded {
		return fmt.Errorf("the log seems to end before offset %d", r.next)
	}
	r.replaced(ReasonShorter, first)
	return nil
}

// replaced starts again at the first record of a log that is not the one that
// was read.
func (r *PartitionReader) replaced(why Reason, first int64) {
	was := r.next
	r.seek(first)
	r.mu.Lock()
	r.state.Replaced++
	r.state.Next = first
	r.mu.Unlock()
	r.cfg.Log.Warn("log was replaced, reading from its first record",
		slog.String("reason", string(why)), slog.Int64("was", was), slog.Int64("offset", first))
	if r.cfg.Replaced != nil {
		r.cfg.Replaced(Replaced{Topic: r.cfg.Topic, Partition: r.cfg.Partition, Reason: why, Was: was, Now: first})
	}
}

// handle passes a batch to the owner until it succeeds, and moves the position
// behind it.
func (r *PartitionReader) handle(ctx context.Context, messages []Message, end int64, after time.Time) error {
	last := messages[len(messages)-1]
	b := Batch{
		Topic: r.cfg.Topic, Partition: r.cfg.Partition, Messages: messages, HighWatermark: end, After: after,
		Next: last.Offset + 1, CRC: Fingerprint(last.Key, last.Value),
	}
	r.handlerBackoff.Reset()
	for {
		err := r.cfg.Handle(ctx, b)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.noteHandlerError(err)
		timer := time.NewTimer(r.handlerBackoff.Next())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	r.next, r.lastCRC, r.lastOffset, r.hasLast = b.Next, b.CRC, last.Offset, true
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Next, r.state.Stuck = b.Next, 0
	r.state.Records += uint64(len(messages))
	return nil
}

// errNoRecord means that a batch contains the offset but no record: the offset
// is the marker of a transaction, or its records were removed by compaction.
var errNoRecord = errors.New("no record at this offset")

// fetch sends one request. The broker waits up to fetchWait for new records.
func (r *PartitionReader) fetch(ctx context.Context, offset int64, bytes int64) ([]Message, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	res, err := r.client.api.Fetch(ctx, &kafka.FetchRequest{
		Topic: r.cfg.Topic, Partition: r.cfg.Partition, Offset: offset,
		MinBytes: 1, MaxBytes: bytes, MaxWait: fetchWait,
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, 0, err
	}
	messages, err := readAll(res.Records, offset)
	switch {
	case len(messages) > 0:
		err = nil // the next fetch returns the error behind them
	case err == nil && holdsBatches(res.Records):
		err = errNoRecord
	}
	return messages, res.HighWatermark, err
}

// goBack makes Run read again from an offset, if it has passed it.
func (r *PartitionReader) goBack(offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.back == noOffset || offset < r.back {
		r.back = offset
	}
}

// applyGoBack moves the position back, if that was requested.
func (r *PartitionReader) applyGoBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.back != noOffset && r.back < r.next {
		r.cfg.Log.Info("reading records again", slog.Int64("was", r.next), slog.Int64("offset", r.back))
		r.seek(r.back)
		r.state.Next = r.back
	}
	r.back = noOffset
}

// State returns the present state.
func (r *PartitionReader) State() ReaderState {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	if r.back != noOffset {
		s.Next = min(s.Next, r.back)
	}
	return s
}

// noteAnswer records that a fetch succeeded.
func (r *PartitionReader) noteAnswer(end int64, asked time.Time) {
	r.retrier.backoff.Reset()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Next, r.state.HighWatermark, r.state.asked = r.next, end, asked
	if !r.state.Reading {
		r.state.Reading, r.state.Since, r.state.LastError, r.state.Reason = true, time.Now(), "", reason.Reason{}
		r.cfg.Log.Info("reading from Kafka", slog.Int64("offset", r.next))
	}
}

// noteReadError records that reading failed, and logs it once per outage.
func (r *PartitionReader) noteReadError(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.state.Reading || r.state.LastError == ""
	if r.state.Reading {
		r.state.Reading, r.state.Since = false, time.Now()
	}
	r.state.LastError, r.state.Reason = err.Error(), reasonOf(err)
	if first {
		r.cfg.Log.Info("waiting to read from Kafka", slog.String("err", err.Error()))
	}
}

// noteHandlerError records that Handle failed, and logs it once per batch.
func (r *PartitionReader) noteHandlerError(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Stuck++
	r.state.LastError = err.Error()
	if r.state.Stuck == 1 {
		r.cfg.Log.Warn("batch was not handled; retrying", slog.Int64("offset", r.next), slog.String("err", err.Error()))
	}
}
