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
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// Writer owns the network's state. New starts no goroutine. Run's goroutine
// owns every field except the channels, live, and what mu guards; the other
// methods may be called from any goroutine unless their comment restricts it.
type Writer struct {
	cfg   Config
	store Store
	out   Sender
	live  *Live
	log   *slog.Logger
	// wakeOutbox makes the outbox look for new rows. It does not block.
	wakeOutbox func()

	// records has batches of cp-events, driver-events and central-events. Run
	// receives from it only while this Central is active, so the readers block
	// otherwise.
	records chan []input
	// monitor has batches of monitor-events, which are read in every state.
	monitor chan []input
	// requests has operators' requests. It is not buffered, so a sender knows
	// that Run has accepted its request.
	requests     chan *operatorIn
	stopped      chan struct{} // closed when Run has returned
	queuedSignal chan struct{} // buffered by 1: queued or joins is not empty

	self charge.Epoch
	// cps are all charging points, changed by each unit before its commit.
	// dirty are those whose state in memory may differ from the database,
	// because a commit failed; orders is nil as long as there are any.
	cps     map[charge.CPID]*ledger.CP
	orders  *orders.State
	dirty   map[charge.CPID]struct{}
	tariffs ledger.Tariffs
	// settings are what operators set for charging points.
	settings map[charge.CPID]view.CPSettings
	pacer    pacer
	// bridgeDeadLetters caches how many dead letters are committed for some
	// runs of bridges.
	bridgeDeadLetters map[bridgeRun]int64
	// cleanupAfter is the delay until the next deletion of old rows; 0 leaves
	// the ticker as it is.
	cleanupAfter time.Duration
	// outrank is a higher epoch that an earlier Central wrote. At outrankAt
	// (zero: never) this Central chooses an epoch above it, unless it is fenced
	// before.
	outrank            charge.Epoch
	outrankAt          time.Time
	numbers            orders.Numbers // of commands, counted from 1 in each run
	logReads           logReads
	caughtUp           bool        // see CaughtUp
	retentionNow       charge.Time // see advanceRetention
	retentionCheckedAt time.Time   // when retentionNow was advanced last

	mu sync.Mutex
	// mu guards what follows.
	queued          []input
	lastImplausible charge.Epoch   // of which an alarm was raised last
	joins           []charge.Epoch // calls of Join not yet handled, with the highest earlier epoch
}

// New returns a writer over an open store. wake is called after commits that
// add rows to the outbox; it must not block.
func New(cfg Config, store Store, out Sender, live *Live, wake func(), log *slog.Logger) *Writer {
	cfg.Hooks.setDefaults()
	cfg.SilentAfter = cmp.Or(cfg.SilentAfter, 5*time.Minute)
	return &Writer{
		cfg: cfg, store: store, out: out, live: live, wakeOutbox: wake, log: log,
		records: make(chan []input), monitor: make(chan []input), requests: make(chan *operatorIn), stopped: make(chan struct{}),
		queuedSignal: make(chan struct{}, 1), // one signal stands for all that is queued
		logReads:     newLogReads(),
		pacer:        newPacer(), numbers: orders.Numbers{}, bridgeDeadLetters: map[bridgeRun]int64{},
	}
}

func (w *Writer) now() charge.Time { return w.live.now() }

// maxRecordAge bounds how long ago a record can have been received: Kafka keeps
// records no longer. Without the bound, a bridge whose clock is behind would
// give its records a date at which they are already due for deletion.
const maxRecordAge = 35 * 24 * time.Hour

// Submit decodes a batch of records of one partition and passes it to Run. It
// blocks until Run has accepted the batch, which is before the batch is
// committed, or until ctx ends. Batches of a partition must come in the order
// of their offsets. Submit may be called for different partitions concurrently.
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

// OutboxSent reports that Kafka has these rows of the outbox. The next
// transaction deletes them. It does not block.
func (w *Writer) OutboxSent(ids []int64) { w.enqueue(outboxSentIn{ids}) }

