package route_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

func router() route.Router { return route.Router{Kafka: route.DefaultTopics()} }

func golden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../../internal/wire/testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b)
}

func header(r route.Record, key string) string {
	i := slices.IndexFunc(r.Headers, func(h route.Header) bool { return h.Key == key })
	if i < 0 {
		return ""
	}
	return r.Headers[i].Value
}

func TestUp(t *testing.T) {
	event, telemetry, presence := golden(t, "record_charging_started"), golden(t, "telemetry"), golden(t, "presence")
	other := bytes.ReplaceAll(event, []byte("CP_001"), []byte("CP_002"))
	unknown := bytes.ReplaceAll(event, []byte("charging_started"), []byte("battery_swapped"))
	for _, tc := range []struct {
		name     string
		topic    string
		payload  []byte
		retained bool
		kind     route.Kind
		to       string
		reason   string // part of it
	}{
		{"event", "cp/CP_001/up/event", event, false, route.Event, "cp-events", ""},
		{"event of an unknown type", "cp/CP_001/up/event", unknown, false, route.Event, "cp-events", ""},
		{"telemetry", "cp/CP_001/up/telemetry", telemetry, false, route.Telemetry, "cp-telemetry", ""},
		{"presence", "cp/CP_001/up/presence", presence, false, route.Presence, "monitor-events", ""},
		{"presence from memory", "cp/CP_001/up/presence", presence, true, route.Presence, "monitor-events", ""},
		{"last will", "cp/CP_001/up/presence", golden(t, "presence_will"), false, route.Presence, "monitor-events", ""},
		{"retained event", "cp/CP_001/up/event", event, true, route.DeadLetter, "cp-events-dlq", "retained"},
		{"retained telemetry", "cp/CP_001/up/telemetry", telemetry, true, route.DeadLetter, "cp-events-dlq", "retained"},
		{"in another's name", "cp/CP_001/up/event", other, false, route.DeadLetter, "cp-events-dlq", "topic names CP_001, the message names CP_002"},
		{"telemetry in another's name", "cp/CP_009/up/telemetry", telemetry, false, route.DeadLetter, "cp-events-dlq", "CP_009"},
		{"no JSON", "cp/CP_001/up/event", []byte("hello"), false, route.DeadLetter, "cp-events-dlq", "record"},
		{"empty", "cp/CP_001/up/event", nil, false, route.DeadLetter, "cp-events-dlq", "record"},
		{"no envelope", "cp/CP_001/up/event", []byte(`{"v":1}`), false, route.DeadLetter, "cp-events-dlq", "cp_id"},
		{"too large", "cp/CP_001/up/event", append(slices.Clone(event), bytes.Repeat([]byte(" "), wire.MaxMessage)...), false, route.DeadLetter, "cp-events-dlq", "bytes"},
		{"bad presence", "cp/CP_001/up/presence", []byte(`{"v":1,"online":"yes"}`), true, route.DeadLetter, "cp-events-dlq", "online"},
		{"foreign topic", "weather/today", event, false, route.DeadLetter, "cp-events-dlq", "topic"},
		{"bad cp_id", "cp/a b/up/event", event, false, route.DeadLetter, "cp-events-dlq", "cp_id"},
		{"unknown kind", "cp/CP_001/up/song", event, false, route.DeadLetter, "cp-events-dlq", "kind"},
		{"downwards", "cp/CP_001/down/command", event, false, route.DeadLetter, "cp-events-dlq", "is not sent by charging points"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := router().Up(route.Message{Topic: tc.topic, Payload: tc.payload, Retained: tc.retained, At: 1000})
			if d.Kind != tc.kind || d.Record.Topic != tc.to {
				t.Fatalf("got kind %d to %s (%s), want %d to %s", d.Kind, d.Record.Topic, d.Why, tc.kind, tc.to)
			}
			if (tc.reason == "") != d.Why.IsZero() || !strings.Contains(d.Why.String(), tc.reason) || header(d.Record, wire.HeaderReason) != d.Why.String() {
				t.Errorf("reason is %q (header %q), want %q in it", d.Why, header(d.Record, wire.HeaderReason), tc.reason)
			}
			sameReason(t, &d)
			if !bytes.Equal(d.Record.Value, tc.payload) {
				t.Error("the bytes were changed")
			}
			if header(d.Record, wire.HeaderTopic) != tc.topic || header(d.Record, wire.HeaderReceivedAt) != "1970-01-01T00:00:01.000Z" {
				t.Errorf("headers are %v", d.Record.Headers)
			}
			if d.Kind != route.DeadLetter && d.Record.Key != "CP_001" {
				t.Errorf("key is %q, want CP_001", d.Record.Key)
			}
			if (d.Kind == route.Presence) != (header(d.Record, wire.HeaderKind) == wire.KindValuePresence) {
				t.Errorf("headers are %v", d.Record.Headers)
			}
		})
	}
}

// sameReason checks that a reader of the record of a dead letter gets its reason, by a
// code.
func sameReason(t *testing.T, d *route.Decision) {
	t.Helper()
	if d.Kind != route.DeadLetter {
		return
	}
	got := wire.DecodeWhy([]byte(header(d.Record, wire.HeaderWhy)), "in words")
	if got != d.Why || got.Code == reason.Reported {
		t.Errorf("the record has the reason %+v, want %+v", got, d.Why)
	}
}

