package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// maxEpochAhead is how far above this Central's own number another one may be to be
// believed, counted in starts: one fault must neither exhaust the numbers nor
// outrank every Central for ever.
const maxEpochAhead = 1_000_000

// baseEpochNumber is below the number of the first start on a new database. Agents of
// an earlier version compare epochs as text: with six digits it grows like the
// number, above all that an earlier version of Central called itself.
const baseEpochNumber = 100_000

// outrankDelay is how long a Central that learns of a higher epoch of the past
// listens before it takes one above it: if that other one is alive, it says so
// each second and fences this one.
const outrankDelay = 3 * time.Second

// begin takes an epoch above all in the database, so that operators can be
// served before Kafka is there, and loads the state.
func (w *Writer) begin(ctx context.Context) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		var err error
		if w.retentionNow, err = w.store.Aged(ctx); err == nil {
			w.retentionNow, w.retentionCheckedAt = min(cmp.Or(w.retentionNow, w.now()), w.now()), time.Now()
			err = w.newEpoch(ctx, charge.Epoch{})
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		words, remedy := w.store.Trouble(err)
		switch remedy {
		case RemedyWait:
		case RemedyStop:
			return w.halt(ctx, nil, words, err)
		case RemedyRow:
			return err
		default:
			return err // not the database's
		}
		w.log.Error("database cannot be written", slog.String("trouble", words), slog.String("err", err.Error()))
		w.live.setDatabase(words)
		if _, err := w.waitForRetry(ctx, wait, nil); err != nil {
			return err
		}
	}
}

// advanceRetention is up to when time has passed for what is kept for a while: now, but at
// most twice what really passed since it was asked before. So a clock that is
// days ahead for an hour costs an hour of what is kept, and not days.
func (w *Writer) advanceRetention(now charge.Time) charge.Time {
	passed := time.Since(w.retentionCheckedAt)
	w.retentionNow = min(now, w.retentionNow.Add(2*passed))
	w.retentionCheckedAt = w.retentionCheckedAt.Add(passed)
	return w.retentionNow
}

// newEpoch takes a new epoch, above the present one, above that in the database and
// above one that was heard.
func (w *Writer) newEpoch(ctx context.Context, highest charge.Epoch) error {
	before, err := w.store.Epoch(ctx)
	if err != nil {
		return err
	}
	number := max(before.Number, highest.Number, w.self.Number, baseEpochNumber) + 1
	self := charge.Epoch{Number: min(number, charge.MaxEpochNumber), Run: w.cfg.Run}
	if err := w.store.Write(ctx, func(tx Tx) error {
		return errors.Join(tx.Epoch(self, w.now()), tx.Tariff(w.cfg.Default, w.now()))
	}); err != nil {
		return err
	}
	w.self = self
	w.log.Info("this Central has its epoch", slog.String("central", self.String()))
	w.live.setDatabase("")
	return w.load(ctx)
}

// Join makes the writer active: nobody else speaks as Central, and heard is the
// highest epoch that spoke in the past, zero for none. It does not wait.
func (w *Writer) Join(highest charge.Epoch) {
	w.mu.Lock()
	w.joins = append(w.joins, highest)
	w.mu.Unlock()
	select {
	case w.queuedSignal <- struct{}{}:
	default: // a signal is already there
	}
}

func (w *Writer) join(ctx context.Context, joins []charge.Epoch) {
	for _, highest := range joins {
		if w.self.Less(highest) && w.plausible(highest) {
			w.outrank, w.outrankAt = charge.Highest(w.outrank, highest), time.Now()
		}
		if !w.orders.FencedBy().IsZero() {
			w.applyFence()
			if w.cfg.Takeover {
				w.enqueue(&operatorIn{op: Lift{}})
			}
		}
		w.live.join()
		w.wakeOutbox()
		w.outrankWhenDue(ctx)
		w.ackEveryPoint()
	}
}

// ackEveryPoint tells each charging point where it stands.
func (w *Writer) ackEveryPoint() {
	if !w.live.Active() || w.orders == nil {
		return
	}
	all := make([]pendingAck, 0, len(w.cps))
	for _, cp := range w.cps {
		journal := cp.CurrentJournal
		if cp.Next.Journal != "" {
			journal = cp.Next.Journal
		}
		if journal != "" {
			all = append(all, pendingAck{cp.ID, journal})
		}
	}
	w.pacer.queueAll(all, time.Now())
}

