package ingest

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// maxAhead is how far ahead of now an incarnation may be minted to be
// believed: one more would let a broken clock outrank every Central for ever.
const maxAhead = 24 * time.Hour

// remintAfter is how long a Central that learns of a greater incarnation from
// a charging point listens before it calls itself something greater: if that
// other one lives, it says so each second and fences this one.
const remintAfter = 3 * time.Second

// begin mints an incarnation above all in the database, so that operators can
// be served before Kafka is there, and loads the state.
func (w *Writer) begin(ctx context.Context) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		err := w.mint(ctx, "")
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

// mint takes a new incarnation, above the present one, above all in the
// database and above one that was heard.
func (w *Writer) mint(ctx context.Context, heard charge.Incarnation) error {
	before, err := w.store.Incarnation(ctx)
	if err != nil {
		return err
	}
	self, err := w.cfg.Mint(max(before, heard, w.self), time.Now())
	if err != nil {
		return err
	}
	if err := w.store.Write(ctx, func(tx Tx) error {
		return errors.Join(tx.Incarnation(self, w.now()), tx.Tariff(w.cfg.Default, w.now()))
	}); err != nil {
		return err
	}
	w.self = self
	w.log.Info("this life of Central has its name", slog.String("central", string(self)))
	w.live.setDatabase("")
	return w.load(ctx)
}

// Join makes the writer active: nobody else speaks as Central, and heard is
// the greatest incarnation that spoke in the past, "" for none. It does not
// wait.
func (w *Writer) Join(heard charge.Incarnation) {
	w.mu.Lock()
	w.joins = append(w.joins, heard)
	w.mu.Unlock()
	select {
	case w.noted <- struct{}{}:
	default: // a signal is already there
	}
}

func (w *Writer) join(ctx context.Context, joins []charge.Incarnation) {
	for _, heard := range joins {
		if w.believe(heard) && heard >= w.self {
			w.above, w.remintAt = max(w.above, heard), time.Now()
		}
		if w.orders.FencedBy() != "" {
			w.noticeFence()
			if w.cfg.TakeOver {
				w.note(&asked{op: Lift{}})
			}
		}
		w.live.join()
		w.wake()
		w.becomeGreater(ctx)
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

// becomeGreater mints anew when a past life with a greater incarnation was
// heard of and nobody spoke for it meanwhile.
func (w *Writer) becomeGreater(ctx context.Context) {
	now := time.Now()
	if w.remintAt.IsZero() || w.remintAt.After(now) {
		return
	}
	if !w.live.Active() || w.above < w.self {
		w.remintAt = time.Time{}
		return
	}
	if err := w.mint(ctx, w.above); err != nil {
		w.log.Error("no new incarnation could be taken", slog.String("err", err.Error()))
		w.remintAt = now.Add(lastWait)
		return
	}
	w.remintAt = time.Time{}
	w.greet()
}

// believe reports whether an incarnation may be a real one; one from the far
// future raises an alarm.
func (w *Writer) believe(id charge.Incarnation) bool {
	if id == "" {
		return false
	}
	at, err := w.cfg.BornAt(id)
	if err == nil && at.Before(time.Now().Add(maxAhead)) {
		return true
	}
	w.mu.Lock()
	again := w.doubted == id
	w.doubted = id
	w.mu.Unlock()
	if again {
		return false // it was said
	}
	w.note(alarmIn{ledger.Alarm{
		ID: "incarnation." + cut(string(id), 40), Kind: alarmIncarnation,
		Detail: "somebody speaks as Central " + cut(string(id), 40) + ", minted more than a day ahead of now: not believed",
	}})
	return false
}

// heardPosition takes the incarnation that a charging point's position
// remembers: of a past life that this database does not know, or of another
// Central, which will speak for itself.
func (w *Writer) heardPosition(id charge.Incarnation) {
	if id <= w.self || id <= w.above || !w.live.Active() || !w.believe(id) {
		return
	}
	w.above, w.remintAt = id, time.Now().Add(remintAfter)
}

// Hear takes what another Central said on monitor-events or cp-commands after
// this one began. A greater one silences this one at once, whether or not the
// database can be written; an operator can lift the fence when it is. It may be
// called from any goroutine and does not wait.
func (w *Writer) Hear(id charge.Incarnation) {
	if !w.live.isNews(id) {
		return
	}
	if at, err := w.cfg.BornAt(id); err != nil || !at.Before(time.Now().Add(maxAhead)) {
		w.believe(id) // for its alarm
		return
	}
	w.silence(id)
	w.note(otherIn{id})
}

// Overhear takes a record of monitor-events or cp-commands at once, beside the
// reader that waits for the database: a locked one must neither hide another
// Central nor make the bridge seem away. It may be called from any goroutine and
// does not wait.
func (w *Writer) Overhear(d Delivered) {
	if d.Kind == wire.KindValueBridgeAlive {
		if b, err := wire.DecodeBridgeAlive(d.Value); err == nil { // else the other reader tells
			w.live.hearBridge(&b, &d)
		}
		return
	}
	if id := wire.Speaker(d.Kind, d.Value); id != "" {
		w.Hear(id)
	}
}

// silence lets this Central say nothing more.
func (w *Writer) silence(by charge.Incarnation) {
	if w.live.fence(by) == "" {
		w.log.Error("another Central took over: this one stops ordering, acknowledging and billing", slog.String("central", string(by)))
	}
}

// noticeFence follows what was judged: it stops what a fenced Central must not
// do, and starts it again when an operator lifted the fence or who was heard
// turned out to be none.
func (w *Writer) noticeFence() {
	if by := w.orders.FencedBy(); by != "" {
		w.silence(by)
		w.remintAt = time.Time{}
		w.pacer.forget()
	} else if was := w.live.fence(""); was != "" {
		w.log.Info("this Central is not fenced any more", slog.String("central", string(was)))
		w.above, w.remintAt = max(w.above, was), time.Now()
		w.wake()
	}
}
