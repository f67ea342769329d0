package ingest_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/internal/store/storetest"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

func once(key, request string) ingest.IdempotencyKey {
	return ingest.IdempotencyKey{Key: key, Request: sha256.Sum256([]byte(request))}
}

var (
	point         = orders.Target{CPID: "CP_1", Connector: 1}
	simulate      = ingest.Order{Request: orders.OperatorSimulate{Target: point, Order: wire.Simulate{Action: wire.SimulatePlug}}} // each one is an order of its own
	reserve       = ingest.Order{Request: orders.OperatorReserve{Target: point, Username: "ann"}}
	cancelUnknown = ingest.Order{Request: orders.OperatorCancel{ReservationID: "none"}}
)

// simulated returns a Central with a simulated charging point that is online.
func simulated(t *testing.T, dir string) (*instance, *journaltest.Point) {
	t.Helper()
	l, p := central(t, dir), journaltest.New(t, "CP_1")
	l.connect(p)
	return l, p
}

// connect makes a charging point online.
func (l *instance) connect(p *journaltest.Point) {
	l.t.Helper()
	l.deliver(wire.TopicEvents, p.All...)
	l.online(p)
	synctest.Wait()
}

// ordered counts all commands and reservations in the database.
func (l *instance) ordered() (commands, reservations int) {
	l.t.Helper()
	c, err1 := l.store.Commands(l.t.Context(), view.Query{Limit: 1000})
	r, err2 := l.store.Reservations(l.t.Context(), view.Query{Limit: 1000})
	if err := errors.Join(err1, err2); err != nil {
		l.t.Fatal(err)
	}
	return len(c), len(r)
}

func (l *instance) askOnce(o ingest.IdempotencyKey, op ingest.Op) ingest.Reply {
	l.t.Helper()
	r, err := l.w.Execute(l.t.Context(), o, op)
	if err != nil {
		l.t.Fatalf("%T: %v", op, err)
	}
	return r
}

// Fifty requests with one key have one effect and fifty equal replies; with a
// key of their own each is executed.
func TestFiftyRepeatsAtOnceAreOneOrder(t *testing.T) {
	for name, c := range map[string]struct {
		key  func(i int) string
		want int
	}{
		"one key":  {func(int) string { return "k" }, 1},
		"own keys": {func(i int) string { return fmt.Sprint(i) }, 50},
		"no key":   {func(int) string { return "" }, 50},
	} {
		dir := t.TempDir()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := store.Open(t.Context(), options(dir))
				if err != nil {
					t.Fatal(err)
				}
				h := &gatedStore{db: db{s}}
				l := runInstance(t, s, h, config())
				defer l.end()
				l.w.Join(charge.Epoch{})
				p := journaltest.New(t, "CP_1")
				l.connect(p)
				before, _ := l.ordered()

				gate := make(chan struct{}) // while a commit waits all gather, and come several to a transaction
				h.gate.Store(&gate)
				l.deliver(wire.TopicEvents, p.All...)
				synctest.Wait()
				replies := make([]ingest.Reply, 50)
				var asking sync.WaitGroup
				for i := range replies {
					asking.Go(func() { replies[i] = l.askOnce(once(c.key(i), "plug"), simulate) })
				}
				synctest.Wait()
				h.gate.Store(nil)
				close(gate)
				asking.Wait()
				different := map[charge.CommandID]bool{}
				for _, r := range replies {
					if r.Refused != "" || len(r.Commands) != 1 {
						t.Fatalf("got %+v, want one command", r)
					}
					different[r.Commands[0]] = true
				}
				if after, _ := l.ordered(); after-before != c.want || len(different) != c.want {
					t.Errorf("%d commands were written and %d answered, want %d", after-before, len(different), c.want)
				}
			})
		})
	}
}

