package ingest

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// maxEpochAhead is how far, in starts, another Central's epoch may be above
// this one's to be plausible. Without the bound one corrupt record could
// exhaust the numbers or outrank every Central for ever.
const maxEpochAhead = 1_000_000

// baseEpochNumber is one below the number of the first start on a new database.
// Agents of an earlier version compare epochs as text; six digits sort above
// the UUIDs that earlier versions of Central used, and grow like numbers.
const baseEpochNumber = 100_000

// outrankDelay is how long a Central waits for heartbeats of a higher epoch
// before it chooses one above that. A Central that is alive sends one per
// second, which fences this one instead.
const outrankDelay = 3 * time.Second

// begin chooses an epoch above the one in the database and loads the state,
// before Kafka is there, so that the page works without Kafka. It retries while
// the database cannot be written.
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
		why, remedy := w.store.Trouble(err)
		switch remedy {
		case RemedyWait:
		case RemedyStop:
			return w.halt(ctx, nil, why, err)
		case RemedyRow:
			return err
		default:
			return err // not an error of the database
		}
		w.log.Error("database cannot be written", slog.String("trouble", why.String()), slog.String("err", err.Error()))
		w.live.setDatabase(why)
		if _, err := w.waitForRetry(ctx, wait, nil); err != nil {
			return err
		}
	}
}

// advanceRetention returns the time by which the age of old rows is measured.
// It follows the wall clock, but advances at most twice as fast as the
// monotonic clock since the last call. If the wall clock is days ahead for an
// hour, at most two hours of rows are deleted early, not days.
func (w *Writer) advanceRetention(now charge.Time) charge.Time {
	passed := time.Since(w.retentionCheckedAt)
	w.retentionNow = min(now, w.retentionNow.Add(2*passed))
	w.retentionCheckedAt = w.retentionCheckedAt.Add(passed)
	return w.retentionNow
}

// newEpoch chooses and stores a new epoch: above this Central's present one,
// the one in the database, and highest. It then loads the state, because it
// depends on the epoch.
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
	w.live.setDatabase(reason.Reason{})
	return w.load(ctx)
}

// Join makes the writer active, after package app has found that no other
// Central is. highest is the highest epoch that an earlier Central wrote to
// Kafka, zero for none. It does not block.
func (w *Writer) Join(highest charge.Epoch) {
	w.mu.Lock()
	w.joins = append(w.joins, highest)
	w.mu.Unlock()
	select {
	case w.queuedSignal <- struct{}{}:
	default: // a signal is pending already
	}
}

// join handles calls of Join. The fence is stored, so a fenced Central stays
// fenced after a restart, unless --take-over lifts it.
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

// ackEveryPoint acknowledges every charging point, paced. An agent cannot know
// what a crash of Central left unacknowledged, and a new epoch may have set its
// position back.
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

// outrankWhenDue chooses an epoch above outrank at outrankAt, unless a Central
// was alive with it meanwhile.
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
		w.log.Error("no new epoch could be stored", slog.String("err", err.Error()))
		w.outrankAt = now.Add(lastWait)
		return
	}
	w.outrankAt = time.Time{}
	w.ackEveryPoint()
}

// plausible reports whether an epoch can be that of a Central. It raises an
// alarm, once in a row, if the epoch is too far above this one. It may be
// called from any goroutine.
func (w *Writer) plausible(id charge.Epoch) bool {
	if id.Number <= w.live.self().Number+maxEpochAhead {
		return !id.IsZero()
	}
	w.mu.Lock()
	again := w.lastImplausible == id
	w.lastImplausible = id
	w.mu.Unlock()
	if again {
		return false // the alarm is raised already
	}
	why := reason.Reason{Code: reason.EpochNotBelieved, Central: id.String(), Count: maxEpochAhead}
	w.enqueue(alarmIn{ledger.Alarm{ID: "epoch." + id.String(), Kind: view.AlarmNoEpoch, Detail: why.String(), Why: why}})
	return false
}

// noteEarlierEpoch handles a heartbeat that was in the log before this run
// began. If its epoch is higher, this database was restored from a backup and
// does not know that run.
func (w *Writer) noteEarlierEpoch(id charge.Epoch) {
	if !w.self.Less(id) || !w.outrank.Less(id) || !w.live.Active() || !w.plausible(id) {
		return
	}
	w.outrank, w.outrankAt = id, time.Now().Add(outrankDelay)
}

// ObserveEpoch handles the epoch of another Central that wrote to
// monitor-events or cp-commands after this one began. A higher one fences this
// Central at once, even while the database cannot be written; the writer stores
// the fence later, and an operator can lift it. It may be called from any
// goroutine and does not block.
func (w *Writer) ObserveEpoch(id charge.Epoch) {
	if !w.live.outranked(id) {
		return
	}
	if !w.live.self().IsZero() { // otherwise the writer decides, once it has its own epoch
		if !w.plausible(id) {
			return
		}
		w.fence(id)
	}
	w.enqueue(otherCentralIn{id})
}

// ObserveRecord handles a heartbeat in monitor-events or a record of
// cp-commands at once. The same record also comes through Submit, whose reader
// waits while the database is locked; that wait must neither hide another
// Central nor let the bridge appear to be down. central is the record's header
// of that name. It may be called from any goroutine and does not block.
func (w *Writer) ObserveRecord(d KafkaRecord, central []byte) {
	if d.Kind == wire.KindValueBridgeAlive {
		if b, err := wire.DecodeBridgeAlive(d.Value); err == nil { // an invalid one is reported through Submit
			w.live.bridgeHeartbeat(&b, &d)
		}
		return
	}
	if id := wire.WriterEpoch(d.Kind, central, d.Value); !id.IsZero() {
		w.ObserveEpoch(id)
	}
}

// fence stops this Central from publishing, at once.
func (w *Writer) fence(by charge.Epoch) {
	if w.live.setFencedBy(by).IsZero() {
		w.log.Error("another Central took over: this one stops ordering, acknowledging and billing", slog.String("central", by.String()))
	}
}

// applyFence follows what package orders decided about the fence. It stops what
// a fenced Central must not do, and resumes it when an operator has lifted the
// fence or the other epoch turned out to be no Central's.
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