// CaughtUp reports that Submit has returned for all that Centrals had published on
// central-events when this one became active. Until then no deadline of orders is
// handled and no session is settled: a database that was restored from a backup may
// lack the answer to a request, or the ticket of a session. It does not block.
func (w *Writer) CaughtUp() { w.enqueue(caughtUpIn{}) }

// enqueue adds an input for Run without blocking. The queue has no bound of its
// own: senders add at most a few inputs per second, charging point, command and
// page of the outbox.
func (w *Writer) enqueue(in input) {
	w.mu.Lock()
	w.queued = append(w.queued, in)
	w.mu.Unlock()
	select {
	case w.queuedSignal <- struct{}{}:
	default: // a signal is pending already
	}
}

// drainQueue returns what was enqueued, and the calls of Join, since the last
// call.
func (w *Writer) drainQueue() ([]input, []charge.Epoch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	queued, joins := w.queued, w.joins
	w.queued, w.joins = nil, nil
	return queued, joins
}

// Run owns the state until ctx ends, which is not an error. It returns an error
// only if the database cannot be read at the start.
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
			return nil // stopping is not an error
		}
		if err := w.commit(ctx, inputs); err != nil {
			return nil // commit fails only when ctx ends
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

// Old rows are looked for once per cleanupEvery. One transaction deletes at
// most maxBatch rows; if there are more, the next follows after cleanupPause,
// so that other inputs are not delayed.
const (
	cleanupEvery = time.Minute
	cleanupPause = 250 * time.Millisecond
)

// nextBatch blocks until there is an input or a deadline, and returns all that
// waits, up to about maxBatch inputs. It returns nil if there is nothing to
// apply.
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
		queued, joins := w.drainQueue()
		all = append(all, queued...)
		w.join(ctx, joins)
	case <-timer:
		if w.caughtUp {
			all = append(all, tickIn{})
		}
	case <-cleanup:
		all = append(all, cleanupIn{})
	case <-iterate:
	}
	w.cfg.Hooks.Iterated()
	if len(all) == 0 {
		return nil // Active may have changed, and with it which channels are received from
	}
	for len(all) < maxBatch {
		select {
		case b := <-records:
			all = append(all, b...)
		case b := <-w.monitor:
			all = append(all, b...)
		case a := <-w.requests:
			all = append(all, a)
		default: // no sender waits; deadlines come with the next batch
			return all
		}
	}
	return all
}

// untilNext returns the time until the next deadline: of orders, of a pending
// acknowledgement, or of a new epoch.
func (w *Writer) untilNext(now time.Time) time.Duration {
	wait := maxSleep
	if due := w.orders.NextDeadline(); due != 0 && w.caughtUp {
		wait = min(wait, due.Sub(w.now()))
	}
	if at := earlier(w.pacer.next(), w.outrankAt); !at.IsZero() {
		wait = min(wait, at.Sub(now))
	}
	return max(wait, minSleep)
}

// maxSleep bounds untilNext. Deadlines of orders are wall-clock times; if the
// clock is set back while the writer sleeps, a timer set before would be days
// too late.
const maxSleep = time.Minute

// minSleep keeps a deadline that stays due from busy-looping the writer.
const minSleep = 10 * time.Millisecond

// earlier returns the earlier of two times; zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// firstWait and lastWait are the first and the longest wait between attempts to
// write; the wait doubles after each attempt.
const (
	firstWait = 50 * time.Millisecond
	lastWait  = time.Second
)