// A repeat gets the first reply, accepted or refused, whatever has changed
// since. Another request with the same key is refused and has no effect.
func TestARepeatHasTheFirstAnswer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, p := simulated(t, dir)
		defer func() { l.end() }()
		type row struct {
			once  ingest.IdempotencyKey
			op    ingest.Op
			first ingest.Reply
		}
		rows := []row{
			{once: once("refused", "cancel"), op: cancelUnknown},
			{once: once("held", "reserve"), op: reserve},
			{once: once("HELD", "reserve"), op: reserve}, // another key: the driver has a reservation already
			{once: once("all", "availability"), op: ingest.Order{Request: orders.OperatorAvailability{Available: true}}},
			{once: once("admit", "admit"), op: ingest.Admit{CPID: "CP_1", Admitted: true}},
			{once: once("stranger", "admit"), op: ingest.Admit{CPID: "CP_9", Admitted: true}},
			{once: once("pass", "pass"), op: ingest.PassNext{CPID: "CP_1"}},
			{once: once("release", "release"), op: ingest.Release{CPID: "CP_1"}},
			{once: once("settle", "settle"), op: ingest.Settle{SessionID: "none"}},
			{once: once("explain", "explain"), op: ingest.Explain{Gap: 1, Words: "why"}},
			{once: once("clear", "clear"), op: ingest.ClearAlarm{Alarm: 1, Note: "why"}},
			{once: once("lift", "lift"), op: ingest.Lift{}},
		}
		for i := range rows {
			rows[i].first = l.askOnce(rows[i].once, rows[i].op)
		}
		if rows[0].first.Refused == "" || rows[1].first.Refused != "" || rows[2].first.Refused != wire.RefusedLimit {
			t.Fatalf("got %+v, want a refusal, a reservation, a refusal", rows[:3])
		}
		time.Sleep(time.Hour) // the reservation has ended, another is made
		l.online(p)
		synctest.Wait()
		if r := l.askOnce(once("later", "reserve"), reserve); r.Refused != "" {
			t.Fatalf("an hour later: %+v", r)
		}
		repeat := func(when string) {
			t.Helper()
			commands, reservations := l.ordered()
			for _, r := range rows {
				if got := l.askOnce(r.once, r.op); !reflect.DeepEqual(got, r.first) {
					t.Errorf("%s, %s: got %+v, want %+v", when, r.once.Key, got, r.first)
				}
				if got := l.askOnce(once(r.once.Key, "else"), simulate); got.Refused != ingest.RefusedOtherRequest || got.Commands != nil {
					t.Errorf("%s, %s with another order: got %+v", when, r.once.Key, got)
				}
			}
			if c, r := l.ordered(); c != commands || r != reservations {
				t.Errorf("%s: %d commands and %d reservations by repeats", when, c-commands, r-reservations)
			}
		}
		repeat("at once")
		l.end()
		l = central(t, dir)
		repeat("in another life")
	})
}

// noReplyStore is a database that commits and never returns, as if Central died
// right then: no request is answered.
type noReplyStore struct {
	db
	silent atomic.Bool
	died   chan struct{}
	let    chan struct{}
}

func (m *noReplyStore) Write(ctx context.Context, fn func(ingest.Tx) error) error {
	err := m.db.Write(ctx, fn)
	if m.silent.CompareAndSwap(true, false) {
		close(m.died)
		<-m.let
		return errors.New("it is dead")
	}
	return err
}

