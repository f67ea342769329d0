package ingest_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"hash/crc32"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

var (
	topics = ingest.Topics{
		Events: wire.TopicEvents, Telemetry: wire.TopicTelemetry, Monitor: wire.TopicMonitor, Commands: wire.TopicCommands,
		Drivers: wire.TopicDriverEvents, Central: wire.TopicCentralEvents, DeadLetters: wire.TopicDeadLetters,
	}
	tariff = ledger.Tariff{Version: "t1", StartFee: 100 * money.MinorUnit, PerKWh: 45 * money.MinorUnit, Currency: "EUR"}
)

// db is the real database as the writer needs it.
type db struct{ *store.Store }

func (d db) Write(ctx context.Context, fn func(ingest.Tx) error) error {
	return d.Store.Write(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (d db) Trouble(err error) (reason.Reason, ingest.Remedy) {
	why, r := store.Diagnose(err)
	return why, ingest.Remedy(r)
}

// published is what left Central.
type published struct {
	mu         sync.Mutex
	acks       []wire.Ack
	acksOf     map[charge.CPID]wire.Ack
	commands   []wire.Command
	progress   []wire.CentralEvent
	heartbeats int
	by         charge.Epoch // of the Central that sent the last ack or command
}

func (s *published) Ack(by charge.Epoch, cp charge.CPID, raw []byte) {
	a, err := wire.DecodeAck(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		panic(err)
	}
	s.acks, s.by = append(s.acks, a), by
	s.acksOf[cp] = a
}

func (s *published) Command(by charge.Epoch, _ charge.CPID, _ charge.CommandID, raw []byte, sent func()) {
	c, err := wire.DecodeCommand(raw)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	s.commands, s.by = append(s.commands, c), by
	s.mu.Unlock()
	sent()
}

func (s *published) Progress(_ string, _ charge.SessionID, raw []byte) {
	e, err := wire.DecodeCentralEvent(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		panic(err)
	}
	s.progress = append(s.progress, e)
}

func (s *published) Heartbeat([]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heartbeats++
}

func (s *published) acked(cp charge.CPID) charge.Seq {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acksOf[cp].Seq
}

// ackedBy is the epoch of the last acknowledgement of a charging point.
func (l *instance) ackedBy(cp charge.CPID) charge.Epoch {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	return l.out.acksOf[cp].Central
}

// commandedBy is the epoch of the last command to a charging point.
func (l *instance) commandedBy(cp charge.CPID) (e charge.Epoch) {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	for i := range l.out.commands {
		if l.out.commands[i].CPID == cp {
			e = l.out.commands[i].Central
		}
	}
	return e
}

func (s *published) count() (acks, commands, alive int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acks), len(s.commands), s.heartbeats
}

// instance is one run of Central over a database.
type instance struct {
	t     *testing.T
	store *store.Store
	out   *published
	live  *ingest.Live
	w     *ingest.Writer
	stop  context.CancelFunc
	done  chan struct{}
	ahead atomic.Int64 // nanoseconds by which Central's clock is wrong
	next  map[string]int64
	mu    sync.Mutex
}

func config() ingest.Config {
	return ingest.Config{
		Topics: topics, Default: tariff, Admit: true, KeepAnswers: 7 * 24 * time.Hour,
		IDs: func() string { return ids.New(time.Now(), rand.Reader) },
		Run: run(),
	}
}

// run returns the run of a new start.
func run() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// epoch is that of the nth start of another Central on one database.
func epoch(n int) charge.Epoch {
	return charge.Epoch{Number: uint64(100_000 + n), Run: "00000000000000ab"}
}

func newInstance(t *testing.T, o store.Options, cfg ingest.Config) *instance {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.Tariff(tariff, 1) }); err != nil {
		t.Fatal(err)
	}
	return startInstance(t, s, cfg)
}

func startInstance(t *testing.T, s *store.Store, cfg ingest.Config) *instance {
	t.Helper()
	return runInstance(t, s, db{s}, cfg)
}

