// Package schematest checks messages against the schemas in docs/schema, for
// tests that see messages go by.
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

// Set holds all schemas. It is safe for concurrent use.
type Set struct {
	dir string

	mu sync.Mutex
	// mu guards what follows.
	schemas map[string]*jsonschema.Schema // those that were needed
}

// Load finds docs/schema of the repository that the test runs in. Each schema
// is read when it is needed first.
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

func (s *Set) schema(name string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ready, ok := s.schemas[name]; ok {
		return ready, nil
	}
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

// Compile makes a schema ready to check with.
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

// Check says what is wrong with a message that was seen on a topic, of MQTT or
// of Kafka; nil when it follows its schema. Topics are told by their usual
// names. Dead letters follow none.
func (s *Set) Check(topic string, raw []byte) error {
	_, err := s.CheckKind(topic, raw)
	return err
}

// CheckKind is Check, and says what kind of message it is, as the file of its
// schema is called; of a dead letter it is the topic.
func (s *Set) CheckKind(topic string, raw []byte) (string, error) {
	if topic == wire.TopicDeadLetters {
		return topic, nil
	}
	name, err := nameOf(topic, raw)
	if err != nil {
		return name, err
	}
	return name, s.CheckAs(name, raw)
}

// CheckAs is Check for a message of a known kind, as its file is called.
func (s *Set) CheckAs(name string, raw []byte) error {
	schema, err := s.schema(name)
	if err != nil {
		return err
	}
	return Validate(schema, raw)
}

// Validate says what is wrong with a message by a schema.
func Validate(schema *jsonschema.Schema, raw []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// nameOf finds out what kind of message it is. Where a topic carries several
// kinds, which a header tells apart, it goes by the fields.
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
	case is(wire.TopicMonitor) && m.Bridge != nil:
		return "bridge_alive", nil
	case is(wire.TopicMonitor):
		return "central_alive", nil
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
