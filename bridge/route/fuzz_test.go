package route_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// goldens calls add with each golden message and the first word of its name.
func goldens(f *testing.F, add func(kind string, raw []byte)) {
	f.Helper()
	files, err := filepath.Glob("../../internal/wire/testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden messages: %v", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		kind, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(name), ".json"), "_")
		add(kind, bytes.TrimSpace(raw))
	}
}

// letter checks a dead letter: it has a reason, and the bytes as far as Kafka
// accepts them.
func letter(t *testing.T, d *route.Decision, value []byte) {
	t.Helper()
	size := len(d.Record.Key) + len(d.Record.Value)
	for _, h := range d.Record.Headers {
		size += len(h.Key) + len(h.Value)
	}
	switch {
	case d.Kind != route.DeadLetter || d.Why.IsZero() || header(d.Record, wire.HeaderReason) == "" || d.Record.Topic != wire.TopicDeadLetters:
		t.Fatalf("a dead letter without its reason, or not sent to the dead letters: %+v", d)
	case !bytes.HasPrefix(value, d.Record.Value), len(d.Record.Value) != len(value) && header(d.Record, "cut_from_bytes") == "":
		t.Fatalf("the dead letter of %.80q holds %.80q", value, d.Record.Value)
	case size > 64<<10:
		t.Fatalf("the dead letter has %d bytes", size)
	}
}

// FuzzUp: whatever comes by MQTT goes to Kafka with its bytes: under the one name
// that topic and message agree about, so that Central can use it, or as a dead
// letter.
func FuzzUp(f *testing.F) {
	goldens(f, func(kind string, raw []byte) {
		of := map[string]wire.Kind{"record": wire.KindEvent, "telemetry": wire.KindTelemetry, "presence": wire.KindPresence, "command": wire.KindCommand}[kind]
		if of != "" {
			f.Add("cp/CP_001/"+string(of), raw, false)
		}
	})
	f.Add("cp/CP_002/up/event", []byte(`{}`), true)
	f.Fuzz(func(t *testing.T, topic string, payload []byte, retained bool) {
		d := router().Up(route.Message{Topic: topic, Payload: payload, Retained: retained, At: 1000})
		if d.Kind == route.DeadLetter {
			letter(t, &d, payload)
			return
		}
		kind := map[route.Kind]wire.Kind{route.Event: wire.KindEvent, route.Telemetry: wire.KindTelemetry, route.Presence: wire.KindPresence}[d.Kind]
		cp := charge.CPID(d.Record.Key)
		if !cp.Valid() || d.CP != cp || topic != "cp/"+d.Record.Key+"/"+string(kind) || !bytes.Equal(d.Record.Value, payload) || !d.Why.IsZero() {
			t.Fatalf("%q becomes %+v", topic, d)
		}
		body, err := cp, error(nil)
		switch d.Kind {
		case route.Event:
			var r wire.Record
			r, err = wire.DecodeRecord(payload)
			body = r.CPID
			if got := header(d.Record, wire.HeaderTrace); got != string(r.SessionID) {
				t.Fatalf("the trace is %q, the session %q", got, r.SessionID)
			}
		case route.Telemetry:
			var m wire.Telemetry
			m, err = wire.DecodeTelemetry(payload)
			body = m.CPID
		case route.Presence:
			_, err = wire.DecodePresence(payload)
		case route.DeadLetter:
		}
		if err != nil || body != cp || retained && d.Kind != route.Presence {
			t.Fatalf("%q, retained %t, is sent on: it names %q (%v)", topic, retained, body, err)
		}
	})
}

// FuzzDown: whatever lies in the log of orders is published with its bytes to the
// one charging point that key and message name, in its time, or is a dead letter.
func FuzzDown(f *testing.F) {
	goldens(f, func(kind string, raw []byte) {
		if kind == wire.KindValueCommand || kind == wire.KindValueAck {
			f.Add("CP_001", kind, raw, int64(1_795_341_600_000))
		}
	})
	f.Add("cp/+", "command", []byte(`{}`), int64(0))
	f.Fuzz(func(t *testing.T, key, kind string, value []byte, now int64) {
		o := route.CommandRecord{Key: key, Kind: kind, Value: value, Partition: 3, Offset: 17, At: 1000}
		p, dead := router().Down(o)
		if dead != nil {
			letter(t, dead, value)
			if header(dead.Record, wire.HeaderOrigin) != "3/17" || p.Topic != "" || dead.CP != "" && string(dead.CP) != key {
				t.Fatalf("%+v, %+v", p, dead)
			}
			return
		}
		cp, of, err := wire.Topics{}.Parse(p.Topic)
		if err != nil || string(cp) != key || p.CP != cp || string(of) != "down/"+kind || !bytes.Equal(p.Payload, value) || !utf8.Valid(value) {
			t.Fatalf("%q of %q is published as %+v (%v)", kind, key, p, err)
		}
		if of == wire.KindAck {
			if !p.Retained || p.Stale(charge.Time(now), math.MaxInt64) {
				t.Fatalf("an acknowledgement is published as %+v", p)
			}
			return
		}
		c, err := wire.DecodeCommand(value)
		if err != nil || c.CPID != cp || p.Retained || p.Expires != c.ExpiresAt || p.Life > wire.MaxCommandLife {
			t.Fatalf("%+v is published as %+v (%v)", c, p, err)
		}
		// Time makes nothing fresh again.
		at := charge.Time(now & (1<<44 - 1))
		for _, p.Backlog = range []bool{false, true} {
			if p.Stale(at, 0) && !p.Stale(at+1, 0) || !p.Stale(c.ExpiresAt+30_001, 0) {
				t.Fatalf("%+v at %s: stale, and then not", p, at)
			}
		}
	})
}
