package wire

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// Kind is what a topic of one charging point carries.
type Kind string

// The topics of one charging point, <prefix>/<cp_id>/<kind>.
const (
	// From the charging point.
	KindEvent     Kind = "up/event"
	KindTelemetry Kind = "up/telemetry"
	KindPresence  Kind = "up/presence"
	// To the charging point.
	KindCommand Kind = "down/command"
	KindAck     Kind = "down/ack"
)

// DefaultPrefix is the first level of every MQTT topic unless configured.
const DefaultPrefix = "cp"

// Topics composes and parses MQTT topics with one prefix. The zero value uses
// DefaultPrefix.
type Topics struct{ Prefix string }

// prefix returns the configured prefix, or the default.
func (t Topics) prefix() string {
	if t.Prefix == "" {
		return DefaultPrefix
	}
	return t.Prefix
}

// maxPrefix keeps topics far below the 65,535 bytes that MQTT allows.
const maxPrefix = 256

// Validate refuses a prefix that is too long or has wildcards, empty levels or a
// leading "$".
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

// Parse returns charging point and kind of a topic. Every topic that is not made
// of a cp_id and one of the five kinds is an error.
func (t Topics) Parse(topic string) (charge.CPID, Kind, error) {
	rest, ok := strings.CutPrefix(topic, t.prefix()+"/")
	if !ok {
		return "", "", &DecodeError{"topic", "", reason.Wrong{Code: reason.TopicOther, Value: fmt.Sprintf("%.80q", topic), Allowed: strconv.Quote(t.prefix())}}
	}
	id, kind, ok := strings.Cut(rest, "/")
	if !ok {
		return "", "", &DecodeError{"topic", "", reason.Wrong{Code: reason.TopicKind, Value: fmt.Sprintf("%.80q", topic)}}
	}
	cp, err := charge.ParseCPID(id)
	if err != nil {
		return "", "", &DecodeError{"topic", "cp_id", notID(id)}
	}
	switch k := Kind(kind); k {
	case KindEvent, KindTelemetry, KindPresence, KindCommand, KindAck:
		return cp, k, nil
	}
	return "", "", &DecodeError{"topic", "", reason.Wrong{Code: reason.TopicKind, Value: fmt.Sprintf("%.80q", topic)}}
}

// Kafka topics. Their keys are the cp_id; on the drivers' topics the username.
const (
	// Journal records, from the bridge to Central.
	TopicEvents = "cp-events"
	// Telemetry, from the bridge to Central.
	TopicTelemetry = "cp-telemetry"
	// Presence of charging points, and heartbeats of bridges and Centrals.
	TopicMonitor = "monitor-events"
	// Commands and acknowledgements, from Central to the bridge.
	TopicCommands = "cp-commands"
	// Requests of drivers, and what Central reports.
	TopicDriverEvents  = "driver-events"
	TopicCentralEvents = "central-events"
	// Messages that could not be used, with the reason.
	TopicDeadLetters = "cp-events-dlq"
)

// Headers of Kafka records.
const (
	HeaderReceivedAt = "received_at" // RFC 3339, when the bridge received it
	HeaderTopic      = "topic"       // the MQTT topic it came on, or the Kafka topic of a dead letter
	HeaderReason     = "reason"      // why it is a dead letter, as a text
	HeaderWhy        = "why"         // the same for programs: a reason.Reason as JSON
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
