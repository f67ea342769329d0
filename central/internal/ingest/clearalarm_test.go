package ingest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// alarmOf returns the alarm of a kind; there must be one at most.
func alarmOf(t *testing.T, l *instance, kind ledger.AlarmKind) (found store.AlarmRow) {
	t.Helper()
	all, err := l.store.Alarms(t.Context(), view.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Kind == kind {
			if found.N != 0 {
				t.Fatalf("alarms %+v and %+v, want one of %s", found, a, kind)
			}
			found = a
		}
	}
	return found
}

// An operator clears what is over, also of a charging point that is not known. It
// opens again if it happens again. What lasts has another end, which the refusal
// names.
func TestAnOperatorClearsAlarms(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		do := func(op ingest.Op) ingest.Reply {
			t.Helper()
			r, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, op)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if r := do(ingest.ClearAlarm{Alarm: 7, Note: "ann"}); r.Refused != "unknown_alarm" {
			t.Errorf("an alarm that is not there: %+v", r)
		}
		poison := journaltest.Message{Key: "OTHER", Value: []byte("poison")}
		l.deliver(wire.TopicEvents, poison)
		synctest.Wait()
		a := alarmOf(t, l, "dead_letter")
		clearIt := ingest.ClearAlarm{Alarm: a.N, Note: "ann: a scanner wrote it"}
		time.Sleep(time.Minute)
		if r := do(clearIt); r.Refused != "" {
			t.Errorf("not cleared: %+v", r)
		}
		if b := alarmOf(t, l, "dead_letter"); !b.Cleared || b.At != a.At || b.Detail != a.Detail+"; cleared by an operator: ann: a scanner wrote it" {
			t.Errorf("cleared: got %+v, before it was %+v", b, a)
		}
		if n := l.live.Network().Books.Alarms; n != 0 {
			t.Errorf("%d alarms are open", n)
		}
		if r := do(clearIt); r.Refused != "alarm_cleared" {
			t.Errorf("cleared twice: %+v", r)
		}
		l.deliver(wire.TopicEvents, poison)
		synctest.Wait()
		if b := alarmOf(t, l, "dead_letter"); b.N != a.N || b.Cleared || strings.Contains(b.Detail, "ann:") {
			t.Errorf("it happened again: got %+v", b)
		}
		for _, kind := range []ledger.AlarmKind{"gap", "identity_fork", "session_orphaned", "silent_session", "part_down", "database_damaged"} {
			raise(l, kind)
			synctest.Wait()
			r := do(ingest.ClearAlarm{Alarm: alarmOf(t, l, kind).N, Note: "ann"})
			if r.Refused != "alarm_lasts" || r.Detail == "" || alarmOf(t, l, kind).Cleared {
				t.Errorf("%s: got %+v", kind, r)
			}
		}
	})
}

// raise stores an alarm of a kind.
func raise(l *instance, kind ledger.AlarmKind) {
	l.t.Helper()
	err := l.store.Write(l.t.Context(), func(tx *store.Tx) error {
		return tx.Ledger([]ledger.Change{ledger.AlarmRaised{Alarm: ledger.Alarm{ID: string(kind) + ".x", Kind: kind, At: 1, Detail: "it is so"}}})
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// An alarm that the ledger withdraws keeps its time and its text, and one that was
// never raised does not appear, nor does a fact state that it is over.
func TestAWithdrawnAlarmKeepsItsText(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		p := journaltest.New(t, "CP_1")
		receive := func(seconds int, point bool) {
			for range seconds {
				msgs := []journaltest.Message{bridgeHeartbeat(t)}
				if point {
					msgs = append(msgs, p.Presence(p.Seq+1, charge.Epoch{}))
				}
				l.deliver(wire.TopicMonitor, msgs...)
				time.Sleep(time.Second)
			}
		}
		l.deliver(wire.TopicEvents, p.All...)
		receive(3, true)
		for _, session := range []charge.SessionID{"s1", "s2"} { // the second ends the first
			l.deliver(wire.TopicEvents, p.Write(1, session, &wire.Authorized{By: wire.GrantOrder, Username: "bob", Register: 1000}))
		}
		receive(330, false)
		before := alarmOf(t, l, ledger.AlarmSilent)
		receive(3, true)
		after := alarmOf(t, l, ledger.AlarmSilent)
		if before.Detail == "" || before.Cleared || !after.Cleared || after.Detail != before.Detail || after.At != before.At {
			t.Errorf("raised: %+v, withdrawn: %+v", before, after)
		}
		over := 0
		facts, _ := l.live.Facts(0)
		for _, f := range facts {
			if f.Kind == "alarm" && strings.HasSuffix(f.Text, "is over") {
				over++
			}
		}
		if all, err := l.store.Alarms(t.Context(), view.Query{State: view.AlarmCleared}); err != nil || len(all) != over {
			t.Errorf("%d alarms are cleared, and %d facts state that one is over (%v)", len(all), over, err)
		}
	})
}
