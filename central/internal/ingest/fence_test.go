package ingest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/wire"
)

func incarnation(t *testing.T, at time.Time) charge.Incarnation {
	t.Helper()
	return charge.Incarnation(ids.New(at, rand.Reader))
}

func TestAGreaterCentralFencesThisOne(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		me := l.live.Network().Central
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, a.All...)
		l.w.Hear(me)
		l.w.Hear("0")                                          // an earlier one
		l.w.Hear(incarnation(t, time.Now().Add(25*time.Hour))) // of no honest clock
		time.Sleep(2 * time.Second)
		if p := self(l); p.State != ingest.PartUp {
			t.Fatalf("central: got %+v, want it up", p)
		}
		if n := l.live.Network().Books.Alarms; n != 1 {
			t.Errorf("alarms: got %d, want one: an incarnation that is not believed", n)
		}
		other := incarnation(t, time.Now().Add(time.Minute))
		l.w.Hear(other)
		synctest.Wait()
		if p := self(l); p.State != ingest.PartDown || !strings.Contains(p.Reason, "took over") {
			t.Errorf("central: got %+v, want it fenced", p)
		}
		acks, commands, said := l.out.count()
		a.Charge(1)
		taken := make(chan struct{})
		go func() {
			defer close(taken)
			l.deliver(wire.TopicEvents, a.All[1:]...)
		}()
		time.Sleep(time.Minute)
		if a2, c2, s2 := l.out.count(); a2 != acks || c2 != commands || s2 > said+1 {
			t.Errorf("a fenced Central said %d acks, %d commands, %d signs of life", a2-acks, c2-commands, s2-said)
		}
		if got := l.counters()["applied"]; got != 1 {
			t.Errorf("a fenced Central applied %d records", got-1)
		}
		if r, err := l.w.Ask(t.Context(), ingest.Once{}, ingest.Ask{Ask: orders.AskReserve{Username: "ann"}}); err != nil || r.Refused != orders.RefusedFenced {
			t.Errorf("an operator of a fenced Central: got %+v %v, want fenced", r, err)
		}
		for _, op := range []ingest.Op{ingest.PassNext{CPID: "CP_1"}, ingest.Settle{}, ingest.Explain{}} {
			if r, err := l.w.Ask(t.Context(), ingest.Once{}, op); err != nil || r.Refused != orders.RefusedFenced {
				t.Errorf("%T at a fenced Central: got %+v %v, want fenced", op, r, err)
			}
		}
		if _, err := l.w.Ask(t.Context(), ingest.Once{}, ingest.Lift{}); err != nil {
			t.Error(err)
		}
		<-taken
		time.Sleep(time.Second)
		if now := l.live.Network().Central; now <= other {
			t.Errorf("after the lift it is called %s, want greater than %s", now, other)
		}
		if got := l.out.acked("CP_1"); got != a.Seq {
			t.Errorf("after the lift: acknowledged %d, want %d", got, a.Seq)
		}
	})
}

// A database restored from an older copy does not know how this Central called
// itself last; the charging points do.
func TestARestoredCentralCallsItselfGreaterThanItsPast(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, options(dir), config())
		defer l.end()
		past := incarnation(t, time.Now().Add(2*time.Hour))
		l.w.Join(past)
		synctest.Wait()
		if now := l.live.Network().Central; now <= past {
			t.Errorf("got %s, want greater than %s: its log spoke of it", now, past)
		}
		further := incarnation(t, time.Now().Add(3*time.Hour))
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicMonitor, a.Presence(1, further))
		synctest.Wait()
		if now := l.live.Network().Central; now > further {
			t.Error("it did not listen first whether that one lives")
		}
		time.Sleep(4 * time.Second)
		now := l.live.Network().Central
		if now <= further {
			t.Errorf("got %s, want greater than %s: a charging point spoke of it", now, further)
		}
		l.out.mu.Lock()
		if last := l.out.acks[len(l.out.acks)-1]; last.Central != now {
			t.Errorf("its last acknowledgement is of %s, want %s", last.Central, now)
		}
		l.out.mu.Unlock()
		unbelieved := incarnation(t, time.Now().Add(48*time.Hour))
		l.deliver(wire.TopicMonitor, a.Presence(1, unbelieved))
		time.Sleep(4 * time.Second)
		if again := l.live.Network().Central; again != now {
			t.Errorf("it believed in an incarnation of the day after tomorrow")
		}
	})
}