// A caller that repeats the order to the next run gets the first one's result,
// and nothing is done again.
func TestDeathBetweenCommitAndAnswer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), options(dir))
		if err != nil {
			t.Fatal(err)
		}
		m := &noReplyStore{db: db{s}, died: make(chan struct{}), let: make(chan struct{})}
		l := runInstance(t, s, m, config())
		l.w.Join(charge.Epoch{})
		l.connect(journaltest.New(t, "CP_1"))

		m.silent.Store(true)
		impatient, leave := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := l.w.Execute(impatient, once("k", "plug"), simulate)
			gone <- err
		}()
		<-m.died
		leave()
		if err := <-gone; err == nil {
			t.Fatal("there was an answer")
		}
		l.stop()
		close(m.let)
		l.end()

		l = central(t, dir)
		defer func() { l.end() }()
		commands, err := l.store.Commands(t.Context(), view.Query{})
		if err != nil || len(commands) == 0 {
			t.Fatalf("got %d commands %v, want what was committed", len(commands), err)
		}
		r := l.askOnce(once("k", "plug"), simulate)
		if len(r.Commands) != 1 || r.Commands[0] != commands[0].ID {
			t.Errorf("got %+v, want the command of the first life, %s", r, commands[0].ID)
		}
		if after, _ := l.ordered(); after != len(commands) {
			t.Errorf("%d commands were written by the repeat", after-len(commands))
		}
	})
}

// After a day the same key starts a new request, and nothing is left of the old
// one.
func TestAKeyEndsAfterADay(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, _ := simulated(t, dir)
		defer l.end()
		first := l.askOnce(once("k", "cancel"), cancelUnknown)
		time.Sleep(23*time.Hour + 59*time.Minute)
		if r := l.askOnce(once("k", "else"), simulate); r.Refused != ingest.RefusedOtherRequest {
			t.Errorf("within a day: got %+v, want %+v kept", r, first)
		}
		time.Sleep(3 * time.Minute)
		if n, err := l.store.Replies(t.Context()); err != nil || n != 0 {
			t.Errorf("%d answers are kept after a day, %v", n, err)
		}
		if r := l.askOnce(once("k", "else"), simulate); r.Refused == ingest.RefusedOtherRequest {
			t.Errorf("after a day: got %+v", r)
		}
	})
}

// fullReplies is a database with one reply less than may be kept.
type fullReplies struct{ db }

func (c fullReplies) Replies(ctx context.Context) (int64, error) {
	n, err := c.db.Replies(ctx)
	return n + 99_999, err
}

// Beyond the bound a new key is refused and has no effect: deleting another
// key's reply could let that request take effect twice.
func TestAnswersAreBounded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), options(dir))
		if err != nil {
			t.Fatal(err)
		}
		l := runInstance(t, s, fullReplies{db{s}}, config())
		defer l.end()
		l.w.Join(charge.Epoch{})
		last := l.askOnce(once("last", "cancel"), cancelUnknown)
		if last.Refused != orders.RefusedUnknownReservation {
			t.Errorf("the last key: got %+v", last)
		}
		if r := l.askOnce(once("beyond", "lift"), ingest.Lift{}); r.Refused != ingest.RefusedManyKeys {
			t.Errorf("a key beyond the bound: got %+v", r)
		}
		if r := l.askOnce(once("last", "cancel"), cancelUnknown); !reflect.DeepEqual(r, last) {
			t.Errorf("a known key: got %+v, want %+v", r, last)
		}
		if r := l.askOnce(ingest.IdempotencyKey{}, ingest.Order{Request: orders.OperatorAvailability{Available: true}}); r.Refused != "" {
			t.Errorf("without a key: got %+v", r)
		}
	})
}

// An order that could not be written, or was refused by a fenced Central, is
// decided when it is repeated.
func TestWhatWasNotDecidedIsNotKept(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, _ := simulated(t, dir)
		defer l.end()
		unlock := storetest.Lock(t, l.store.Path())
		if _, err := l.w.Execute(t.Context(), once("k", "plug"), simulate); !errors.Is(err, ingest.ErrStorage) {
			t.Errorf("while the database is locked: got %v, want ErrStorage", err)
		}
		unlock()
		time.Sleep(2 * time.Second)
		first := l.askOnce(once("k", "plug"), simulate)
		if len(first.Commands) != 1 {
			t.Errorf("repeated: got %+v, want it ordered", first)
		}
		l.w.ObserveEpoch(epoch(5))
		synctest.Wait()
		if r := l.askOnce(once("f", "reserve"), reserve); r.Refused != orders.RefusedFenced {
			t.Errorf("fenced: got %+v", r)
		}
		if r := l.askOnce(once("k", "plug"), simulate); !reflect.DeepEqual(r, first) {
			t.Errorf("fenced, what was answered before: got %+v, want %+v", r, first)
		}
		l.askOnce(ingest.IdempotencyKey{}, ingest.Lift{})
		if r := l.askOnce(once("f", "reserve"), reserve); r.Refused == orders.RefusedFenced {
			t.Errorf("after the lift: got %+v, want a decision", r)
		}
	})
}