// runInstance starts a run whose writer uses the given view of the database, and has
// read what was published before.
func runInstance(t *testing.T, s *store.Store, seen ingest.Store, cfg ingest.Config) *instance {
	t.Helper()
	l := launch(t, s, seen, cfg)
	l.w.CaughtUp()
	return l
}

// launch starts a run that has not read yet what was published before.
func launch(t *testing.T, s *store.Store, seen ingest.Store, cfg ingest.Config) *instance {
	t.Helper()
	l := &instance{t: t, store: s, out: &published{acksOf: map[charge.CPID]wire.Ack{}}, live: ingest.NewLive(tariff), done: make(chan struct{}), next: map[string]int64{}}
	l.live.SetClock(func() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) })
	l.w = ingest.New(cfg, seen, l.out, l.live, func() {}, slog.New(slog.DiscardHandler))
	var ctx context.Context
	ctx, l.stop = context.WithCancel(t.Context())
	go func() {
		defer close(l.done)
		var wg sync.WaitGroup
		wg.Go(func() { l.w.Pulse(ctx) })
		wg.Go(func() { l.readLog(ctx) })
		if err := l.w.Run(ctx); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}()
	return l
}

// readLog reports each time that the log is read as far as it goes: a test delivers
// its messages before it waits.
func (l *instance) readLog(ctx context.Context) {
	for {
		select {
		case want := <-l.w.LogWanted():
			l.w.LogRead(want.N)
		case <-ctx.Done():
			return
		}
	}
}

// central starts a run and makes it active.
func central(t *testing.T, dir string) *instance {
	t.Helper()
	l := newInstance(t, options(dir), config())
	l.w.Join(charge.Epoch{})
	synctest.Wait()
	return l
}

func options(dir string) store.Options {
	return store.Options{Path: filepath.Join(dir, "c.db"), BusyTimeout: time.Millisecond}
}

// end ends a run. To the database it looks like a kill: nothing more is
// written.
func (l *instance) end() {
	l.t.Helper()
	l.stop()
	<-l.done
	if err := l.store.Check(l.t.Context()); err != nil {
		l.t.Error(err)
	}
	if err := l.store.Close(); err != nil {
		l.t.Error(err)
	}
}

// deliver submits messages to the writer as one batch of a partition.
func (l *instance) deliver(topic string, msgs ...journaltest.Message) {
	l.t.Helper()
	l.deliverAs(topic, false, msgs...)
}

// deliverAs submits messages; past ones were in the log before this run.
func (l *instance) deliverAs(topic string, past bool, msgs ...journaltest.Message) {
	l.t.Helper()
	if err := l.w.Submit(l.t.Context(), l.batch(topic, past, msgs...)); err != nil {
		l.t.Error(err)
	}
}

// batch numbers messages as the next records of a topic.
func (l *instance) batch(topic string, past bool, msgs ...journaltest.Message) []ingest.KafkaRecord {
	batch := make([]ingest.KafkaRecord, 0, len(msgs))
	for _, m := range msgs {
		batch = append(batch, ingest.KafkaRecord{
			Topic: topic, Offset: l.next[topic], CRC: crc32.ChecksumIEEE(m.Value), Key: m.Key, Kind: m.Kind, Value: m.Value,
			ReceivedAt: charge.At(time.Now()), BeforeStart: past,
		})
		l.next[topic]++
	}
	return batch
}

// hash is the hash of the ledger.
func (l *instance) hash() string {
	l.t.Helper()
	cps, err := l.store.CPs(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	var all []*ledger.CP
	for _, cp := range cps {
		all = append(all, cp)
	}
	sessions, err := l.store.Sessions(l.t.Context(), view.Query{Limit: 1000})
	if err != nil {
		l.t.Fatal(err)
	}
	tickets, err := l.store.Tickets(l.t.Context(), view.Query{Limit: 1000})
	if err != nil {
		l.t.Fatal(err)
	}
	return ledger.Hash(all, sessions, tickets)
}

func (l *instance) counters() map[string]int64 {
	l.t.Helper()
	c, err := l.store.Counters(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}
