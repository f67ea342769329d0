package ingest_test

import (
	"context"
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
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

func TestAGreaterCentralFencesThisOne(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		me := l.live.Network().Central
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, a.All...)
		l.w.ObserveEpoch(me)
		l.w.ObserveEpoch(epoch(0))                                                  // an earlier one
		l.w.ObserveEpoch(charge.Epoch{Run: "fffffff0-1111-7fff-bfff-ffffffffffff"}) // of an earlier version
		for range 3 {
			l.w.ObserveEpoch(epoch(2_000_000)) // of a fault
		}
		time.Sleep(2 * time.Second)
		if p := self(l); p.State != view.PartUp {
			t.Fatalf("central: got %+v, want it up", p)
		}
		if n := l.live.Network().Books.Alarms; n != 1 {
			t.Errorf("alarms: got %d, want one: an implausible epoch", n)
		}
		other := epoch(5)
		l.w.ObserveEpoch(other)
		synctest.Wait()
		if p := self(l); p.State != view.PartDown || !p.Fenced || !strings.Contains(p.Reason, "took over") {
			t.Errorf("central: got %+v, want it fenced", p)
		}
		acks, commands, heartbeats := l.out.count()
		a.Charge(1)
		taken := make(chan struct{})
		go func() {
			defer close(taken)
			l.deliver(wire.TopicEvents, a.All[1:]...)
		}()
		time.Sleep(time.Minute)
		if a2, c2, s2 := l.out.count(); a2 != acks || c2 != commands || s2 > heartbeats+1 {
			t.Errorf("a fenced Central published %d acks, %d commands, %d heartbeats", a2-acks, c2-commands, s2-heartbeats)
		}
		if got := l.counters()["applied"]; got != 1 {
			t.Errorf("a fenced Central applied %d records", got-1)
		}
		if r, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Order{Request: orders.OperatorReserve{Username: "ann"}}); err != nil || r.Refused != orders.RefusedFenced {
			t.Errorf("an operator of a fenced Central: got %+v %v, want fenced", r, err)
		}
		for _, op := range []ingest.Op{ingest.PassNext{CPID: "CP_1"}, ingest.Settle{}, ingest.Explain{}, ingest.ClearAlarm{}} {
			if r, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, op); err != nil || r.Refused != orders.RefusedFenced {
				t.Errorf("%T at a fenced Central: got %+v %v, want fenced", op, r, err)
			}
		}
		if _, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Lift{}); err != nil {
			t.Error(err)
		}
		<-taken
		time.Sleep(time.Second)
		if now := l.live.Network().Central; !other.Less(now) {
			t.Errorf("after the lift it has the epoch %s, want one above %s", now, other)
		}
		if got := l.out.acked("CP_1"); got != a.Seq {
			t.Errorf("after the lift: acknowledged %d, want %d", got, a.Seq)
		}
	})
}

// alive is the heartbeat of a Central.
func alive(t *testing.T, e charge.Epoch) journaltest.Message {
	t.Helper()
	raw, err := (&wire.CentralAlive{V: wire.Version, Central: e, At: charge.At(time.Now())}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return journaltest.Message{Key: "central", Kind: wire.KindValueCentralAlive, Value: raw}
}

// A database restored from an older copy does not have this Central's highest
// epoch. Kafka does, even from hours ago.
func TestARestoredCentralIsAboveItsPast(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newInstance(t, options(dir), config())
		defer l.end()
		l.w.Join(epoch(5))
		synctest.Wait()
		if now := l.live.Network().Central; !epoch(5).Less(now) {
			t.Errorf("got %s, want above %s: the end of the log spoke of it", now, epoch(5))
		}
		l.deliverAs(wire.TopicMonitor, true, alive(t, epoch(7)), alive(t, epoch(8)), alive(t, epoch(9)))
		synctest.Wait()
		if now := l.live.Network().Central; epoch(9).Less(now) {
			t.Error("it did not listen first whether that one lives")
		}
		time.Sleep(4 * time.Second)
		now := l.live.Network().Central
		if now.Number != epoch(10).Number {
			t.Errorf("got %s, want the number %d: the log spoke of %s", now, epoch(10).Number, epoch(9))
		}
		l.deliverAs(wire.TopicMonitor, true, alive(t, epoch(2_000_000)), alive(t, charge.Epoch{Run: "fffffff0-1111-7fff-bfff-ffffffffffff"}))
		time.Sleep(4 * time.Second)
		if again := l.live.Network().Central; again != now {
			t.Errorf("it believed %s", again)
		}
		if p := self(l); p.State != view.PartUp {
			t.Errorf("central: got %+v, want it up", p)
		}
	})
}