// A reply that another version of this program stored is still the reply. The
// names of its fields must not change.
func TestKeptAnswersAreRead(t *testing.T) {
	const kept = `{"Refused":"r","ReservationID":"rv","SessionID":"s","CommandID":"k","Target":{"CPID":"CP_1","Connector":2},"Commands":["k","l"],"Points":3,"Detail":"d"}`
	want := ingest.Reply{
		Reply:    orders.Reply{Refused: "r", ReservationID: "rv", SessionID: "s", CommandID: "k", Target: orders.Target{CPID: "CP_1", Connector: 2}},
		Commands: []charge.CommandID{"k", "l"}, Points: 3, Detail: "d",
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), options(dir))
		if err != nil {
			t.Fatal(err)
		}
		o := once("k", "x")
		err = s.Write(t.Context(), func(tx *store.Tx) error {
			return tx.Reply(o.Key, o.Request[:], []byte(kept), charge.At(time.Now()))
		})
		if err != nil {
			t.Fatal(err)
		}
		l := startInstance(t, s, config())
		defer l.end()
		if got := l.askOnce(o, simulate); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// A request that is not accepted has no effect, now or later. One that is
// accepted is waited for, even after the caller has stopped waiting. If that
// takes too long the error is ErrUnderWay, and repeating the key returns the
// outcome.
func TestAnErrorStatesWhetherTheRequestCanHaveAnEffect(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), options(dir))
		if err != nil {
			t.Fatal(err)
		}
		h := &gatedStore{db: db{s}}
		l := runInstance(t, s, h, config())
		defer l.end()
		l.w.Join(charge.Epoch{})
		p := journaltest.New(t, "CP_1")
		l.connect(p)
		before, _ := l.ordered()
		for i, c := range []struct {
			held  time.Duration // how long the transaction takes
			first error
			done  int // orders that are written then
		}{
			{15 * time.Second, nil, 1}, {time.Minute, ingest.ErrUnderWay, 2},
		} {
			l.online(p)
			synctest.Wait()
			gate := make(chan struct{})
			h.gate.Store(&gate)
			time.AfterFunc(c.held, func() {
				h.gate.Store(nil)
				close(gate)
			})
			key := once(fmt.Sprint("first", i), "plug")
			ask := func(o ingest.IdempotencyKey) error {
				ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
				defer stop()
				_, err := l.w.Execute(ctx, o, simulate)
				return err
			}
			first := make(chan error, 1)
			go func() { first <- ask(key) }()
			synctest.Wait() // it is in the transaction
			if err := ask(once(fmt.Sprint("second", i), "plug")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: one that is not taken in: got %v", c.held, err)
			}
			if err := <-first; !errors.Is(err, c.first) {
				t.Errorf("%s: one that is taken in: got %v, want %v", c.held, err, c.first)
			}
			time.Sleep(c.held + time.Minute)
			if r := l.askOnce(key, simulate); len(r.Commands) != 1 {
				t.Errorf("%s: asked again: got %+v, want its command", c.held, r)
			}
			if n, _ := l.ordered(); n != before+c.done {
				t.Errorf("%s: %d orders, want %d", c.held, n-before, c.done)
			}
		}
	})
}
