package route

import (
	"fmt"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// Topics are the Kafka topics of the bridge.
type Topics struct {
	Events, Telemetry, Monitor, Commands, DeadLetters string
}

// DefaultTopics returns the names of docs/PROTOCOL.md.
func DefaultTopics() Topics {
	return Topics{
		Events: wire.TopicEvents, Telemetry: wire.TopicTelemetry, Monitor: wire.TopicMonitor,
		Commands: wire.TopicCommands, DeadLetters: wire.TopicDeadLetters,
	}
}

// Router maps messages between MQTT and Kafka. It holds the names of the topics
// on both sides.
type Router struct {
	MQTT  wire.Topics
	Kafka Topics
}

// Message is a message that MQTT delivered.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool // the broker had stored it and delivered it because of a subscription
	At       charge.Time
}

// Header is a header of a Kafka record.
type Header struct{ Key, Value string }

// Record is a record to be written to Kafka.
type Record struct {
	Topic   string
	Key     string
	Value   []byte // the bytes that were received, not a copy
	Headers []Header
}

// Kind is how a record is delivered.
type Kind int

// The kinds of records. Events and dead letters are delivered in order and
// acknowledged to MQTT once Kafka has them. Of Presence and Telemetry the latest
// value per charging point is enough.
const (
	Event Kind = iota + 1
	Presence
	Telemetry
	DeadLetter
)

// LatestOnly reports whether the latest value of a kind is enough: a newer one may
// replace one that waits for Kafka.
func (k Kind) LatestOnly() bool { return k == Telemetry || k == Presence }

// Decision is what becomes of a message from MQTT.
type Decision struct {
	Kind   Kind
	Record Record
	// CP is the charging point; empty when the topic names none.
	CP charge.CPID
	// EventKey identifies an Event; empty for the other kinds.
	EventKey EventKey
	// Why is why the message is a dead letter; zero otherwise.
	Why reason.Reason
}

// Limits of dead letters: Kafka must accept them, whatever was received by MQTT.
const (
	maxDeadLetter = 60 << 10 // bytes of the value
	maxHeader     = 512      // bytes of a header
)

// Up decides what becomes of a message from MQTT.
func (r Router) Up(m Message) Decision {
	cp, kind, err := r.MQTT.Parse(m.Topic)
	if err != nil {
		return r.deadLetter(m, "", wire.Why(err))
	}
	d := Decision{CP: cp, Record: Record{Key: string(cp), Value: m.Payload, Headers: originHeaders(m)}}
	named := cp // in the message
	switch kind {
	case wire.KindEvent:
		d.Kind, d.Record.Topic = Event, r.Kafka.Events
		var rec wire.Record
		if rec, err = wire.DecodeRecord(m.Payload); rec.SessionID != "" {
			d.Record.Headers = append(d.Record.Headers, Header{wire.HeaderTrace, string(rec.SessionID)})
		}
		d.EventKey, named = EventKey{cp, rec.Journal, rec.Seq}, rec.CPID
	case wire.KindTelemetry:
		d.Kind, d.Record.Topic = Telemetry, r.Kafka.Telemetry
		var t wire.Telemetry
		t, err = wire.DecodeTelemetry(m.Payload)
		named = t.CPID
	case wire.KindPresence:
		d.Kind, d.Record.Topic = Presence, r.Kafka.Monitor
		d.Record.Headers = append(d.Record.Headers, Header{wire.HeaderKind, wire.KindValuePresence})
		_, err = wire.DecodePresence(m.Payload)
	case wire.KindCommand, wire.KindAck:
		return r.deadLetter(m, cp, reason.Reason{Code: reason.NotFromPoints, Value: string(kind)})
	}
	switch {
	case m.Retained && kind != wire.KindPresence: // the broker would deliver it again with every subscription
		return r.deadLetter(m, cp, reason.Reason{Code: reason.Retained})
	case err != nil:
		return r.deadLetter(m, cp, wire.Why(err))
	case named != cp:
		return r.deadLetter(m, cp, reason.Reason{Code: reason.TopicNames, Value: string(cp), Allowed: string(named)})
	}
	return d
}

// originHeaders describes where a message comes from. The slice has capacity for
// one more header of a message, or two of a dead letter.
func originHeaders(m Message) []Header {
	return append(make([]Header, 0, 4), Header{wire.HeaderTopic, cut(m.Topic)}, Header{wire.HeaderReceivedAt, m.At.String()})
}

// deadLetter makes a dead letter of a message.
func (r Router) deadLetter(m Message, cp charge.CPID, why reason.Reason) Decision {
	return Decision{
		Kind: DeadLetter, CP: cp, Why: why,
		Record: r.deadLetterRecord(string(cp), m.Payload, append(originHeaders(m), whyHeaders(why)...)),
	}
}

// whyHeaders has why a message is a dead letter: as a text, and for programs.
func whyHeaders(why reason.Reason) []Header {
	return []Header{{wire.HeaderReason, cut(why.String())}, {wire.HeaderWhy, wire.EncodeWhy(why)}}
}

// deadLetterRecord makes the record of a dead letter. The value is cut to what
// Kafka accepts.
func (r Router) deadLetterRecord(key string, value []byte, headers []Header) Record {
	if len(value) > maxDeadLetter {
		headers = append(headers, Header{"cut_from_bytes", fmt.Sprint(len(value))})
		value = value[:maxDeadLetter]
	}
	return Record{Topic: r.Kafka.DeadLetters, Key: key, Value: value, Headers: headers}
}

// Poison makes the dead letter of a record that Kafka refuses for good.
func (r Router) Poison(rec Record, why reason.Reason) Record {
	return r.deadLetterRecord(rec.Key, rec.Value, append(slices.Clone(rec.Headers), whyHeaders(why)...))
}

// cut shortens the text of a header.
func cut(s string) string {
	if len(s) > maxHeader {
		return s[:maxHeader]
	}
	return s
}

// EventKey identifies an event. An agent repeats an event, with the same key and
// the same bytes, until Central acknowledges it.
type EventKey struct {
	CP      charge.CPID
	Journal charge.JournalID
	Seq     charge.Seq
}
