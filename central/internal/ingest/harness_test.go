package ingest_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/crc32"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/wire"
)

var (
	topics = ingest.Topics{
		Events: wire.TopicEvents, Telemetry: wire.TopicTelemetry, Monitor: wire.TopicMonitor, Commands: wire.TopicCommands,
		Drivers: wire.TopicDriverEvents, Central: wire.TopicCentralEvents, DeadLetters: wire.TopicDeadLetters,
	}
	tariff = ledger.Tariff{Version: "t1", StartFee: 100, PerKWh: 45, Currency: "EUR"}
)

// db is the real database as the writer sees it.
type db struct{ *store.Store }

func (d db) Write(ctx context.Context, fn func(ingest.Tx) error) error {
	return d.Store.Write(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (d db) Trouble(err error) (string, bool) { return store.Trouble(err) }

// wired is what left Central.
type wired struct {
	mu       sync.Mutex
	acks     []wire.Ack
	acksOf   map[charge.CPID]wire.Ack
	commands []wire.Command
	progress []wire.CentralEvent
	alive    int
}

func (s *wired) Ack(cp charge.CPID, raw []byte) {
	a, err := wire.DecodeAck(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		panic(err)
	}
	s.acks = append(s.acks, a)
	s.acksOf[cp] = a
}

func (s *wired) Command(_ charge.CPID, _ charge.CommandID, raw []byte, sent func()) {
	c, err := wire.DecodeCommand(raw)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	s.commands = append(s.commands, c)
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
	next  map[string]int64
	mu    sync.Mutex
}

func config() ingest.Config {
	return ingest.Config{
		Topics: topics, Default: tariff, Admit: true, KeepAnswers: 7 * 24 * time.Hour,
		IDs: func() string { return ids.New(time.Now(), rand.Reader) },
		Mint: func(above charge.Incarnation, now time.Time) (charge.Incarnation, error) {
			id, err := ids.After(string(above), now, rand.Reader)
			return charge.Incarnation(id), err
		},
		BornAt: func(id charge.Incarnation) (time.Time, error) { return ids.Time(string(id)) },
	}
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
	l := &life{t: t, store: s, out: &wired{acksOf: map[charge.CPID]wire.Ack{}}, live: ingest.NewLive(tariff), done: make(chan struct{}), next: map[string]int64{}}
	l.w = ingest.New(cfg, db{s}, l.out, l.live, func() {}, slog.New(slog.DiscardHandler))
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
	l.w.Join("")
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
func (l *life) deliver(topic string, msgs ...ingest.Delivered) {
	l.t.Helper()
	for i := range msgs {
		m := &msgs[i]
		m.Topic, m.Offset, m.ReceivedAt = topic, l.next[topic], charge.At(time.Now())
		m.CRC = crc32.ChecksumIEEE(m.Value)
		l.next[topic]++
	}
	if err := l.w.Take(l.t.Context(), msgs); err != nil {
		l.t.Error(err)
	}
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

// agent writes the journal of one charging point.
type agent struct {
	t       testing.TB
	cp      charge.CPID
	journal charge.JournalID
	seq     charge.Seq
	prev    string
	reg     charge.WattHours
	all     []ingest.Delivered
}

func newAgent(tb testing.TB, cp charge.CPID) *agent {
	tb.Helper()
	a := &agent{t: tb, cp: cp, reg: 1000}
	a.boot()
	return a
}

func (a *agent) boot() {
	var after *wire.Position
	if a.seq > 0 {
		after = &wire.Position{Journal: a.journal, Seq: a.seq}
	}
	a.journal, a.seq = charge.JournalID(ids.New(time.Now(), rand.Reader)), 0
	reg := a.reg
	a.write(0, "", &wire.Registered{After: after, Agent: "test", Simulated: true, Connectors: []wire.ConnectorState{
		{Connector: 1, Status: charge.StatusAvailable, Register: &reg, Available: true, Rated: 22_000},
	}})
}

func (a *agent) write(k charge.ConnectorID, s charge.SessionID, p wire.Payload) ingest.Delivered {
	a.t.Helper()
	r, err := wire.NewRecord(p)
	if err != nil {
		a.t.Fatal(err)
	}
	a.seq++
	r.CPID, r.Journal, r.Seq, r.Prev, r.Connector, r.SessionID = a.cp, a.journal, a.seq, a.prev, k, s
	r.At, r.Clock, r.UptimeMS = charge.At(time.Now()), charge.ClockSynced, int64(a.seq)*1000
	raw, err := r.Encode()
	if err != nil {
		a.t.Fatal(err)
	}
	a.prev = wire.Hash(raw)
	d := ingest.Delivered{Key: string(a.cp), Value: raw}
	a.all = append(a.all, d)
	return d
}

// charge writes one whole session.
func (a *agent) charge(n int) {
	a.t.Helper()
	id := charge.SessionID(fmt.Sprintf("%s-%d", a.cp, n))
	a.write(1, "", &wire.PluggedIn{})
	a.write(1, id, &wire.Authorized{By: wire.GrantFreeVend, Username: "ann", Register: a.reg, Tariff: "t1"})
	a.write(1, id, &wire.ChargingStarted{Register: a.reg, Username: "ann"})
	start := a.reg
	for range 3 {
		a.reg += 700
		a.write(1, id, &wire.MeterRead{Register: a.reg, Power: 11_000})
	}
	a.write(1, id, &wire.ChargingStopped{Reason: charge.StopLocal, Start: start, Register: a.reg, Username: "ann", Tariff: "t1"})
	a.write(1, "", &wire.Unplugged{})
}

func (a *agent) presence(next charge.Seq, central charge.Incarnation) ingest.Delivered {
	a.t.Helper()
	p := wire.Presence{
		V: 1, Online: true, Journal: a.journal, Conn: 1, First: &wire.Position{Journal: a.journal, Seq: 1},
		Next: &wire.Position{Journal: a.journal, Seq: next}, Last: &wire.Position{Journal: a.journal, Seq: a.seq},
		Central: central, At: charge.At(time.Now()),
	}
	raw, err := p.Encode()
	if err != nil {
		a.t.Fatal(err)
	}
	return ingest.Delivered{Key: string(a.cp), Kind: wire.KindValuePresence, Value: raw}
}