// commit applies inputs and commits them, with as many attempts as it needs. It
// returns an error only if ctx has ended; then nothing that is left is
// committed. Operators' requests are not retried: they are refused with
// ErrStorage, because the operator waits for the response.
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
		why, remedy := w.store.Trouble(err)
		switch {
		case remedy == RemedyWait:
		case (remedy == RemedyRow || isInputs(err)) && len(inputs) > 0:
			w.log.Error("rows were refused", slog.Int("inputs", len(inputs)), slog.String("err", err.Error()))
			return w.isolate(ctx, inputs, err)
		default:
			return w.halt(ctx, inputs, cmp.Or(why, reason.Reason{Code: reason.DatabaseUnusable}), err)
		}
		w.log.Error("database cannot be written", slog.String("trouble", why.String()), slog.String("err", err.Error()))
		w.live.setDatabase(why)
		inputs = refuse(inputs, ErrStorage)
		if inputs, err = w.waitForRetry(ctx, wait, inputs); err != nil {
			return err
		}
		wait = min(2*wait, lastWait)
	}
}

// halt writes nothing more until ctx ends, and returns ctx's error. It is
// called if the database is damaged: then a refused row proves nothing about
// its input, so nothing becomes a dead letter. No offset moves, so all inputs
// are read again by a Central that starts on a sound database.
func (w *Writer) halt(ctx context.Context, inputs []input, why reason.Reason, err error) error {
	w.log.Error("database cannot be used: nothing more is written", slog.String("trouble", why.String()), slog.String("err", err.Error()))
	why.Detail = truncate(err.Error(), 200)
	w.live.setDamaged(why)
	refuse(inputs, ErrStorage)
	for {
		if _, err := w.waitForRetry(ctx, iterateEvery, nil); err != nil {
			return err
		}
	}
}

// ReadFailed reports an error of reading the database outside the writer. The
// writer halts if the error shows damage. It does not block.
func (w *Writer) ReadFailed(err error) {
	if _, remedy := w.store.Trouble(err); remedy == RemedyStop {
		w.enqueue(readFailedIn{err})
	}
}

// isolate finds the one input that cannot be written, by halving the batch, and
// replaces it by a dead letter. The other inputs are committed.
func (w *Writer) isolate(ctx context.Context, inputs []input, cause error) error {
	if len(inputs) > 1 {
		half := len(inputs) / 2
		if err := w.commit(ctx, inputs[:half]); err != nil {
			return err
		}
		return w.commit(ctx, inputs[half:])
	}
	if len(refuse(inputs, ErrStorage)) == 0 {
		return w.commit(ctx, nil) // it was an operator's request, and is answered
	}
	in, ok := inputs[0].(fromKafka)
	if !ok {
		return w.commit(ctx, nil) // nothing is lost: timers and confirmations are repeated
	}
	return w.commit(ctx, []input{deadLetterIn{in.kafkaRecord(), reason.Reason{Code: reason.NotWritten, Detail: truncate(cause.Error(), 300)}}})
}

// waitForRetry waits for d while the database cannot be written. It refuses
// operators' requests meanwhile; readers keep waiting in Submit.
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

// refuse answers the operators' requests among inputs with err, and returns the
// other inputs.
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

// tryCommit makes one attempt to apply and commit inputs. Without inputs it
// only makes sure that the state is loaded. If it fails, nothing has happened
// outside, and the changed part of the state is loaded again by the next
// attempt.
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
		w.orders, w.dirty = nil, u.changed // memory is ahead of the database
		return err
	}
	w.live.setDatabase(reason.Reason{})
	if u.answersBefore > 0 {
		w.cleanupAfter = cleanupEvery
		if u.cleanupMore {
			w.cleanupAfter = cleanupPause
		}
	}
	w.afterCommit(u)
	return nil
}

// inputError is an error caused by an input, not by the database.
type inputError struct{ error }

func isInputs(err error) bool {
	var in inputError
	return errors.As(err, &in)
}

