package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/wire"
)

// Writer is the one owner of the network's state. New starts nothing; Run
// owns all fields but those below mu, live and the channels.
type Writer struct {
	cfg        Config
	store      Store
	out        Sender
	live       *Live
	log        *slog.Logger
	wakeOutbox func() // the outbox has new rows

	records      chan []input     // of cp-events and driver-events: taken while active
	monitor      chan []input     // of monitor-events
	requests     chan *operatorIn // not buffered: what was sent was taken in
	stopped      chan struct{}    // closed when Run has ended
	queuedSignal chan struct{}    // there are notes

	self    charge.Epoch
	cps     map[charge.CPID]*ledger.CP
	orders  *orders.State
	dirty   map[charge.CPID]struct{} // whose state in memory is not that of the database; orders is nil while there are any
	tariffs map[charge.TariffVersion]ledger.Tariff
	pacer   pacer
	// bridgeDeadLetters is what is committed of the dead letters of some runs of bridges.
	bridgeDeadLetters map[bridgeRun]int64
	// cleanupAfter is when to look for what is old again; zero: as before.
	cleanupAfter time.Duration
	// outrank is a higher epoch of the past; this Central takes one above it at
	// riseAt, unless it is fenced before.
	outrank            charge.Epoch
	outrankAt          time.Time
	numbers            orders.Numbers // of commands, in this run
	retentionNow       charge.Time    // see age
	retentionCheckedAt time.Time      // when it was asked last

	mu sync.Mutex
	// mu guards what follows.
	queued          []input
	lastImplausible charge.Epoch   // the last that was not believed
	joins           []charge.Epoch // what a scout heard: become active, above it
}

// New makes a writer over an open store. wake, which must not wait, is called
// when the outbox has new rows.
func New(cfg Config, store Store, out Sender, live *Live, wake func(), log *slog.Logger) *Writer {
	cfg.Hooks.setDefaults()
	cfg.SilentAfter = cmp.Or(cfg.SilentAfter, 5*time.Minute)
	return &Writer{
		cfg: cfg, store: store, out: out, live: live, wakeOutbox: wake, log: log,
		records: make(chan []input), monitor: make(chan []input), requests: make(chan *operatorIn), stopped: make(chan struct{}),
		queuedSignal: make(chan struct{}, 1), // one signal stands for all notes
		pacer:        newPacer(), numbers: orders.Numbers{}, bridgeDeadLetters: map[bridgeRun]int64{},
	}
}

func (w *Writer) now() charge.Time { return w.live.now() }

// maxRecordAge is how long ago a record can have been received: Kafka keeps it so long.
// A bridge whose clock was behind does not make records old that are to be kept.
const maxRecordAge = 35 * 24 * time.Hour