// A charging point that obeys another epoch obeys this Central after its next
// presence. That changes neither other charging points nor this Central's own
// epoch.
func TestAPresenceConcernsOneChargingPoint(t *testing.T) {
	huge := charge.Epoch{Number: 990_000_000_000, Run: "00000000000000ab"}
	for name, claim := range map[string]charge.Epoch{
		"none": {}, "of an earlier version and the year 2099": {Run: "03b3d6f8-0c00-7000-8000-000000000001"},
		"lower": epoch(1), "a little higher": epoch(9), "huge": huge,
		"this number, of a higher run": {Number: 100_002, Run: "ffffffffffffffff"},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			first := central(t, dir) // the one that the backup is of
			first.end()
			l := central(t, dir)
			own := l.live.Network().Central
			a, b := journaltest.New(t, "CP_1"), journaltest.New(t, "CP_2")
			l.deliver(wire.TopicEvents, a.All...)
			l.deliver(wire.TopicEvents, b.All...)
			for range 3 { // as a copy that is lost and sent again
				if claim == huge { // it is believed when it is still named minutes later
					time.Sleep(5 * time.Minute)
				}
				l.deliver(wire.TopicMonitor, a.Presence(1, claim), b.Presence(1, own))
				time.Sleep(time.Second)
			}
			l.online(a)
			if r, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Order{Request: orders.OperatorAvailability{Target: orders.Target{CPID: "CP_1"}}}); err != nil || r.Refused != "" {
				t.Fatalf("%s: asked for availability: %+v %v", name, r, err)
			}
			time.Sleep(10 * time.Second)
			ack, command := l.ackedBy("CP_1"), l.commandedBy("CP_1")
			if !claim.Less(ack) || ack.Run != own.Run || command != ack {
				t.Errorf("%s: acknowledged by %s, commanded by %s, want both above %s and of the run %s", name, ack, command, claim, own.Run)
			}
			if wanted := max(claim.Number+1, own.Number); ack.Number > wanted {
				t.Errorf("%s: acknowledged by %s, want at most the number %d", name, ack, wanted)
			}
			if got := l.ackedBy("CP_2"); got != own {
				t.Errorf("%s: another charging point was acknowledged by %s, want %s", name, got, own)
			}
			l.out.mu.Lock()
			if by := l.out.by; by != own || l.live.Network().Central != own {
				t.Errorf("%s: to other Centrals it is %s and shows %s, want %s", name, by, l.live.Network().Central, own)
			}
			l.out.mu.Unlock()
			l.end()
			l = central(t, dir)
			defer l.end()
			time.Sleep(time.Second)
			if again := l.ackedBy("CP_1"); !ack.Less(again) {
				t.Errorf("%s: acknowledged by %s, and after a restart by %s", name, ack, again)
			}
		})
	}
}

// One presence at the end of the numbers changes nothing. A charging point that stays
// there is shown, and blocks no other one; once its position file is deleted, each
// restart of Central outranks the run before it.
func TestAPresenceAtTheEndOfTheNumbers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer func() { l.end() }()
		a, b := journaltest.New(t, "CP_1"), journaltest.New(t, "CP_2")
		l.deliver(wire.TopicEvents, a.All...)
		l.deliver(wire.TopicEvents, b.All...)
		end := charge.Epoch{Number: charge.MaxEpochNumber, Run: "ffffffffffffffff"}
		for i := range 4 {
			l.deliver(wire.TopicMonitor, a.Presence(1, end), b.Presence(1, charge.Epoch{}))
			time.Sleep(time.Second)
			if own := l.live.Network().Central; i == 0 && (l.ackedBy("CP_1") != own || l.live.Network().Books.Alarms != 0) {
				t.Errorf("after one presence CP_1 is acknowledged by %s, with %d alarms; want %s and none", l.ackedBy("CP_1"), l.live.Network().Books.Alarms, own)
			}
			time.Sleep(5 * time.Minute)
		}
		if n := l.live.Network().Books.Alarms; n != 1 {
			t.Errorf("alarms: got %d, want one", n)
		}
		if own := l.live.Network().Central; l.ackedBy("CP_2") != own || own.Number != epoch(1).Number {
			t.Errorf("CP_2 is acknowledged by %s, want %s, number %d", l.ackedBy("CP_2"), own, epoch(1).Number)
		}
		l.deliver(wire.TopicMonitor, a.Presence(1, charge.Epoch{}))
		time.Sleep(time.Second)
		if n := l.live.Network().Books.Alarms; n != 0 {
			t.Errorf("alarms after the remedy: got %d, want none", n)
		}
		for range 4 {
			obeyed := l.ackedBy("CP_1")
			l.end()
			l = central(t, dir)
			time.Sleep(time.Second)
			if got := l.ackedBy("CP_1"); !obeyed.Less(got) {
				t.Errorf("CP_1 obeys %s, and a restarted Central acknowledges by %s", obeyed, got)
			}
		}
	})
}

