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

// maxRise is how far above this Central's own number another one may be to be
// believed, counted in starts: one fault must neither exhaust the numbers nor
// outrank every Central for ever.
const maxRise = 1_000_000

// firstNumber is below the number of the first start on a new database. Agents of
// an earlier version compare epochs as text: with six digits it grows like the
// number, above all that an earlier version of Central called itself.
const firstNumber = 100_000

// listenBefore is how long a Central that learns of a higher epoch of the past
// listens before it takes one above it: if that other one is alive, it says so
// each second and fences this one.
const listenBefore = 3 * time.Second

// begin takes an epoch above all in the database, so that operators can be
// served before Kafka is there, and loads the state.
func (w *Writer) begin(ctx context.Context) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		var err error
		if w.aged, err = w.store.Aged(ctx); err == nil {
			w.aged, w.agedAt = min(cmp.Or(w.aged, w.now()), w.now()), time.Now()
			err = w.rise(ctx, charge.Epoch{})
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
		if _, err := w.waitFor(ctx, wait, nil); err != nil {
			return err
		}
	}
}

// age is up to when time has passed for what is kept for a while: now, but at
// most twice what really passed since it was asked before. So a clock that is
// days ahead for an hour costs an hour of what is kept, and not days.
func (w *Writer) age(now charge.Time) charge.Time {
	passed := time.Since(w.agedAt)
	w.aged = min(now, w.aged.Add(2*passed))
	w.agedAt = w.agedAt.Add(passed)
	return w.aged
}

// rise takes a new epoch, above the present one, above that in the database and
// above one that was heard.
func (w *Writer) rise(ctx context.Context, heard charge.Epoch) error {
	before, err := w.store.Epoch(ctx)
	if err != nil {
		return err
	}
	number := max(before.Number, heard.Number, w.self.Number, firstNumber) + 1
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
func (w *Writer) Join(heard charge.Epoch) {
	w.mu.Lock()
	w.joins = append(w.joins, heard)
	w.mu.Unlock()
	select {
	case w.noted <- struct{}{}:
	default: // a signal is already there
	}
}

func (w *Writer) join(ctx context.Context, joins []charge.Epoch) {
	for _, heard := range joins {
		if w.self.Less(heard) && w.believe(heard) {
			w.above, w.riseAt = charge.Highest(w.above, heard), time.Now()
		}
		if !w.orders.FencedBy().IsZero() {
			w.noticeFence()
			if w.cfg.TakeOver {
				w.note(&asked{op: Lift{}})
			}
		}
		w.live.join()
		w.wake()
		w.maybeRise(ctx)
		w.greet()
	}
}

// greet tells each charging point where it stands.
func (w *Writer) greet() {
	if !w.live.Active() || w.orders == nil {
		return
	}
	all := make([]wantedAck, 0, len(w.cps))
	for _, cp := range w.cps {
		journal := cp.Present
		if cp.Next.Journal != "" {
			journal = cp.Next.Journal
		}
		if journal != "" {
			all = append(all, wantedAck{cp.ID, journal})
		}
	}
	w.pacer.greet(all, time.Now())
}

// maybeRise takes a new epoch when a higher one of the past was heard of and
// nobody spoke for it meanwhile.
func (w *Writer) maybeRise(ctx context.Context) {
	now := time.Now()
	if w.riseAt.IsZero() || w.riseAt.After(now) {
		return
	}
	if !w.live.Active() || w.above.Less(w.self) {
		w.riseAt = time.Time{}
		return
	}
	if err := w.rise(ctx, w.above); err != nil {
		w.log.Error("no new epoch could be taken", slog.String("err", err.Error()))
		w.riseAt = now.Add(lastWait)
		return
	}
	w.riseAt = time.Time{}
	w.greet()
}

// believe reports whether an epoch may be that of a Central; one that is too far
// above raises an alarm. It may be called from any goroutine.
func (w *Writer) believe(id charge.Epoch) bool {
	if id.Number <= w.live.self().Number+maxRise {
		return !id.IsZero()
	}
	w.mu.Lock()
	again := w.doubted == id
	w.doubted = id
	w.mu.Unlock()
	if again {
		return false // it was said
	}
	w.note(alarmIn{ledger.Alarm{
		ID: "epoch." + id.String(), Kind: alarmEpoch,
		Detail: fmt.Sprintf("a Central of the epoch %s wrote to Kafka, more than %d starts above this one: it is not believed", id, maxRise),
	}})
	return false
}

// heardPast takes the epoch of a sign of life that was in the log before this run
// of Central: after a restore from a backup, of a run that this database does
// not know.
func (w *Writer) heardPast(id charge.Epoch) {
	if !w.self.Less(id) || !w.above.Less(id) || !w.live.Active() || !w.believe(id) {
		return
	}
	w.above, w.riseAt = id, time.Now().Add(listenBefore)
}

// Hear takes the epoch of another Central that wrote to monitor-events or
// cp-commands after this one began. A higher one silences this one at once,
// whether or not the database can be written; an operator can lift the fence
// when it is. It may be called from any goroutine and does not wait.
func (w *Writer) Hear(id charge.Epoch) {
	if !w.live.isNews(id) {
		return
	}
	if !w.live.self().IsZero() { // else the writer judges when it knows its own
		if !w.believe(id) {
			return
		}
		w.silence(id)
	}
	w.note(otherIn{id})
}

// Overhear takes a record of monitor-events or cp-commands at once, beside the
// reader that waits for the database: a locked one must neither hide another
// Central nor make the bridge seem away. central is its header of that name. It
// may be called from any goroutine and
// does not wait.
func (w *Writer) Overhear(d Delivered, central []byte) {
	if d.Kind == wire.KindValueBridgeAlive {
		if b, err := wire.DecodeBridgeAlive(d.Value); err == nil { // else the other reader tells
			w.live.hearBridge(&b, &d)
		}
		return
	}
	if id := wire.Speaker(d.Kind, central, d.Value); !id.IsZero() {
		w.Hear(id)
	}
}

// silence lets this Central say nothing more.
func (w *Writer) silence(by charge.Epoch) {
	if w.live.fence(by).IsZero() {
		w.log.Error("another Central took over: this one stops ordering, acknowledging and billing", slog.String("central", by.String()))
	}
}

// noticeFence follows what was judged: it stops what a fenced Central must not
// do, and starts it again when an operator lifted the fence or who was heard
// turned out to be none.
func (w *Writer) noticeFence() {
	if by := w.orders.FencedBy(); !by.IsZero() {
		w.silence(by)
		w.riseAt = time.Time{}
		w.pacer.forget()
	} else if was := w.live.fence(charge.Epoch{}); !was.IsZero() {
		w.log.Info("this Central is not fenced any more", slog.String("central", was.String()))
		w.above, w.riseAt = charge.Highest(w.above, was), time.Now()
		w.wake()
	}
}
