package route

import (
	"errors"
	"fmt"

	"github.com/carga-ev/carga/internal/charge"
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
	// Reason is why the message is a dead letter; empty otherwise.
	Reason string
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
		return r.deadLetter(m, "", err.Error())
	}
	d := Decision{CP: cp, Record: Record{Key: string(cp), Value: m.Payload, Headers: originHeaders(m)}}
	switch kind {
	case wire.KindEvent:
		d.Kind, d.Record.Topic = Event, r.Kafka.Events
		var rec wire.Record
		if rec, err = checkEvent(m, cp); rec.SessionID != "" {
			d.Record.Headers = append(d.Record.Headers, Header{wire.HeaderTrace, string(rec.SessionID)})
		}
		d.EventKey = EventKey{cp, rec.Journal, rec.Seq}
	case wire.KindTelemetry:
		d.Kind, d.Record.Topic = Telemetry, r.Kafka.Telemetry
		err = checkTelemetry(m, cp)
	case wire.KindPresence:
		d.Kind, d.Record.Topic = Presence, r.Kafka.Monitor
		d.Record.Headers = append(d.Record.Headers, Header{wire.HeaderKind, wire.KindValuePresence})
		_, err = wire.DecodePresence(m.Payload)
	case wire.KindCommand, wire.KindAck:
		err = fmt.Errorf("%s is not sent by charging points", kind)
	}
	if err != nil {
		return r.deadLetter(m, cp, err.Error())
	}
	return d
}

// checkEvent validates an event and that it belongs to the charging point of its
// topic.
func checkEvent(m Message, cp charge.CPID) (wire.Record, error) {
	if m.Retained {
		return wire.Record{}, errRetained
	}
	rec, err := wire.DecodeRecord(m.Payload)
	if err != nil {
		return rec, err
	}
	return rec, checkName(cp, rec.CPID)
}

// checkTelemetry is checkEvent for telemetry.
func checkTelemetry(m Message, cp charge.CPID) error {
	if m.Retained {
		return errRetained
	}
	t, err := wire.DecodeTelemetry(m.Payload)
	if err != nil {
		return err
	}
	return checkName(cp, t.CPID)
}

// errRetained refuses what the broker would deliver again with every
// subscription.
var errRetained = errors.New("is retained; events and telemetry are not")

func checkName(topic, body charge.CPID) error {
	if topic != body {
		return fmt.Errorf("the topic names %s, the message names %s", topic, body)
	}
	return nil
}

// originHeaders describes where a message comes from. The slice has capacity for
// one more header.
func originHeaders(m Message) []Header {
	return append(make([]Header, 0, 3), Header{wire.HeaderTopic, cut(m.Topic)}, Header{wire.HeaderReceivedAt, m.At.String()})
}

// deadLetter makes a dead letter of a message.
func (r Router) deadLetter(m Message, cp charge.CPID, reason string) Decision {
	return Decision{
		Kind: DeadLetter, CP: cp, Reason: reason,
		Record: r.deadLetterRecord(string(cp), m.Payload, append(originHeaders(m), Header{wire.HeaderReason, cut(reason)})),
	}
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
func (r Router) Poison(rec Record, reason string) Record {
	headers := append([]Header{}, rec.Headers...)
	return r.deadLetterRecord(rec.Key, rec.Value, append(headers, Header{wire.HeaderReason, cut(reason)}))
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
