package ingest

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Every Kafka record, with any key and header, becomes an input that moves the
// offset, so that reading goes on behind it. What is applied is named by its
// key; what is not has a reason.
func FuzzPrepare(f *testing.F) {
	topics := Topics{
		Events: wire.TopicEvents, Telemetry: wire.TopicTelemetry, Monitor: wire.TopicMonitor, Commands: wire.TopicCommands,
		Drivers: wire.TopicDriverEvents, Central: wire.TopicCentralEvents, DeadLetters: wire.TopicDeadLetters,
	}
	files, err := filepath.Glob("../../../internal/wire/testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden messages: %v", err)
	}
	read := []string{topics.Events, topics.Drivers, topics.Monitor, topics.Commands}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		kind := strings.TrimSuffix(filepath.Base(name), ".json")
		topic := map[string]uint8{"record": 0, "driver": 1, "presence": 2, "bridge": 2, "central": 2}[strings.Split(kind, "_")[0]]
		f.Add(topic, "CP_001", strings.TrimSuffix(kind, "_will"), bytes.TrimSpace(raw), int64(7), false)
	}
	f.Add(uint8(2), "", wire.KindValueCentralAlive, []byte(`{"v":1,"central":"100012-7f3a9c01d2e4b6a8","at":"2026-11-22T10:00:00.000Z"}`), int64(7), true)
	f.Add(uint8(1), "", "", []byte(`{"event_type":"STOP_REQUEST","username":"anna","cp_id":7,"timestamp":"1.5"}`), int64(-1), true)
	cfg := Config{Topics: topics, Run: "00000000000000ab"}
	f.Fuzz(func(t *testing.T, topic uint8, key, kind string, value []byte, offset int64, past bool) {
		writer := New(cfg, nil, nil, NewLive(ledger.Tariff{}), func() {}, slog.New(slog.DiscardHandler))
		d := KafkaRecord{
			Topic: read[int(topic)%len(read)], Partition: 2, Offset: offset, CRC: 9, Key: key, Kind: kind, Value: value, ReceivedAt: 1000, BeforeStart: past,
		}
		var at KafkaRecord
		switch in := writer.decode(d).(type) {
		case recordIn:
			r, err := wire.DecodeRecord(value)
			if at = in.d; err != nil || string(r.CPID) != key || !bytes.Equal(in.in.Raw, value) || d.Topic != topics.Events {
				t.Fatalf("%q on %s, key %q, is applied as %+v (%v)", value, d.Topic, key, in.in, err)
			}
		case presenceIn:
			if at = in.d; string(in.cp) != key || !in.cp.Valid() || d.Topic != topics.Monitor || kind != wire.KindValuePresence {
				t.Fatalf("%q on %s, kind %q, key %q, is decoded as the presence of %q", value, d.Topic, kind, key, in.cp)
			}
		case driverIn:
			at = in.d
			askedFor(t, &in)
		case deadLetterIn:
			if at = in.d; in.why.IsZero() {
				t.Fatalf("%q on %s is a dead letter without a reason", value, d.Topic)
			}
		case unknownKindIn:
			if at = in.d; d.Topic != topics.Monitor {
				t.Fatalf("%q on %s is passed as unknown", value, d.Topic)
			}
		case bridgeIn:
			if at = in.d; d.Topic != topics.Monitor || kind != wire.KindValueBridgeAlive {
				t.Fatalf("%q on %s, kind %q, is a heartbeat of a bridge", value, d.Topic, kind)
			}
		case offsetIn:
			if at = in.d; d.Topic != topics.Monitor || kind != wire.KindValueCentralAlive {
				t.Fatalf("%q on %s, kind %q, is passed", value, d.Topic, kind)
			}
		case earlierCentralIn:
			if at = in.d; d.Topic != topics.Monitor || kind != wire.KindValueCentralAlive || !past {
				t.Fatalf("%q on %s, kind %q, before the start %t, is of an earlier Central", value, d.Topic, kind, past)
			}
		default:
			t.Fatalf("%q on %s becomes %T", value, d.Topic, in)
		}
		if at.Topic != d.Topic || at.Partition != d.Partition || at.Offset != d.Offset || at.CRC != d.CRC {
			t.Fatalf("the place of %+v in the log is taken for %+v", d, at)
		}
	})
}

// askedFor checks what the writer decodes as a driver's request: it can be
// answered, and be distinguished from every other one.
func askedFor(t *testing.T, in *driverIn) {
	t.Helper()
	req, err := wire.DecodeDriverRequest(in.d.Value)
	if (err == nil) != (in.invalid == "") {
		t.Fatalf("%q is taken in as %+v, invalid %q (%v)", in.d.Value, in.req, in.invalid, err)
	}
	r := &in.req
	if r.MessageID == "" || len(r.MessageID) > 128 || len(r.ClientID) > 128 {
		t.Fatalf("%q is taken in as %+v", in.d.Value, r)
	}
	if err == nil && (r.EventType != req.EventType || r.Username != req.Username || req.MessageID != "" && r.MessageID != req.MessageID) {
		t.Fatalf("%+v is taken in as %+v", req, r)
	}
	if err != nil && r.Username != "" && !charge.ValidName(string(r.Username)) { // answered with what is wrong; without a name by the message_id
		t.Fatalf("%q is answered as %+v", in.d.Value, r)
	}
}
