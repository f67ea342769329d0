package app_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// laterByMQTT are the numbers of the list, or parts of them, that wait for
// something.
func laterByMQTT() map[int]string {
	return map[int]string{
		20: "signature valid but of another charging point: needs signing",
		21: "signature over re-ordered JSON: needs signing",
		28: "client id of another charging point is refused: needs accounts at the broker",
		29: "a well-formed will on another's topic is refused: needs access rules at the broker",
		30: "wildcard and shared subscriptions are refused: needs access rules at the broker",
	}
}

// A fate is what becomes of the messages of a row.
type fate int

const (
	passed   fate = iota // written to cp-events as received: Central checks the content
	letter               // a dead letter with its reason
	cutOff               // the broker ends the sender's connection; nothing reaches the bridge
	harmless             // nothing is written at all
)

// badRow is one bad input. send sends it from a client that is no agent, and
// returns the payloads that must be found, in order.
type badRow struct {
	name   string
	fate   fate
	reason string // part of each dead letter's
	send   func(s *stranger) [][]byte
}

// TestBadInputByMQTT: no bad input stops the bridge or another client. Each is
// counted and ends as its row expects; the written bytes are those received.
func TestBadInputByMQTT(t *testing.T) {
	rows := slices.Concat(badSessions(), badPackets(), badJSON(), badRecords())
	allNumbers(t, rows, laterByMQTT())
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		w.startBridge()
		w.within(20*time.Second, "both sides are up", func() bool { return w.now().MQTT.Up && w.now().Kafka.Up })
		for i, row := range rows {
			w.survive(i+1, row)
		}
		w.within(2*time.Second, "the broker holds nothing for the bridge", func() bool {
			c, ok := w.mqtt.Clients.Get("carga-bridge")
			return ok && c.State.Inflight.Len() == 0
		})
	})
}

// allNumbers expects each number from 1 to 30 of the list to begin the name of
// a row or to stand in later.
func allNumbers(t *testing.T, rows []badRow, later map[int]string) {
	t.Helper()
	tested := map[int]bool{}
	for _, row := range rows {
		number, _, _ := strings.Cut(row.name, " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Errorf("%q begins with no number of the list", row.name)
		}
		tested[n] = true
	}
	for n := 1; n <= 30; n++ {
		if later[n] == "" && !tested[n] {
			t.Errorf("number %d has no row and waits for nothing", n)
		}
	}
}

// survive sends a bad row and expects its fate. Then a good event, the nth of
// its charging point, must be forwarded.
func (w *world) survive(n int, row badRow) {
	w.t.Helper()
	events, letters, before := w.stored(wire.TopicEvents), w.stored(wire.TopicDeadLetters), w.now()
	s := w.stranger("stranger")
	payloads := row.send(s)
	if row.fate == cutOff && !s.isCut() {
		w.t.Errorf("%s: the broker let the sender go on", row.name)
	}
	s.leave()
	wantEvents, wantLetters := int64(0), int64(0)
	switch row.fate {
	case passed:
		wantEvents = int64(len(payloads))
	case letter:
		wantLetters = int64(len(payloads))
	case cutOff, harmless:
	}
	w.within(30*time.Second, row.name+": it is written and counted", func() bool {
		a := w.now()
		return a.MQTT.Up && a.Buffered == 0 && a.Forwarded-before.Forwarded == wantEvents && a.DeadLetters-before.DeadLetters == wantLetters
	})
	if e, l := w.stored(wire.TopicEvents)-events, w.stored(wire.TopicDeadLetters)-letters; e != wantEvents || l != wantLetters {
		w.t.Errorf("%s: %d events and %d dead letters written, want %d and %d", row.name, e, l, wantEvents, wantLetters)
	}
	w.expectBytes(row, payloads)
	w.events(n, n, "CP_GOOD")
	w.within(5*time.Second, row.name+": a good event passes", func() bool { return w.now().Forwarded == before.Forwarded+wantEvents+1 })
}