// TestDeadLettersFitKafka lets anything come by MQTT.
func TestDeadLettersFitKafka(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := route.Message{
			Topic:    strings.Repeat(rapid.String().Draw(t, "topic"), rapid.IntRange(1, 3000).Draw(t, "times")),
			Payload:  bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.IntRange(0, 69632).Draw(t, "bytes")),
			Retained: rapid.Bool().Draw(t, "retained"),
		}
		d := router().Up(m)
		if d.Kind != route.DeadLetter || d.Why.IsZero() {
			t.Fatalf("got %+v, want a dead letter with its reason", d)
		}
		size := len(d.Record.Key) + len(d.Record.Value)
		for _, h := range d.Record.Headers {
			size += len(h.Key) + len(h.Value)
		}
		if size > 64<<10 {
			t.Fatalf("the dead letter has %d bytes, want at most 64 KiB", size)
		}
	})
}

func TestDown(t *testing.T) {
	command, ack := golden(t, "command_RESERVE"), golden(t, "ack")
	for _, tc := range []struct {
		name   string
		order  route.CommandRecord
		topic  string
		reason string
	}{
		{"command", route.CommandRecord{Key: "CP_001", Value: command, Kind: "command"}, "cp/CP_001/down/command", ""},
		{"ack", route.CommandRecord{Key: "CP_001", Value: ack, Kind: "ack"}, "cp/CP_001/down/ack", ""},
		{"ack of an unknown journal", route.CommandRecord{Key: "CP_001", Value: golden(t, "ack_unknown"), Kind: "ack"}, "cp/CP_001/down/ack", ""},
		{"for another", route.CommandRecord{Key: "CP_002", Value: command, Kind: "command"}, "", "key names CP_002"},
		{"no key", route.CommandRecord{Value: command, Kind: "command"}, "", "key"},
		{"key with wildcards", route.CommandRecord{Key: "+/x", Value: ack, Kind: "ack"}, "", "key"},
		{"no kind", route.CommandRecord{Key: "CP_001", Value: command}, "", "kind"},
		{"ack as command", route.CommandRecord{Key: "CP_001", Value: ack, Kind: "command"}, "", "command"},
		{"no JSON", route.CommandRecord{Key: "CP_001", Value: []byte("x"), Kind: "ack"}, "", "ack"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.order.Partition, tc.order.Offset = 3, 17
			p, dead := router().Down(tc.order)
			if (dead == nil) != (tc.reason == "") || p.Topic != tc.topic {
				t.Fatalf("got %q, dead letter %v; want %q, %q", p.Topic, dead, tc.topic, tc.reason)
			}
			if dead != nil {
				if !strings.Contains(dead.Why.String(), tc.reason) || header(dead.Record, wire.HeaderOrigin) != "3/17" ||
					header(dead.Record, wire.HeaderTopic) != wire.TopicCommands || !bytes.Equal(dead.Record.Value, tc.order.Value) {
					t.Errorf("dead letter is %+v", *dead)
				}
				sameReason(t, dead)
				return
			}
			if p.Retained != (tc.order.Kind == "ack") || (p.Expires != 0) != (tc.order.Kind == "command") || !bytes.Equal(p.Payload, tc.order.Value) {
				t.Errorf("got %+v", p)
			}
		})
	}
}

// The bytes stay as they are; tools that follow a session need not decode them.
func TestTraceIsTheSession(t *testing.T) {
	for _, session := range []charge.SessionID{"", "s-1"} {
		rec, err := wire.NewRecord(&wire.MeterRead{Register: 1000})
		if err != nil {
			t.Fatal(err)
		}
		rec.CPID, rec.Journal, rec.Seq, rec.At, rec.Clock, rec.Connector, rec.SessionID = "CP_001", "j", 1, 1, charge.ClockSynced, 1, session
		raw, err := rec.Encode()
		if err != nil {
			t.Fatal(err)
		}
		d := router().Up(route.Message{Topic: "cp/CP_001/up/event", Payload: raw, At: 1000})
		if d.Kind != route.Event || !bytes.Equal(d.Record.Value, raw) {
			t.Fatalf("got %+v", d)
		}
		has := slices.ContainsFunc(d.Record.Headers, func(h route.Header) bool { return h.Key == wire.HeaderTrace })
		if has != (session != "") || has && header(d.Record, wire.HeaderTrace) != string(session) {
			t.Errorf("session %q: headers are %v", session, d.Record.Headers)
		}
	}
}

func TestStale(t *testing.T) {
	const end charge.Time = 1_000_000
	for _, tc := range []struct {
		now     charge.Time
		waited  time.Duration
		backlog bool
		want    bool
	}{
		{end - 1, 0, true, false},
		{end, 0, true, true},
		{end, 0, false, false},
		{end + 30_000, 0, false, false},
		{end + 30_001, 0, false, true},
		{end - 1, 5 * time.Second, false, true},
		{end - 1, 5*time.Second - 1, false, false},
	} {
		p := route.Publish{Expires: end, Life: 5 * time.Second, Backlog: tc.backlog}
		if got := p.Stale(tc.now, tc.waited); got != tc.want {
			t.Errorf("%s: stale %t, want %t", fmt.Sprintf("%+v", tc), got, tc.want)
		}
	}
	if (route.Publish{Retained: true, Backlog: true}).Stale(end, time.Hour) {
		t.Error("an acknowledgement goes stale")
	}
	if !(route.Publish{Expires: 0, Life: time.Second, Backlog: true}).Stale(end, 0) {
		t.Error("a command of the epoch never goes stale")
	}
}