// Submit decodes a batch of one partition and hands it to the writer. It waits
// until the writer has it, which is before it is committed, or until ctx ends.
// Records must come in the order of the partition.
func (w *Writer) Submit(ctx context.Context, batch []KafkaRecord) error {
	inputs := make([]input, 0, len(batch))
	to := w.monitor
	for _, d := range batch {
		if d.Topic != w.cfg.Topics.Monitor {
			to = w.records
		}
		d.ReceivedAt = max(d.ReceivedAt, w.now().Add(-maxRecordAge))
		inputs = append(inputs, w.decode(d))
	}
	if len(inputs) == 0 {
		return nil
	}
	select {
	case to <- inputs:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// OutboxSent says that Kafka has rows of the outbox, which are deleted with the next
// transaction. It does not wait.
func (w *Writer) OutboxSent(ids []int64) { w.enqueue(outboxSentIn{ids}) }

// enqueue leaves an input for the writer without waiting.
func (w *Writer) enqueue(in input) {
	w.mu.Lock()
	w.queued = append(w.queued, in)
	w.mu.Unlock()
	select {
	case w.queuedSignal <- struct{}{}:
	default: // a signal is already there
	}
}

func (w *Writer) drainQueue() ([]input, []charge.Epoch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	notes, joins := w.queued, w.joins
	w.queued, w.joins = nil, nil
	return notes, joins
}

// Run owns the state until ctx ends. It returns an error only when the
// database cannot be read at the start.
func (w *Writer) Run(ctx context.Context) error {
	defer close(w.stopped)
	if err := w.begin(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("central writer: %w", err)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	cleanup := time.NewTicker(cleanupEvery)
	defer cleanup.Stop()
	iterate := time.NewTicker(iterateEvery)
	defer iterate.Stop()
	for {
		inputs := w.nextBatch(ctx, timer.C, cleanup.C, iterate.C)
		if ctx.Err() != nil {
			return nil // the end of ctx is the way to end
		}
		if err := w.commit(ctx, inputs); err != nil {
			return nil // only the end of ctx ends the trying
		}
		if w.cleanupAfter > 0 {
			cleanup.Reset(w.cleanupAfter)
			w.cleanupAfter = 0
		}
		w.outrankWhenDue(ctx)
		w.pacer.send(time.Now(), w.sendAck)
		timer.Reset(w.untilNext(time.Now()))
	}
}

// How often what is old is looked for, and how long the writer has for others
// while there is more of it.
const (
	cleanupEvery = time.Minute
	cleanupPause = 250 * time.Millisecond
)

// nextBatch waits for something to do and takes all that is there, up to a bound.
func (w *Writer) nextBatch(ctx context.Context, timer, cleanup, iterate <-chan time.Time) []input {
	records := w.records
	if !w.live.Active() {
		records = nil
	}
	var all []input
	select {
	case <-ctx.Done():
		return nil
	case b := <-records:
		all = append(all, b...)
	case b := <-w.monitor:
		all = append(all, b...)
	case a := <-w.requests:
		all = append(all, a)
	case <-w.queuedSignal:
		notes, joins := w.drainQueue()
		all = append(all, notes...)
		w.join(ctx, joins)
	case <-timer:
		all = append(all, tickIn{})
	case <-cleanup:
		all = append(all, cleanupIn{})
	case <-iterate:
	}
	w.cfg.Hooks.Iterated()
	if len(all) == 0 {
		return nil // joined, or nothing: look again at what may be taken
	}
	for len(all) < maxBatch {
		select {
		case b := <-records:
			all = append(all, b...)
		case b := <-w.monitor:
			all = append(all, b...)
		case a := <-w.requests:
			all = append(all, a)
		default: // nobody waits any more; what time brings comes with the next batch
			return all
		}
	}
	return all
}

// untilNext is how long nothing is to be done by itself.
func (w *Writer) untilNext(now time.Time) time.Duration {
	wait := maxSleep
	if due := w.orders.NextDeadline(); due != 0 {
		wait = min(wait, due.Sub(w.now()))
	}
	if at := earlier(w.pacer.next(), w.outrankAt); !at.IsZero() {
		wait = min(wait, at.Sub(now))
	}
	return max(wait, minSleep)
}

// maxSleep is how long the writer rests though nothing is due: its clock may be
// set back meanwhile, and what is due by then would be days away.
const maxSleep = time.Minute

// minSleep keeps a deadline that nothing moves from turning the loop hot.
const minSleep = 10 * time.Millisecond

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Waits between attempts while the database cannot be written.
const (
	firstWait = 50 * time.Millisecond
	lastWait  = time.Second
)

// commit applies inputs and commits them, whatever it takes. It returns an
// error only when ctx has ended; nothing of the rest is then committed.
func (w *Writer) commit(ctx context.Context, inputs []input) error {
	wait := firstWait
	for {
		err := w.tryCommit(ctx, inputs)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		words, remedy := w.store.Trouble(err)
		switch {
		case remedy == RemedyWait:
		case (remedy == RemedyRow || isInputs(err)) && len(inputs) > 0:
			w.log.Error("rows were refused", slog.Int("inputs", len(inputs)), slog.String("err", err.Error()))
			return w.isolate(ctx, inputs, err)
		default:
			return w.halt(ctx, inputs, cmp.Or(words, "the database cannot be used: stop Central and verify it"), err)
		}
		w.log.Error("database cannot be written", slog.String("trouble", words), slog.String("err", err.Error()))
		w.live.setDatabase(words)
		inputs = refuse(inputs, ErrStorage)
		if inputs, err = w.waitForRetry(ctx, wait, inputs); err != nil {
			return err
		}
		wait = min(2*wait, lastWait)
	}
}

// halt writes nothing more until ctx ends, which it returns: the database is
// damaged, so a record that it refuses proves nothing about that record. No
// offset moves; everything is there when Central starts on a sound database.
func (w *Writer) halt(ctx context.Context, inputs []input, words string, err error) error {
	w.log.Error("database cannot be used: nothing more is written", slog.String("trouble", words), slog.String("err", err.Error()))
	w.live.halt(words + " (" + cut(err.Error(), 200) + ")")
	refuse(inputs, ErrStorage)
	for {
		if _, err := w.waitForRetry(ctx, iterateEvery, nil); err != nil {
			return err
		}
	}
}

// ReadFailed takes an error that somebody else met in reading the database. One
// that the database cannot heal stops the writer. It does not wait.
func (w *Writer) ReadFailed(err error) {
	if _, remedy := w.store.Trouble(err); remedy == RemedyStop {
		w.enqueue(readFailedIn{err})
	}
}

// isolate finds the one input that cannot be written, by halves, and makes it
// a dead letter.
func (w *Writer) isolate(ctx context.Context, inputs []input, cause error) error {
	if len(inputs) > 1 {
		half := len(inputs) / 2
		if err := w.commit(ctx, inputs[:half]); err != nil {
			return err
		}
		return w.commit(ctx, inputs[half:])
	}
	if len(refuse(inputs, ErrStorage)) == 0 {
		return w.commit(ctx, nil) // an operator's request: answered
	}
	in, ok := inputs[0].(fromKafka)
	if !ok {
		return w.commit(ctx, nil) // nothing is lost: time, or news of what was sent, comes again
	}
	return w.commit(ctx, []input{deadLetterIn{in.kafkaRecord(), "could not be written: " + cut(cause.Error(), 300)}})
}

// waitForRetry passes time while the database cannot be written: operators are
// refused, everybody else waits.
func (w *Writer) waitForRetry(ctx context.Context, d time.Duration, inputs []input) ([]input, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		w.cfg.Hooks.Iterated() // it waits, and does not hang
		select {
		case <-ctx.Done():
			return inputs, ctx.Err()
		case a := <-w.requests:
			a.refuse(ErrStorage)
		case <-timer.C:
			return inputs, nil
		}
	}
}

// refuse answers operators that nothing happened and leaves the rest.
func refuse(inputs []input, err error) []input {
	var rest []input
	for _, in := range inputs {
		if a, ok := in.(*operatorIn); ok {
			a.refuse(err)
		} else {
			rest = append(rest, in)
		}
	}
	return rest
}

// tryCommit applies inputs and commits them; without inputs it makes sure that the
// state is there. When it fails nothing has happened: the state is that of the
// database.
func (w *Writer) tryCommit(ctx context.Context, inputs []input) error {
	w.cfg.Hooks.Iterated()
	if w.orders == nil {
		if err := w.reload(ctx); err != nil {
			return err
		}
	}
	u := w.newUnit(context.WithoutCancel(ctx))
	err := w.applyAll(u, inputs)
	if err == nil && !u.empty() {
		began := time.Now()
		err = w.store.Write(ctx, func(tx Tx) error { return u.write(tx) })
		w.cfg.Hooks.Committed(time.Since(began))
	}
	if err != nil {
		w.orders, w.dirty = nil, u.touched // what is in memory of them is not what is on disk
		return err
	}
	w.live.setDatabase("")
	if u.repliesBefore > 0 {
		w.cleanupAfter = cleanupEvery
		if u.cleanupMore {
			w.cleanupAfter = cleanupPause
		}
	}
	w.afterCommit(u)
	return nil
}

// inputError is the fault of an input, not of the database.
type inputError struct{ error }

func isInputs(err error) bool {
	var in inputError
	return errors.As(err, &in)
}

// applyAll applies inputs to the state. The pure packages promise not to panic; if
// they do, the input at fault is isolated like one that cannot be written. After
// a look-up that failed a panic is no wonder: then that error counts.
func (w *Writer) applyAll(u *unit, inputs []input) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("input broke a rule of the program", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = inputError{fmt.Errorf("broke a rule of the program: %v", p)}
			if u.err != nil {
				err = u.err
			}
		}
	}()
	for _, in := range inputs {
		in.apply(u)
		if u.err != nil {
			return u.err
		}
	}
	return nil
}

