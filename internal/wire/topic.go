package wire

import (
	"fmt"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
)

// Kind is what a topic of one charging point carries.
type Kind string

// The topics of one charging point, <prefix>/<cp_id>/<kind>.
const (
	KindEvent     Kind = "up/event"
	KindTelemetry Kind = "up/telemetry"
	KindPresence  Kind = "up/presence"
	KindCommand   Kind = "down/command"
	KindAck       Kind = "down/ack"
)

// DefaultPrefix is the first level of every MQTT topic unless configured.
const DefaultPrefix = "cp"

// Topics makes and reads MQTT topics under one prefix. The zero value uses
// DefaultPrefix.
type Topics struct{ Prefix string }

func (t Topics) prefix() string {
	if t.Prefix == "" {
		return DefaultPrefix
	}
	return t.Prefix
}

// maxPrefix keeps topics far below MQTT's limit of 65 535 bytes.
const maxPrefix = 256

// Validate refuses a prefix that is long or has wildcards, empty levels or a
// leading '$'.
func (t Topics) Validate() error {
	if len(t.Prefix) > maxPrefix {
		return fmt.Errorf("topic prefix has %d bytes; at most %d are allowed", len(t.Prefix), maxPrefix)
	}
	for level := range strings.SplitSeq(t.prefix(), "/") {
		if !charge.ValidID(level) {
			return fmt.Errorf("topic prefix %q has the level %q; use [A-Za-z0-9_-] between slashes", t.Prefix, level)
		}
	}
	return nil
}

// Of returns the topic of one charging point.
func (t Topics) Of(cp charge.CPID, k Kind) string {
	return t.prefix() + "/" + string(cp) + "/" + string(k)
}

// All returns the filter that matches this kind for every charging point.
func (t Topics) All(k Kind) string { return t.prefix() + "/+/" + string(k) }

// Parse reads a topic. Everything outside the rule of a cp_id and the five
// kinds is an error.
func (t Topics) Parse(topic string) (charge.CPID, Kind, error) {
	rest, ok := strings.CutPrefix(topic, t.prefix()+"/")
	if !ok {
		return "", "", &DecodeError{"topic", "", fmt.Sprintf("%.80q is not below %q", topic, t.prefix())}
	}
	id, kind, ok := strings.Cut(rest, "/")
	if !ok {
		return "", "", &DecodeError{"topic", "", fmt.Sprintf("%.80q names no kind of message", topic)}
	}
	cp, err := charge.ParseCPID(id)
	if err != nil {
		return "", "", &DecodeError{"topic", "cp_id", err.Error()}
	}
	switch k := Kind(kind); k {
	case KindEvent, KindTelemetry, KindPresence, KindCommand, KindAck:
		return cp, k, nil
	}
	return "", "", &DecodeError{"topic", "", fmt.Sprintf("%.80q is of no known kind", topic)}
}

// Kafka topics. Keys are the cp_id; for the drivers' topics the username.
const (
	TopicEvents        = "cp-events"
	TopicTelemetry     = "cp-telemetry"
	TopicMonitor       = "monitor-events"
	TopicCommands      = "cp-commands"
	TopicDriverEvents  = "driver-events"
	TopicCentralEvents = "central-events"
	TopicDeadLetters   = "cp-events-dlq"
)

// Headers of Kafka records.
const (
	HeaderReceivedAt = "received_at" // RFC 3339, when the bridge received it
	HeaderTopic      = "topic"       // the MQTT topic it came on, or the Kafka topic of a dead letter
	HeaderReason     = "reason"      // why it is a dead letter
	HeaderOrigin     = "origin"      // "partition/offset" of a dead letter that came by Kafka
	HeaderKind       = "kind"        // what a record of monitor-events or cp-commands is
	HeaderCentral    = "central"     // the epoch of the Central that wrote a record of cp-commands
	HeaderTrace      = "trace_id"    // the session it belongs to: from the charging point's records to the ticket
)

// Values of HeaderKind.
const (
	KindValuePresence     = "presence"
	KindValueBridgeAlive  = "bridge_alive"
	KindValueCentralAlive = "central_alive"
	KindValueCommand      = "command"
	KindValueAck          = "ack"
)
