package ingest_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// A part is shown with the reason that its bridge gave, as a code: in words alone if
// the bridge is older, or newer and its code is not known here.
func TestAPartHasItsReasonAsACode(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		silent := reason.Reason{Code: reason.HeartbeatsUnread, Topic: wire.TopicMonitor, Cause: reason.NotYet}
		l.live.SetKafka(ingest.KafkaView{Up: true, HeartbeatsUnread: silent})
		part := func(name string) view.Part {
			t.Helper()
			parts := l.live.Network().Parts
			i := slices.IndexFunc(parts, func(p view.Part) bool { return p.Name == name })
			return parts[i]
		}
		look := func(name, state, text string, why ...reason.Reason) {
			t.Helper()
			if p := part(name); p.State != state || p.Reason != text || !slices.Equal(p.Why, why) {
				t.Errorf("got %+v, want %s, %q and %+v", p, state, text, why)
			}
		}
		look("mqtt", view.PartUnknown, "only the bridge knows, and it sends no heartbeats", reason.Reason{Code: reason.MQTTUnknown})
		look("bridge", view.PartUnknown, "this Central cannot read the heartbeats of the bridge in monitor-events: not yet", silent)
		l.live.SetKafka(ingest.KafkaView{Up: true})
		look("bridge", view.PartDown, "no heartbeat received yet", reason.Reason{Code: reason.NoHeartbeatYet})

		beat := func(b wire.BridgeAlive) {
			t.Helper()
			now := charge.At(time.Now())
			b.V, b.Bridge, b.At, b.StartedAt = 1, "b", now, 1000
			raw, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			l.deliver(wire.TopicMonitor, journaltest.Message{Key: wire.BridgeKey("b"), Kind: wire.KindValueBridgeAlive, Value: raw})
			time.Sleep(time.Second)
		}
		gone := reason.Reason{Code: reason.MQTTDown, Address: "tcp://h:1883", Detail: "refused"}
		cannot := reason.Reason{Code: reason.CannotWrite, Topic: "cp-events", Cause: reason.NoLeader}
		b := wire.BridgeAlive{MQTT: wire.DependencyDown(900, "waiting for MQTT since long ago", gone)}
		b.SetDetails("", reason.Reason{}, []wire.Trouble{{Since: 800, Why: cannot}, {Since: 900, Why: cannot}}, nil)
		beat(b)
		look("mqtt", view.PartDown, "waiting for MQTT at tcp://h:1883: refused", gone)
		look("bridge", view.PartDown, "bridge b: cannot write cp-events: the partition has no leader: a broker is away (and 1 more)", cannot.Of("b").With(1))

		later := reason.Reason{Code: "of_2031", Topic: "x"}
		b = wire.BridgeAlive{MQTT: wire.Dependency{Since: 900, Reason: "gone"}, Troubles: []wire.Trouble{{Since: 800, Reason: "in words", Why: later}}}
		beat(b)
		look("mqtt", view.PartDown, "gone", reason.Words("gone"))
		look("bridge", view.PartDown, "bridge b: in words", reason.Words("in words").Of("b"))

		differs := reason.Reason{Code: reason.TopicDiffers, Topic: "cp-events", Count: 6, Wanted: 3}
		b = wire.BridgeAlive{MQTT: wire.Dependency{Up: true, Since: 900}, Warnings: []string{"1", "2"}, WarningsWhy: []reason.Reason{differs}}
		beat(b)
		look("bridge", view.PartUp, differs.String()+"; 2", differs, reason.Words("2"))
	})
}

// The alarm of a bridge's dead letters has the reason of the last one; an older bridge
// states it in words.
func TestReasonOfABridgesDeadLetters(t *testing.T) {
	const words = "cp/CP_1/up/event: record: field seq: is missing"
	last := reason.OfMessage("record", "seq", reason.Wrong{Code: reason.FieldMissing})
	for _, c := range []struct {
		last reason.Reason
		want reason.Reason
	}{
		{reason.Reason{}, reason.Reason{Detail: words}},
		{reason.Reason{Code: "of_2031"}, reason.Reason{Detail: words}},
		{last, reason.Reason{Cause: last.Code, Message: "record", Field: "seq", Detail: "cp/CP_1/up/event"}},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			l := central(t, dir)
			defer l.end()
			b := wire.BridgeAlive{V: wire.Version, Bridge: "b", At: 5, StartedAt: 1, DeadLetters: 2, DeadLetter: words, DeadLetterWhy: c.last}
			raw, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			l.deliver(wire.TopicMonitor, journaltest.Message{Key: wire.BridgeKey("b"), Kind: wire.KindValueBridgeAlive, Value: raw})
			synctest.Wait()
			c.want.Code, c.want.Other, c.want.Count, c.want.Topic = reason.BridgeDeadLetters, "b", 2, wire.TopicDeadLetters
			if a := alarmOf(t, l, view.AlarmDeadLetter); a.Why != c.want || a.Detail != c.want.String() {
				t.Errorf("of %+v: got %+v, %q", c.last, a.Why, a.Detail)
			}
		})
	}
}

// The reason of an alarm outlives Central, and gets the note of the operator.
func TestReasonsAreKept(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		p := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, p.All[0], journaltest.Message{Key: "CP_1", Value: []byte("{")})
		synctest.Wait()
		a := alarmOf(t, l, view.AlarmDeadLetter)
		if a.Why.Code != reason.MessageUnusable || a.Why.Topic != wire.TopicEvents || a.Why.Cause != reason.JSONMalformed || a.Why.Message != "record" || a.Why.String() != a.Detail {
			t.Errorf("the reason is %+v, the text %q", a.Why, a.Detail)
		}
		l.end()
		l = central(t, dir)
		defer l.end()
		if b := alarmOf(t, l, view.AlarmDeadLetter); b.Why != a.Why {
			t.Errorf("after a restart %+v, before %+v", b.Why, a.Why)
		}
		if _, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.ClearAlarm{Alarm: a.N, Note: "ann: it was a scanner"}); err != nil {
			t.Fatal(err)
		}
		want := a.Why
		want.Note = "ann: it was a scanner"
		if b := alarmOf(t, l, view.AlarmDeadLetter); b.Why != want {
			t.Errorf("cleared %+v, want %+v", b.Why, want)
		}
	})
}