// afterCommit lets out what the commit allows.
func (w *Writer) afterCommit(u *unit) {
	if len(u.commands)+len(u.centralEvents) > 0 {
		crashpoint.At(crashpoint.Ordered)
	}
	if len(u.acks) > 0 {
		crashpoint.At(crashpoint.Applied)
	}
	w.live.addCounts(u.counts)
	w.rememberBridgeRuns(u.bridgeDeadLetters)
	u.reportTo(&w.cfg.Hooks)
	w.refreshBooks(u)
	for id := range u.touched {
		if cp := w.cps[id]; cp != nil {
			w.live.show(w.viewOf(cp, u.now))
		} else if id == "" { // wanted of the whole network
			w.showAll(u.now)
		}
	}
	w.live.publishFacts(u.facts)
	for _, f := range u.facts {
		w.log.Info("fact", f.attrs()...)
	}
	if len(u.centralEvents)+len(u.deadLetters) > 0 {
		w.wakeOutbox()
	}
	if u.fenceEvaluated {
		w.applyFence()
	}
	for _, reply := range u.sendReplies { // who asked sees it when he looks
		reply()
	}
	if !w.live.Active() {
		return
	}
	now := time.Now()
	for _, a := range u.acks {
		w.pacer.queue(a, now)
	}
	for i := range u.commands {
		c := &u.commands[i]
		raw, err := c.Encode()
		if err != nil {
			w.log.Error("command cannot be encoded", slog.String("command_id", string(c.ID)), slog.String("err", err.Error()))
			continue
		}
		w.out.Command(w.self, c.CPID, c.ID, raw, func() { w.enqueue(commandSentIn{c.CPID, c.ID}) })
	}
}