// hooked is a database whose writes are looked at before.
type hooked struct {
	db
	before func() error
}

var errFull = errors.New("full")

func (d hooked) Write(ctx context.Context, fn func(ingest.Tx) error) error {
	if err := d.before(); err != nil {
		return err
	}
	return d.db.Write(ctx, fn)
}

func (d hooked) Trouble(err error) (string, ingest.Remedy) {
	if errors.Is(err, errFull) {
		return "disk is full", ingest.RemedyWait
	}
	return d.db.Trouble(err)
}

// hookedCentral starts a life that is active.
func hookedCentral(t *testing.T, dir string, before func() error) *life {
	t.Helper()
	s, err := store.Open(t.Context(), options(dir))
	if err != nil {
		t.Fatal(err)
	}
	l := runLife(t, s, hooked{db{s}, before}, config())
	l.w.Join("")
	synctest.Wait()
	return l
}

// A fence is obeyed when it is heard, and not only once it is written: an older
// Central whose disk is full went on saying that it lives.
func TestAFencedCentralIsSilentThoughItsDiskIsFull(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		l := hookedCentral(t, dir, func() error {
			if full.Load() {
				return errFull
			}
			return nil
		})
		defer l.end()
		full.Store(true)
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, a.All...)
		other := incarnation(t, time.Now().Add(time.Minute))
		l.w.Hear(other)
		synctest.Wait()
		_, _, said := l.out.count()
		for range 60 {
			time.Sleep(time.Second)
			l.w.Hear(other)
		}
		full.Store(false)
		time.Sleep(5 * time.Second)
		if p := self(l); p.State != ingest.PartDown || !strings.Contains(p.Reason, "took over") {
			t.Errorf("central: got %+v, want it fenced", p)
		}
		if acks, _, s := l.out.count(); acks > 0 || s > said {
			t.Errorf("a fenced Central said %d acks, and %d times that it lives", acks, s-said)
		}
		if _, err := l.w.Ask(t.Context(), ingest.Once{}, ingest.Lift{}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if got := l.out.acked("CP_1"); got != a.Seq {
			t.Errorf("after the lift: acknowledged %d, want %d", got, a.Seq)
		}
		if p := self(l); p.State != ingest.PartUp || l.live.Network().Central <= other {
			t.Errorf("after the lift: got %+v, called %s, want it up and greater than %s", p, l.live.Network().Central, other)
		}
	})
}

// Who is heard while this Central becomes greater is not greater any more.
func TestACentralThatIsGreaterMeanwhileIsNotSilent(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var hear atomic.Pointer[func()]
		l := hookedCentral(t, dir, func() error {
			if f := hear.Load(); f != nil {
				(*f)()
			}
			return nil
		})
		defer l.end()
		past := incarnation(t, time.Now().Add(time.Hour))
		l.deliver(wire.TopicMonitor, journaltest.New(t, "CP_1").Presence(1, past))
		synctest.Wait()
		hear.Store(new(func() { l.w.Hear(past) }))
		time.Sleep(time.Minute)
		if p := self(l); p.State != ingest.PartUp || l.live.Network().Central <= past {
			t.Errorf("central: got %+v, called %s, want it up and greater than %s", p, l.live.Network().Central, past)
		}
	})
}

// Whoever speaks before this Central has become active is there already.
func TestACentralThatHearsAnotherAsItJoinsIsFenced(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, options(dir), config())
		defer l.end()
		other := incarnation(t, time.Now().Add(time.Minute))
		l.w.Hear(other)
		l.w.Join("")
		time.Sleep(time.Second)
		if p := self(l); p.State != ingest.PartDown || !strings.Contains(p.Reason, "took over") || l.live.Network().Central > other {
			t.Errorf("central: got %+v, called %s, want it fenced and below %s", p, l.live.Network().Central, other)
		}
	})
}