// expectBytes expects the bytes of a row in the topic that its fate implies.
func (w *world) expectBytes(row badRow, payloads [][]byte) {
	w.t.Helper()
	topic := wire.TopicEvents
	if row.fate == letter {
		topic = wire.TopicDeadLetters
	}
	records := w.read(topic)
	for _, p := range payloads {
		i := slices.IndexFunc(records, func(r *kgo.Record) bool {
			return bytes.Equal(r.Value, p) && strings.Contains(header(r, wire.HeaderReason), row.reason)
		})
		if i < 0 {
			w.t.Errorf("%s: %.60q is not in %s with the reason %q", row.name, p, topic, row.reason)
			continue
		}
		if row.fate == letter && (header(records[i], wire.HeaderTopic) == "" || header(records[i], wire.HeaderReceivedAt) == "") {
			w.t.Errorf("%s: headers are %v", row.name, records[i].Headers)
		}
	}
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// badPackets are those whose form or topic is bad.
func badPackets() []badRow {
	one := func(kind, payload string) func(s *stranger) [][]byte {
		return func(s *stranger) [][]byte { return s.publish("cp/CP_X/"+kind, []byte(payload)) }
	}
	return []badRow{
		{"1 empty event", letter, "record: is not a JSON object", one("up/event", "")},
		{"1 empty telemetry", letter, "telemetry: is not a JSON object", one("up/telemetry", "")},
		{"1 empty presence", letter, "presence: is not a JSON object", one("up/presence", "")},
		{"2 single NUL", letter, "record: is not a JSON object", one("up/event", "\x00")},
		{"3 32 KiB and 1", letter, "has 32769 bytes; 0 to 32768 are allowed", one("up/event", strings.Repeat(" ", 32<<10+1))},
		{"3 68 KiB and 1", cutOff, "", func(s *stranger) [][]byte {
			s.write(publication("cp/CP_X/up/event", 1, false, 7, make([]byte, 68<<10+1)))
			return nil
		}},
		{"4 256 MB declared, slow body", cutOff, "", func(s *stranger) [][]byte {
			s.write([]byte{0x32, 0xff, 0xff, 0xff, 0x7f, 0})
			time.Sleep(time.Second)
			return nil
		}},
		{"5 topic that is no UTF-8", cutOff, "", func(s *stranger) [][]byte {
			s.write(publication("cp/CP\xff\xfe/up/event", 1, false, 7, event("CP_X", 1)))
			return nil
		}},
		{"6 cp//up/event", letter, "topic: field cp_id", func(s *stranger) [][]byte { return s.publish("cp//up/event", event("CP_X", 1)) }},
		{"7 cp/+/up/event as it stands", cutOff, "", func(s *stranger) [][]byte {
			s.write(publication("cp/+/up/event", 1, false, 7, event("CP_X", 1)))
			return nil
		}},
		{"8 topic of 65 535 characters", letter, "is of no known kind", func(s *stranger) [][]byte {
			return s.publish("cp/CP_X/up/"+strings.Repeat("x", 65_535-len("cp/CP_X/up/")), event("CP_X", 1))
		}},
		{"8 cp_id of 37 characters", letter, "1 to 36", func(s *stranger) [][]byte {
			return s.publish("cp/"+strings.Repeat("C", 37)+"/up/event", event("CP_X", 1))
		}},
		{"8 cp_id with a blank", letter, "topic: field cp_id", func(s *stranger) [][]byte { return s.publish("cp/a b/up/event", event("CP_X", 1)) }},
		{"8 unknown kind of message", letter, "is of no known kind", one("up/song", "la")},
	}
}

// badJSON are those whose payload is not one of ours.
func badJSON() []badRow {
	good := string(event("CP_X", 1))
	one := func(payload string) func(s *stranger) [][]byte {
		return func(s *stranger) [][]byte { return s.publish("cp/CP_X/up/event", []byte(payload)) }
	}
	with := func(old, replaced string) func(s *stranger) [][]byte {
		if !strings.Contains(good, old) {
			panic(old + " is not in " + good)
		}
		return one(strings.Replace(good, old, replaced, 1))
	}
	presence := func(payload string) func(s *stranger) [][]byte {
		return func(s *stranger) [][]byte { return s.publish("cp/CP_X/up/presence", []byte(payload)) }
	}
	return []badRow{
		{"9 trailing garbage", letter, "has data behind its end", one(good + "}")},
		{"9 no JSON", letter, "is not a JSON object", one("no JSON")},
		{"9 a list", letter, "is not a JSON object", presence("[]")},
		{"10 seq twice", letter, "field seq: appears twice", with(`"seq":1`, `"seq":1,"seq":2`)},
		{"10 seq twice, by case", letter, "field SEQ: appears twice", with(`"seq":1`, `"seq":1,"SEQ":2`)},
		{"11 nested 5 000 deep", letter, "nested more than 16 deep", one(strings.Repeat(`{"a":`, 5_000))},
		{"11 nested 100 000 deep", cutOff, "", func(s *stranger) [][]byte {
			s.write(publication("cp/CP_X/up/event", 1, false, 7, bytes.Repeat([]byte(`[`), 100_000)))
			return nil
		}},
		{"12 unknown type", passed, "", with("meter_read", "battery_swapped")},
		{"12 empty type", letter, "field type", with("meter_read", "")},
		{"13 unknown version v", passed, "", with(`"v":1`, `"v":2`)},
		{"13 version 0", letter, "field v: 0 is not a version", with(`"v":1`, `"v":0`)},
		{"13 no version", letter, "field v: is missing", with(`"v":1,`, ``)},
		{"14 seq 0", letter, "field seq: 0 is out of range; 1 to", with(`"seq":1`, `"seq":0`)},
		{"14 seq negative", letter, "field seq", with(`"seq":1`, `"seq":-1`)},
		{"22 meter NaN", letter, "field data.register_wh", with(`"register_wh":1000`, `"register_wh":NaN`)},
		{"22 meter Infinity", letter, "field data.register_wh", with(`"register_wh":1000`, `"register_wh":-Infinity`)},
		{"22 meter 1e308, -1 and 12,5", passed, "", func(s *stranger) (all [][]byte) {
			for _, v := range []string{"1e308", "-1", `"12,5"`} {
				all = append(all, with(`"register_wh":1000`, `"register_wh":`+v)(s)...)
			}
			return all
		}},
		{"22 telemetry with a register of -1", letter, "telemetry: field connectors.register_wh: -1 is out of range", func(s *stranger) [][]byte {
			return s.publish("cp/CP_X/up/telemetry", []byte(strings.Replace(telemetry("CP_X"), `"register_wh":0`, `"register_wh":-1`, 1)))
		}},
		{"24 not a date", letter, "field at", with(`1970-01-01T00:16:40.000Z`, `yesterday`)},
		{"24 month 13", letter, "field at", with(`1970-01-01T`, `1970-13-01T`)},
		{"24 years 1970 and 9999", passed, "", func(s *stranger) [][]byte {
			return slices.Concat(with(`1970-01-01T00:16:40.000Z`, `1970-01-01T00:00:00.000Z`)(s), with(`1970-`, `9999-`)(s))
		}},
	}
}

// badRecords have a valid form and a content that Central has to check. The
// bridge forwards them unchanged.
func badRecords() []badRow {
	record := func(change func(*wire.Record)) func(s *stranger) [][]byte {
		return func(s *stranger) [][]byte {
			r, err := wire.DecodeRecord(event("CP_X", 5))
			if err != nil {
				panic(err)
			}
			change(&r)
			raw, err := r.Encode()
			if err != nil {
				panic(err)
			}
			return s.publish("cp/CP_X/up/event", raw)
		}
	}
	return []badRow{
		{"15 seq jumps by 10^9", passed, "", record(func(r *wire.Record) { r.Seq = 1_000_000_005 })},
		{"16 seq below what is acknowledged", passed, "", record(func(r *wire.Record) { r.Seq = 1 })},
		{"17 same seq, other bytes", passed, "", record(func(r *wire.Record) { r.UptimeMS = 77 })},
		{"18 journal changed in mid-session", passed, "", record(func(r *wire.Record) { r.Journal, r.SessionID = "another", "s1" })},
		{"19 prev wrong", passed, "", record(func(r *wire.Record) { r.Prev = wire.Hash([]byte("nothing")) })},
		{"19 prev is no hash", letter, "field prev: is not 64 lower-case hex digits", func(s *stranger) [][]byte {
			return s.publish("cp/CP_X/up/event", bytes.Replace(event("CP_X", 5), []byte(`"prev":""`), []byte(`"prev":"ABC"`), 1))
		}},
		{"23 register lower than the last", passed, "", record(func(r *wire.Record) { r.Seq, r.Data = 6, []byte(`{"register_wh":1,"power_w":0}`) })},
		{"25 session id of another charging point", passed, "", record(func(r *wire.Record) { r.SessionID = "session-of-CP_Y" })},
		{"25 record of another charging point", letter, "the topic names CP_X, the message names CP_Y", func(s *stranger) [][]byte {
			return s.publish("cp/CP_X/up/event", event("CP_Y", 1))
		}},
		{"25 telemetry of another charging point", letter, "the topic names CP_X, the message names CP_Y", func(s *stranger) [][]byte {
			return s.publish("cp/CP_X/up/telemetry", []byte(telemetry("CP_Y")))
		}},
	}
}

// badSessions use MQTT wrongly. Access to topics and client IDs is a matter of
// the broker; the bridge must suffer no harm even without such rules. The first
// row restarts the bridge, and with it the counts.
func badSessions() []badRow {
	return []badRow{
		{"26 retained event and telemetry", letter, "is retained; events and telemetry are not", func(s *stranger) [][]byte {
			// To clients that are connected, a retained message arrives like a
			// live one. So the bridge, and its session, must be away.
			s.w.stops[0]()
			s.w.stranger("carga-bridge").leave()
			all := [][]byte{event("CP_R", 1), []byte(telemetry("CP_R"))}
			for i, topic := range []string{"cp/CP_R/up/event", "cp/CP_R/up/telemetry"} {
				s.publishAs(topic, true, all[i])
			}
			s.w.startBridge()
			s.w.within(20*time.Second, "the bridge is back", func() bool { return s.w.now().DeadLetters == 2 })
			for _, topic := range []string{"cp/CP_R/up/event", "cp/CP_R/up/telemetry"} {
				s.w.mqtt.Topics.Retained.Delete(topic)
			}
			return all
		}},
		{"27 event at QoS 0", passed, "", func(s *stranger) [][]byte {
			raw := event("CP_X", 9)
			s.write(publication("cp/CP_X/up/event", 0, false, 0, raw))
			return [][]byte{raw}
		}},
		{"28 client id of the bridge", harmless, "", func(s *stranger) [][]byte {
			twin := s.w.stranger("carga-bridge")
			time.Sleep(10 * time.Second)
			twin.leave()
			return nil
		}},
		{"29 will on another's topic that is no presence", letter, "presence: field online", func(s *stranger) [][]byte {
			will := []byte(`{"v":1,"online":"no"}`)
			dying := s.w.strangerWith("dying", "cp/CP_Y/up/presence", will)
			dying.leave() // without DISCONNECT
			return [][]byte{will}
		}},
		{"30 10 000 subscriptions, wildcards, a share of ours", harmless, "", func(s *stranger) [][]byte {
			filters := []string{"#", "$SYS/#", "$share/x/cp/#", "cp/+/up/#"}
			for i := range 10_000 {
				filters = append(filters, fmt.Sprintf("x/%d", i))
			}
			for part := range slices.Chunk(filters, 1_000) {
				s.write(subscription(part))
			}
			return nil
		}},
		{"30 an agent that publishes commands", harmless, "", func(s *stranger) [][]byte {
			s.publish("cp/CP_X/down/command", []byte("{}"))
			return nil
		}},
	}
}

// telemetry is a valid one.
func telemetry(cp string) string {
	m := wire.Telemetry{V: 1, CPID: charge.CPID(cp), Journal: "boot", At: 1000, Connectors: []wire.ConnectorTelemetry{{Connector: 1, Status: charge.StatusAvailable}}}
	raw, err := m.Encode()
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// stranger is a client that writes MQTT byte by byte.
type stranger struct {
	w *world
	c net.Conn
}

// stranger connects a client.
func (w *world) stranger(id string) *stranger { return w.strangerWith(id, "", nil) }

func (w *world) strangerWith(id, willTopic string, will []byte) *stranger {
	w.t.Helper()
	c, err := w.dialMQTT(w.t.Context(), &url.URL{Host: "localhost:1883"})
	if err != nil {
		w.t.Fatal(err)
	}
	s := &stranger{w, c}
	flags := byte(0x02) // a clean session
	body := text(id)
	if willTopic != "" {
		flags |= 0x0c // a will at QoS 1
		body = slices.Concat(body, text(willTopic), text(string(will)))
	}
	s.write(packet(0x10, slices.Concat(text("MQTT"), []byte{4, flags, 0, 60}, body)))
	answer := make([]byte, 4)
	if _, err := io.ReadFull(c, answer); err != nil || answer[0] != 0x20 || answer[3] != 0 {
		w.t.Fatalf("%s is not let in: %x %v", id, answer, err)
	}
	return s
}

// write writes bytes. isCut notices a broker that has closed the connection.
func (s *stranger) write(b []byte) { _, _ = s.c.Write(b) }

// publish publishes one message with QoS 1 and waits for its acknowledgement.
func (s *stranger) publish(topic string, payload []byte) [][]byte {
	s.w.t.Helper()
	return s.publishAs(topic, false, payload)
}

func (s *stranger) publishAs(topic string, retained bool, payload []byte) [][]byte {
	s.w.t.Helper()
	s.write(publication(topic, 1, retained, 1, payload))
	answer := make([]byte, 4)
	if _, err := io.ReadFull(s.c, answer); err != nil || answer[0] != 0x40 {
		s.w.t.Fatalf("publish to %.40s: %x %v", topic, answer, err)
	}
	return [][]byte{payload}
}

// isCut waits until the broker has closed the connection.
func (s *stranger) isCut() bool {
	ended := make(chan bool, 1)
	go func() {
		_, err := io.Copy(io.Discard, s.c)
		ended <- err == nil || !strings.Contains(err.Error(), "closed pipe")
	}()
	select {
	case cut := <-ended:
		return cut
	case <-time.After(5 * time.Second):
		_ = s.c.Close()
		<-ended
		return false
	}
}

// leave closes the connection without DISCONNECT.
func (s *stranger) leave() { _ = s.c.Close() }

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) //nolint:gosec // as MQTT has it
}

// packet puts the fixed header before a body.
func packet(kind byte, body []byte) []byte {
	head := []byte{kind}
	n := len(body)
	for {
		b := byte(n % 128)
		if n /= 128; n > 0 {
			head = append(head, b|0x80)
			continue
		}
		return append(append(head, b), body...)
	}
}

func publication(topic string, qos byte, retained bool, id uint16, payload []byte) []byte {
	kind := 0x30 | qos<<1
	if retained {
		kind |= 1
	}
	body := text(topic)
	if qos > 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	return packet(kind, append(body, payload...))
}

func subscription(filters []string) []byte {
	body := []byte{0, 1}
	for _, f := range filters {
		body = append(append(body, text(f)...), 1)
	}
	return packet(0x82, body)
}
