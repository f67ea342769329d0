// Package schematest checks messages against the schemas in docs/schema, for tests
// that observe messages on their way.
package schematest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Set holds all schemas. Its methods may be called concurrently.
type Set struct {
	dir string

	mu sync.Mutex
	// mu guards what follows.
	schemas map[string]*jsonschema.Schema // those that were needed
}

// Load finds docs/schema of the repository in which the test runs, by its
// go.mod. Each schema is read when it is first needed.
func Load(tb testing.TB) *Set {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			tb.Fatal("the test does not run inside the repository")
		}
		dir = up
	}
	return &Set{dir: filepath.Join(dir, "docs", "schema"), schemas: map[string]*jsonschema.Schema{}}
}

// schema returns a compiled schema by name. A name that comes out of a message
// is checked first: it becomes part of a path.
func (s *Set) schema(name string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ready, ok := s.schemas[name]; ok {
		return ready, nil
	}
	// Some names have underscores; everything else is the rule of identifiers.
	if !charge.ValidID(strings.ReplaceAll(name, "_", "")) {
		return nil, fmt.Errorf("there is no schema %q", name)
	}
	raw, err := os.ReadFile(filepath.Join(s.dir, name+".json"))
	if err != nil {
		return nil, fmt.Errorf("there is no schema %s: %w", name, err)
	}
	ready, err := Compile(name, raw)
	if err == nil {
		s.schemas[name] = ready
	}
	return ready, err
}

// Compile compiles a schema, for Validate. name is for errors.
func Compile(name string, raw []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", name, err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		return nil, fmt.Errorf("schema %s: %w", name, err)
	}
	return c.Compile(name)
}

// Check returns what is wrong with a message on a topic of MQTT or Kafka; nil
// when it follows its schema. Topics have their default names. Dead letters have
// no schema.
func (s *Set) Check(topic string, raw []byte) error {
	_, err := s.CheckKind(topic, raw)
	return err
}

// CheckKind is Check, and returns the kind of the message, as in the name of its
// schema file; for a dead letter the topic.
func (s *Set) CheckKind(topic string, raw []byte) (string, error) {
	if topic == wire.TopicDeadLetters {
		return topic, nil
	}
	// The schema is chosen by the topic and by the type in the message.
	name, err := nameOf(topic, raw)
	if err != nil {
		return name, err
	}
	return name, s.CheckAs(name, raw)
}

// CheckAs is Check for a message of a known kind, as in the name of its schema
// file.
func (s *Set) CheckAs(name string, raw []byte) error {
	schema, err := s.schema(name)
	if err != nil {
		return err
	}
	return Validate(schema, raw)
}

// Validate returns what is wrong with a message by a schema.
func Validate(schema *jsonschema.Schema, raw []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// nameOf finds the kind of a message. On a topic with several kinds, which a
// header distinguishes, it uses the fields.
func nameOf(topic string, raw []byte) (string, error) {
	var m struct {
		Type      string           `json:"type"`
		EventType string           `json:"event_type"`
		ID        *json.RawMessage `json:"id"`
		Online    *json.RawMessage `json:"online"`
		Bridge    *json.RawMessage `json:"bridge"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", fmt.Errorf("on %s: %w", topic, err)
	}
	// is reports whether the topic is this Kafka topic, or an MQTT topic of one
	// of these kinds.
	is := func(kafka string, kinds ...wire.Kind) bool {
		for _, k := range kinds {
			if strings.HasSuffix(topic, "/"+string(k)) {
				return true
			}
		}
		return topic == kafka
	}
	switch {
	case is(wire.TopicEvents, wire.KindEvent):
		return "record_" + m.Type, nil
	case is(wire.TopicTelemetry, wire.KindTelemetry):
		return "telemetry", nil
	case is(wire.TopicMonitor, wire.KindPresence) && m.Online != nil:
		return "presence", nil
	// monitor-events carries three kinds, with different fields.
	case is(wire.TopicMonitor) && m.Bridge != nil:
		return "bridge_alive", nil
	case is(wire.TopicMonitor):
		return "central_alive", nil
	// On cp-commands, only commands have an id.
	case is(wire.TopicCommands, wire.KindCommand) && m.ID != nil:
		return "command_" + m.Type, nil
	case is(wire.TopicCommands, wire.KindAck):
		return "ack", nil
	case is(wire.TopicDriverEvents):
		return "driver_" + m.EventType, nil
	case is(wire.TopicCentralEvents):
		return "central_" + m.EventType, nil
	}
	return "", fmt.Errorf("topic %s carries no message of ours", topic)
}
