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
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

var (
	topics = ingest.Topics{
		Events: wire.TopicEvents, Telemetry: wire.TopicTelemetry, Monitor: wire.TopicMonitor, Commands: wire.TopicCommands,
		Drivers: wire.TopicDriverEvents, Central: wire.TopicCentralEvents, DeadLetters: wire.TopicDeadLetters,
	}
	tariff = ledger.Tariff{Version: "t1", StartFee: 100 * money.MinorUnit, PerKWh: 45 * money.MinorUnit, Currency: "EUR"}
)

// db is the real database as the writer sees it.
type db struct{ *store.Store }

func (d db) Write(ctx context.Context, fn func(ingest.Tx) error) error {
	return d.Store.Write(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (d db) Trouble(err error) (string, ingest.Remedy) {
	words, r := store.Trouble(err)
	return words, ingest.Remedy(r)
}

// wired is what left Central.
type wired struct {
	mu       sync.Mutex
	acks     []wire.Ack
	acksOf   map[charge.CPID]wire.Ack
	commands []wire.Command
	progress []wire.CentralEvent
	alive    int
	by       charge.Epoch // of the Central that said the last ack or command
}

func (s *wired) Ack(by charge.Epoch, cp charge.CPID, raw []byte) {
	a, err := wire.DecodeAck(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		panic(err)
	}
	s.acks, s.by = append(s.acks, a), by
	s.acksOf[cp] = a
}

func (s *wired) Command(by charge.Epoch, _ charge.CPID, _ charge.CommandID, raw []byte, sent func()) {
	c, err := wire.DecodeCommand(raw)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	s.commands, s.by = append(s.commands, c), by
	s.mu.Unlock()
	sent()
}

func (s *wired) Progress(_ string, _ charge.SessionID, raw []byte) {
	e, err := wire.DecodeCentralEvent(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		panic(err)
	}
	s.progress = append(s.progress, e)
}

func (s *wired) Alive([]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alive++
}

func (s *wired) acked(cp charge.CPID) charge.Seq {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acksOf[cp].Seq
}

// ackedBy is the epoch of the last acknowledgement of a charging point.
func (l *life) ackedBy(cp charge.CPID) charge.Epoch {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	return l.out.acksOf[cp].Central
}

// commandedBy is the epoch of the last command to a charging point.
func (l *life) commandedBy(cp charge.CPID) (e charge.Epoch) {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	for i := range l.out.commands {
		if l.out.commands[i].CPID == cp {
			e = l.out.commands[i].Central
		}
	}
	return e
}

func (s *wired) count() (acks, commands, alive int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acks), len(s.commands), s.alive
}

// life is one life of Central over a database.
type life struct {
	t     *testing.T
	store *store.Store
	out   *wired
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

// run names a new start of Central.
func run() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// epoch is of the nth start of Centrals on one database, at another place.
func epoch(n int) charge.Epoch {
	return charge.Epoch{Number: uint64(100_000 + n), Run: "00000000000000ab"}
}

func newLife(t *testing.T, o store.Options, cfg ingest.Config) *life {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.Tariff(tariff, 1) }); err != nil {
		t.Fatal(err)
	}
	return startLife(t, s, cfg)
}

func startLife(t *testing.T, s *store.Store, cfg ingest.Config) *life {
	t.Helper()
	return runLife(t, s, db{s}, cfg)
}

// runLife starts a life whose writer sees the database as given.
func runLife(t *testing.T, s *store.Store, seen ingest.Store, cfg ingest.Config) *life {
	t.Helper()
	l := &life{t: t, store: s, out: &wired{acksOf: map[charge.CPID]wire.Ack{}}, live: ingest.NewLive(tariff), done: make(chan struct{}), next: map[string]int64{}}
	l.live.SetClock(func() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) })
	l.w = ingest.New(cfg, seen, l.out, l.live, func() {}, slog.New(slog.DiscardHandler))
	var ctx context.Context
	ctx, l.stop = context.WithCancel(t.Context())
	go func() {
		defer close(l.done)
		var wg sync.WaitGroup
		wg.Go(func() { l.w.Pulse(ctx) })
		if err := l.w.Run(ctx); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}()
	return l
}

// central starts a life and makes it active.
func central(t *testing.T, dir string) *life {
	t.Helper()
	l := newLife(t, options(dir), config())
	l.w.Join(charge.Epoch{})
	synctest.Wait()
	return l
}

func options(dir string) store.Options {
	return store.Options{Path: filepath.Join(dir, "c.db"), BusyTimeout: time.Millisecond}
}

// end ends a life as a kill does, as far as the database can tell: nothing more
// is written.
func (l *life) end() {
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

// deliver hands messages to the writer as one batch of a partition.
func (l *life) deliver(topic string, msgs ...journaltest.Message) {
	l.t.Helper()
	l.hand(topic, false, msgs...)
}

// hand delivers messages; past ones were in the log before this life.
func (l *life) hand(topic string, past bool, msgs ...journaltest.Message) {
	l.t.Helper()
	if err := l.w.Take(l.t.Context(), l.batch(topic, past, msgs...)); err != nil {
		l.t.Error(err)
	}
}

// batch is messages as they come next of a topic.
func (l *life) batch(topic string, past bool, msgs ...journaltest.Message) []ingest.Delivered {
	batch := make([]ingest.Delivered, 0, len(msgs))
	for _, m := range msgs {
		batch = append(batch, ingest.Delivered{
			Topic: topic, Offset: l.next[topic], CRC: crc32.ChecksumIEEE(m.Value), Key: m.Key, Kind: m.Kind, Value: m.Value,
			ReceivedAt: charge.At(time.Now()), Past: past,
		})
		l.next[topic]++
	}
	return batch
}

// hash is one value over the accounts.
func (l *life) hash() string {
	l.t.Helper()
	cps, err := l.store.CPs(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	var all []*ledger.CP
	for _, cp := range cps {
		all = append(all, cp)
	}
	sessions, err := l.store.Sessions(l.t.Context(), store.Query{Limit: 1000})
	if err != nil {
		l.t.Fatal(err)
	}
	tickets, err := l.store.Tickets(l.t.Context(), store.Query{Limit: 1000})
	if err != nil {
		l.t.Fatal(err)
	}
	return ledger.Hash(all, sessions, tickets)
}

func (l *life) counters() map[string]int64 {
	l.t.Helper()
	c, err := l.store.Counters(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}