// Two Centrals that began at once on copies of one backup have the same number.
// The higher run fences the other; after a lift that one is above it.
func TestTwoCentralsOfOneNumber(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		var both []*instance
		for _, dir := range dirs {
			l := central(t, dir)
			defer l.end()
			both = append(both, l)
		}
		x, y := both[0].live.Network().Central, both[1].live.Network().Central
		if x.Number != y.Number || x == y {
			t.Fatalf("got %s and %s, want one number and two runs", x, y)
		}
		both[0].w.ObserveEpoch(y)
		both[1].w.ObserveEpoch(x)
		time.Sleep(time.Second)
		lower, higher := both[0], both[1]
		if y.Less(x) {
			lower, higher = higher, lower
		}
		if self(lower).State != view.PartDown || self(higher).State != view.PartUp {
			t.Fatalf("the lower is %+v, the higher %+v, want the lower fenced", self(lower), self(higher))
		}
		if _, err := lower.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Lift{}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if now := lower.live.Network().Central; now.Number <= x.Number || self(lower).State != view.PartUp {
			t.Errorf("after the lift: %s, %+v, want it up with a higher number than %d", now, self(lower), x.Number)
		}
	})
}

// hookedStore is a database that calls the test before each write.
type hookedStore struct {
	db
	before func() error
}

var errFull = errors.New("full")

func (d hookedStore) Write(ctx context.Context, fn func(ingest.Tx) error) error {
	if err := d.before(); err != nil {
		return err
	}
	return d.db.Write(ctx, fn)
}

func (d hookedStore) Trouble(err error) (reason.Reason, ingest.Remedy) {
	if errors.Is(err, errFull) {
		return reason.Reason{Code: reason.DatabaseFull}, ingest.RemedyWait
	}
	return d.db.Trouble(err)
}

// hookedCentral starts an active Central over a hookedStore.
func hookedCentral(t *testing.T, dir string, before func() error) *instance {
	t.Helper()
	s, err := store.Open(t.Context(), options(dir))
	if err != nil {
		t.Fatal(err)
	}
	l := runInstance(t, s, hookedStore{db{s}, before}, config())
	l.w.Join(charge.Epoch{})
	synctest.Wait()
	return l
}

// A fence takes effect when its epoch is read, not only once it is stored. An
// earlier version with a full disk went on publishing heartbeats.
func TestAFencedCentralIsSilentAlthoughItsDiskIsFull(t *testing.T) {
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
		other := epoch(5)
		l.w.ObserveEpoch(other)
		synctest.Wait()
		_, _, heartbeats := l.out.count()
		for range 60 {
			time.Sleep(time.Second)
			l.w.ObserveEpoch(other)
		}
		full.Store(false)
		time.Sleep(5 * time.Second)
		if p := self(l); p.State != view.PartDown || !p.Fenced || !strings.Contains(p.Reason, "took over") {
			t.Errorf("central: got %+v, want it fenced", p)
		}
		if acks, _, s := l.out.count(); acks > 0 || s > heartbeats {
			t.Errorf("a fenced Central published %d acks, %d heartbeats", acks, s-heartbeats)
		}
		if _, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Lift{}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if got := l.out.acked("CP_1"); got != a.Seq {
			t.Errorf("after the lift: acknowledged %d, want %d", got, a.Seq)
		}
		if p := self(l); p.State != view.PartUp || !other.Less(l.live.Network().Central) {
			t.Errorf("after the lift: got %+v, epoch %s, want it up and above %s", p, l.live.Network().Central, other)
		}
	})
}

// This Central may choose a higher epoch between reading another one and
// storing the fence: then it is not fenced.
func TestACentralThatIsGreaterMeanwhileIsNotSilent(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var observe atomic.Pointer[func()]
		l := hookedCentral(t, dir, func() error {
			if f := observe.Load(); f != nil {
				(*f)()
			}
			return nil
		})
		defer l.end()
		past := epoch(5)
		l.deliverAs(wire.TopicMonitor, true, alive(t, past))
		synctest.Wait()
		observe.Store(new(func() { l.w.ObserveEpoch(past) }))
		time.Sleep(time.Minute)
		if p := self(l); p.State != view.PartUp || !past.Less(l.live.Network().Central) {
			t.Errorf("central: got %+v, epoch %s, want it up and above %s", p, l.live.Network().Central, past)
		}
	})
}

// A Central whose epoch is read before this one has become active is there
// already.
func TestACentralThatReadsOfAnotherAsItJoinsIsFenced(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newInstance(t, options(dir), config())
		defer l.end()
		other := epoch(5)
		l.w.ObserveEpoch(other)
		l.w.Join(charge.Epoch{})
		time.Sleep(time.Second)
		if p := self(l); p.State != view.PartDown || !strings.Contains(p.Reason, "took over") || other.Less(l.live.Network().Central) {
			t.Errorf("central: got %+v, epoch %s, want it fenced and below %s", p, l.live.Network().Central, other)
		}
	})
}
