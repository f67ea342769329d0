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

// DefaultTopics are the names of docs/PROTOCOL.md.
func DefaultTopics() Topics {
	return Topics{
		Events: wire.TopicEvents, Telemetry: wire.TopicTelemetry, Monitor: wire.TopicMonitor,
		Commands: wire.TopicCommands, DeadLetters: wire.TopicDeadLetters,
	}
}

// Router knows the names of topics on both sides.
type Router struct {
	MQTT  wire.Topics
	Kafka Topics
}

// Message is what MQTT delivered.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool // it was delivered because of a subscription, from the broker's memory
	At       charge.Time
}

// Header is a header of a Kafka record.
type Header struct{ Key, Value string }

// Record is what is written to Kafka.
type Record struct {
	Topic   string
	Key     string
	Value   []byte // the bytes that came, not a copy
	Headers []Header
}

// Kind says how a record is carried.
type Kind int

// The kinds of records. All but Telemetry are carried in order and owed until
// Kafka took them; of Telemetry the latest per charging point is enough.
const (
	Event Kind = iota + 1
	Presence
	Telemetry
	DeadLetter
)

// Decision is what becomes of a message from MQTT.
type Decision struct {
	Kind   Kind
	Record Record
	// CP is empty when the topic names none.
	CP charge.CPID
	// EventKey names an Event; empty otherwise.
	EventKey EventKey
	// Reason says why it is a dead letter; empty otherwise.
	Reason string
}

// Limits of dead letters: Kafka must take them whatever came by MQTT.
const (
	maxDeadLetter = 60 << 10
	maxHeader     = 512
)

// Up decides about a message from MQTT.
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
		err = fmt.Errorf("%s is not said by a charging point", kind)
	}
	if err != nil {
		return r.deadLetter(m, cp, err.Error())
	}
	return d
}

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

// errRetained: a broker that remembers an event would deliver it for ever.
var errRetained = errors.New("is retained; events and telemetry are not")

func checkName(topic, body charge.CPID) error {
	if topic != body {
		return fmt.Errorf("the topic names %s, the message names %s", topic, body)
	}
	return nil
}

// originHeaders says where a message comes from. There is room for one more header.
func originHeaders(m Message) []Header {
	return append(make([]Header, 0, 3), Header{wire.HeaderTopic, cut(m.Topic)}, Header{wire.HeaderReceivedAt, m.At.String()})
}

// deadLetter makes a dead letter. Its value is cut to what Kafka takes.
func (r Router) deadLetter(m Message, cp charge.CPID, reason string) Decision {
	return Decision{
		Kind: DeadLetter, CP: cp, Reason: reason,
		Record: r.deadLetterRecord(string(cp), m.Payload, append(originHeaders(m), Header{wire.HeaderReason, cut(reason)})),
	}
}

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

func cut(s string) string {
	if len(s) > maxHeader {
		return s[:maxHeader]
	}
	return s
}