// outrankWhenDue takes a new epoch when a higher one of the past was heard of and
// nobody spoke for it meanwhile.
func (w *Writer) outrankWhenDue(ctx context.Context) {
	now := time.Now()
	if w.outrankAt.IsZero() || w.outrankAt.After(now) {
		return
	}
	if !w.live.Active() || w.outrank.Less(w.self) {
		w.outrankAt = time.Time{}
		return
	}
	if err := w.newEpoch(ctx, w.outrank); err != nil {
		w.log.Error("no new epoch could be taken", slog.String("err", err.Error()))
		w.outrankAt = now.Add(lastWait)
		return
	}
	w.outrankAt = time.Time{}
	w.ackEveryPoint()
}

// plausible reports whether an epoch may be that of a Central; one that is too far
// above raises an alarm. It may be called from any goroutine.
func (w *Writer) plausible(id charge.Epoch) bool {
	if id.Number <= w.live.self().Number+maxEpochAhead {
		return !id.IsZero()
	}
	w.mu.Lock()
	again := w.lastImplausible == id
	w.lastImplausible = id
	w.mu.Unlock()
	if again {
		return false // it was said
	}
	w.enqueue(alarmIn{ledger.Alarm{
		ID: "epoch." + id.String(), Kind: alarmEpoch,
		Detail: fmt.Sprintf("a Central of the epoch %s wrote to Kafka, more than %d starts above this one: it is not believed", id, maxEpochAhead),
	}})
	return false
}

// noteEarlierEpoch takes the epoch of a sign of life that was in the log before this run
// of Central: after a restore from a backup, of a run that this database does
// not know.
func (w *Writer) noteEarlierEpoch(id charge.Epoch) {
	if !w.self.Less(id) || !w.outrank.Less(id) || !w.live.Active() || !w.plausible(id) {
		return
	}
	w.outrank, w.outrankAt = id, time.Now().Add(outrankDelay)
}

// ObserveEpoch takes the epoch of another Central that wrote to monitor-events or
// cp-commands after this one began. A higher one silences this one at once,
// whether or not the database can be written; an operator can lift the fence
// when it is. It may be called from any goroutine and does not wait.
func (w *Writer) ObserveEpoch(id charge.Epoch) {
	if !w.live.outranked(id) {
		return
	}
	if !w.live.self().IsZero() { // else the writer judges when it knows its own
		if !w.plausible(id) {
			return
		}
		w.fence(id)
	}
	w.enqueue(otherCentralIn{id})
}

// ObserveRecord takes a record of monitor-events or cp-commands at once, beside the
// reader that waits for the database: a locked one must neither hide another
// Central nor make the bridge seem away. central is its header of that name. It
// may be called from any goroutine and
// does not wait.
func (w *Writer) ObserveRecord(d KafkaRecord, central []byte) {
	if d.Kind == wire.KindValueBridgeAlive {
		if b, err := wire.DecodeBridgeAlive(d.Value); err == nil { // else the other reader tells
			w.live.bridgeHeartbeat(&b, &d)
		}
		return
	}
	if id := wire.WriterEpoch(d.Kind, central, d.Value); !id.IsZero() {
		w.ObserveEpoch(id)
	}
}

// fence lets this Central say nothing more.
func (w *Writer) fence(by charge.Epoch) {
	if w.live.setFencedBy(by).IsZero() {
		w.log.Error("another Central took over: this one stops ordering, acknowledging and billing", slog.String("central", by.String()))
	}
}

// applyFence follows what was judged: it stops what a fenced Central must not
// do, and starts it again when an operator lifted the fence or who was heard
// turned out to be none.
func (w *Writer) applyFence() {
	if by := w.orders.FencedBy(); !by.IsZero() {
		w.fence(by)
		w.outrankAt = time.Time{}
		w.pacer.reset()
	} else if was := w.live.setFencedBy(charge.Epoch{}); !was.IsZero() {
		w.log.Info("this Central is not fenced any more", slog.String("central", was.String()))
		w.outrank, w.outrankAt = charge.Highest(w.outrank, was), time.Now()
		w.wakeOutbox()
	}
}