// refreshBooks reads the books again when a hole or an alarm changed.
func (w *Writer) refreshBooks(u *unit) {
	if !u.booksChanged {
		return
	}
	lost, err1 := w.store.Lost(u.ctx)
	alarms, err2 := w.store.OpenAlarms(u.ctx)
	last, _, err3 := w.store.LastAlarm(u.ctx)
	twice, err4 := w.store.Twice(u.ctx)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		w.log.Error("books cannot be read", slog.String("err", err.Error()))
		return
	}
	w.live.setBooks(lost, alarms, twice, last)
}

// sendAck acknowledges what is committed of a journal. It runs between
// transactions only, so that the state is that of the database.
func (w *Writer) sendAck(a pendingAck) {
	cp := w.cps[a.cp]
	if cp == nil || !w.live.Active() {
		return
	}
	ack, err := w.ackFor(cp, a.journal)
	if err != nil { // not "unknown", which would send the agent back: it asks again
		w.log.Error("acknowledgement cannot be made", slog.String("cp_id", string(a.cp)), slog.String("err", err.Error()))
		return
	}
	ack.Central, ack.At = cp.Epoch(w.self), w.now()
	raw, err := ack.Encode()
	if err != nil {
		w.log.Error("acknowledgement cannot be encoded", slog.String("cp_id", string(a.cp)), slog.String("err", err.Error()))
		return
	}
	w.out.Ack(w.self, a.cp, raw)
}

// keepJournals is how many journals of a charging point stay in memory at
// least: those of an outage with a few restarts. Others are read when a record
// names them.
const keepJournals = 8

// reload reads back, after a transaction failed, what it had changed in memory:
// the charging points that it touched, and what is open of orders. Nothing of it
// grows with history.
func (w *Writer) reload(ctx context.Context) error {
	if w.cps == nil {
		return w.load(ctx)
	}
	ctx = context.WithoutCancel(ctx)
	if len(w.dirty) > 0 {
		fresh, err := w.store.Recent(ctx, keepJournals, slices.Collect(maps.Keys(w.dirty))...)
		if err != nil {
			return err
		}
		for id := range w.dirty {
			if cp := fresh[id]; cp != nil {
				w.cps[id] = cp
			} else {
				delete(w.cps, id) // it was to be made
			}
		}
	}
	st := orders.New(w.cfg.Orders, w.self, w.numbers)
	if err := w.store.LoadOrders(ctx, st); err != nil {
		return err
	}
	w.orders, w.dirty = st, nil
	return nil
}

// ackFor is the acknowledgement of a journal, as committed.
func (w *Writer) ackFor(cp *ledger.CP, journal charge.JournalID) (wire.Ack, error) {
	u := unit{w: w, ctx: context.Background(), cp: cp.ID}
	return ledger.AckFor(cp, &ledger.Env{Journal: u.journal}, journal), u.err
}

// load reads the state from the database.
func (w *Writer) load(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	cps, err := w.store.Recent(ctx, keepJournals)
	if err != nil {
		return err
	}
	st := orders.New(w.cfg.Orders, w.self, w.numbers)
	if err := w.store.LoadOrders(ctx, st); err != nil {
		return err
	}
	counters, err1 := w.store.Counters(ctx)
	lost, err2 := w.store.Lost(ctx)
	alarms, err3 := w.store.OpenAlarms(ctx)
	last, _, err5 := w.store.LastAlarm(ctx)
	tariffs, err4 := w.store.Tariffs(ctx)
	twice, err6 := w.store.Twice(ctx)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return err
	}
	w.cps, w.orders, w.dirty = cps, st, nil
	w.tariffs = make(map[charge.TariffVersion]ledger.Tariff, len(tariffs))
	for _, t := range tariffs {
		w.tariffs[t.Version] = t
	}
	w.live.setLoaded(w.self, counters, w.tariffs)
	w.live.setBooks(lost, alarms, twice, last)
	w.showAll(w.now())
	return nil
}

func (w *Writer) showAll(now charge.Time) {
	for _, cp := range w.cps {
		w.live.show(w.viewOf(cp, now))
	}
}
