package ingest_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// gatedStore is a database that does not respond while gate is shut.
type gatedStore struct {
	db
	gate atomic.Pointer[chan struct{}]
}

func (h *gatedStore) Write(ctx context.Context, fn func(ingest.Tx) error) error {
	if gate := h.gate.Load(); gate != nil {
		<-*gate
	}
	return h.db.Write(ctx, fn)
}

func TestWriterIteratesWhileItIsIdleAndNotWhileTheDiskHangs(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), options(dir))
		if err != nil {
			t.Fatal(err)
		}
		var turns, pulses, commits, aged atomic.Int64
		cfg := config()
		cfg.Hooks = ingest.Hooks{
			Iterated: func() { turns.Add(1) }, Pulsed: func() { pulses.Add(1) },
			Committed: func(time.Duration) { commits.Add(1) }, RecordAge: func(time.Duration) { aged.Add(1) },
		}
		h := &gatedStore{db: db{s}}
		live := ingest.NewLive(tariff)
		w := ingest.New(cfg, h, &published{acksOf: map[charge.CPID]wire.Ack{}}, live, func() {}, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.Pulse(ctx) })
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		w.Join(charge.Epoch{})

		within := func(d time.Duration) (turned, pulsed int64) {
			turned, pulsed = turns.Load(), pulses.Load()
			time.Sleep(d)
			return turns.Load() - turned, pulses.Load() - pulsed
		}
		if turned, pulsed := within(30 * time.Second); turned < 29 || pulsed < 29 {
			t.Errorf("idle for 30 s: %d turns, %d pulses; want one each second", turned, pulsed)
		}

		gate := make(chan struct{})
		h.gate.Store(&gate)
		p := journaltest.New(t, "CP_1")
		l := &instance{t: t, w: w, next: map[string]int64{}}
		l.deliver(topics.Events, p.All...)
		synctest.Wait()
		if turned, pulsed := within(30 * time.Second); turned != 0 || pulsed < 29 {
			t.Errorf("the disk hangs: %d turns, %d pulses; want no turn and a pulse each second", turned, pulsed)
		}
		h.gate.Store(nil)
		close(gate)
		if turned, _ := within(10 * time.Second); turned < 9 || aged.Load() != int64(p.Seq) || commits.Load() == 0 {
			t.Errorf("the disk answers: %d turns, ages of %d records, %d commits; want %d records", turned, aged.Load(), commits.Load(), p.Seq)
		}
		stop()
		running.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestEachCommandIsReportedOnceWhenItHasEnded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		ended := map[orders.CommandState]int{}
		cfg := config()
		cfg.Hooks.CommandEnded = func(kind wire.CommandType, how orders.CommandState) {
			mu.Lock()
			defer mu.Unlock()
			if kind != wire.CommandReserve {
				t.Errorf("got the end of a %s, want RESERVE only", kind)
			}
			ended[how]++
		}
		l := newInstance(t, options(dir), cfg)
		l.w.Join(charge.Epoch{})
		synctest.Wait()
		p := journaltest.New(t, "CP_1")
		l.deliver(topics.Events, p.All...)
		l.deliver(topics.Monitor, p.Presence(1, charge.Epoch{}))
		time.Sleep(time.Second)
		r, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Order{Request: orders.OperatorReserve{Target: orders.Target{CPID: "CP_1", Connector: 1}, Username: "ana"}})
		if err != nil || r.Refused != "" {
			t.Fatalf("got %+v %v", r, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait() // one ends at this very moment
		all, err := l.store.Commands(t.Context(), view.Query{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		over := 0
		for i := range all {
			if all[i].State == orders.Expired {
				over++
			}
		}
		l.end() // which may take the lock below once more
		mu.Lock()
		defer mu.Unlock()
		if len(ended) != 1 || ended[orders.Expired] != over || over < 10 {
			t.Errorf("no results: got %v, want %d expired, one every 5 s", ended, over)
		}
	})
}

// One id is in everything published about a session, from the record to the
// ticket.
func TestEventsOfASessionAreTraced(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		p := journaltest.New(t, "CP_1")
		p.Charge(1)
		l.deliver(topics.Events, p.All...)
		time.Sleep(time.Second)
		rows, err := l.store.Outbox(t.Context(), wire.TopicCentralEvents, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		tickets := 0
		for _, r := range rows {
			e, err := wire.DecodeCentralEvent(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			if r.Headers[wire.HeaderTrace] != string(e.SessionID) {
				t.Errorf("%s of session %q: headers are %v", e.EventType, e.SessionID, r.Headers)
			}
			if e.EventType == wire.CentralTicket && e.SessionID == "CP_1-1" {
				tickets++
			}
		}
		facts := 0
		all, _ := l.live.Facts(0)
		for _, f := range all {
			if f.SessionID == "CP_1-1" {
				facts++
			}
		}
		if tickets != 1 || facts < 4 {
			t.Errorf("got %d tickets and %d facts of the session, want 1 and its begin, start, stop and ticket", tickets, facts)
		}
		l.end()
	})
}