// applyAll applies inputs to the state in memory and collects their rows in u.
// The pure packages do not panic; should one do so, the panic becomes an
// inputError and its input is isolated like one that cannot be written. If a
// look-up failed before, the panic can be its consequence, so the look-up's
// error is returned.
func (w *Writer) applyAll(u *unit, inputs []input) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("applying an input panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = inputError{fmt.Errorf("applying it panicked: %v", p)}
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

// afterCommit publishes what the commit of u allows: the live view, replies to
// operators, the outbox, acknowledgements and commands. The latter two are sent
// only by an active Central.
func (w *Writer) afterCommit(u *unit) {
	if len(u.commands)+len(u.centralEvents) > 0 {
		crashpoint.At(crashpoint.Ordered)
	}
	if len(u.acks) > 0 {
		crashpoint.At(crashpoint.Applied)
	}
	w.live.addCounts(u.counts)
	if len(u.tariffs) > 0 {
		for _, t := range u.tariffs {
			w.tariffs.Add(t)
		}
		w.live.setTariffs(slices.Clone(w.tariffs))
	}
	maps.Copy(w.settings, u.settings)
	w.rememberBridgeRuns(u.bridgeDeadLetters)
	u.reportTo(&w.cfg.Hooks)
	w.refreshBooks(u)
	for id := range u.changed {
		if cp := w.cps[id]; cp != nil {
			w.live.show(w.viewOf(cp, u.now))
		} else if id == "" { // a desired state of the whole network changed
			w.showAll(u.now)
		}
	}
	w.live.publishFacts(u.facts)
	for i := range u.facts {
		w.log.Info("fact", factAttrs(&u.facts[i])...)
	}
	if len(u.centralEvents)+len(u.deadLetters)+len(u.replays) > 0 {
		w.wakeOutbox()
	}
	if u.fenceEvaluated {
		w.applyFence()
	}
	for _, reply := range u.sendReplies { // after the live view, so that an operator finds the effect in it
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

// refreshBooks reads the totals again if a gap or an alarm changed.
func (w *Writer) refreshBooks(u *unit) {
	if !u.booksChanged {
		return
	}
	lost, err1 := w.store.Lost(u.ctx)
	alarms, err2 := w.store.OpenAlarms(u.ctx)
	last, _, err3 := w.store.LastAlarm(u.ctx)
	twice, err4 := w.store.Twice(u.ctx)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		w.log.Error("totals cannot be read", slog.String("err", err.Error()))
		return
	}
	w.live.setBooks(lost, alarms, twice, last)
}

// sendAck publishes the acknowledgement of a journal. It runs between
// transactions only, when the state in memory is that of the database.
func (w *Writer) sendAck(a pendingAck) {
	cp := w.cps[a.cp]
	if cp == nil || !w.live.Active() {
		return
	}
	ack, err := w.ackFor(cp, a.journal)
	if err != nil { // do not answer "unknown journal": the agent would send all again
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

// keepJournals is how many journals of a charging point are kept in memory, its
// newest ones. That covers an outage with a few restarts of the agent; older
// journals are read from the database when a record names them.
const keepJournals = 8

// reload restores the state after a failed commit: the charging points in
// dirty, and the open reservations, commands and requests of orders. Its cost
// does not grow with the history.
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
				delete(w.cps, id) // the failed unit created it
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

// ackFor returns the acknowledgement of a journal, as committed.
func (w *Writer) ackFor(cp *ledger.CP, journal charge.JournalID) (wire.Ack, error) {
	u := unit{w: w, ctx: context.Background(), cp: cp.ID}
	return ledger.AckFor(cp, &ledger.Env{Journal: u.journal}, journal), u.err
}

// load reads the whole state from the database.
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
	settings, err7 := w.store.AllCPSettings(ctx)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return err
	}
	w.cps, w.orders, w.dirty = cps, st, nil
	w.tariffs = tariffs
	w.settings = make(map[charge.CPID]view.CPSettings, len(settings))
	for _, s := range settings {
		w.settings[s.CPID] = s
	}
	w.live.setLoaded(w.self, counters, slices.Clone(w.tariffs))
	w.live.setBooks(lost, alarms, twice, last)
	w.showAll(w.now())
	return nil
}

// showAll refreshes the live view of all charging points.
func (w *Writer) showAll(now charge.Time) {
	for _, cp := range w.cps {
		w.live.show(w.viewOf(cp, now))
	}
}
