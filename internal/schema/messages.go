package schema

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/carga-ev/carga/internal/wire"
)

// Message is one kind of message, with an example and the schema that was made
// for it.
type Message struct {
	Name    string // of its file, without .json
	Title   string
	Example []byte
	root    *node // the schema
}

// Decode decodes a message of this kind, including its data, as Carga's programs
// do. It is the reference for the schema: a message that follows the schema is
// accepted by Decode, and the other way round, apart from the exceptions that
// the tests list.
func (m *Message) Decode(raw []byte) error {
	switch kind, _, _ := strings.Cut(m.Name, "_"); {
	case kind == "record":
		r, err := wire.DecodeRecord(raw)
		if err == nil {
			_, err = r.Payload()
		}
		return err
	case kind == "command":
		c, err := wire.DecodeCommand(raw)
		if err == nil {
			_, err = c.Order()
		}
		return err
	case kind == "driver":
		_, err := wire.DecodeDriverRequest(raw)
		return err
	case m.Name == "central_alive":
		_, err := wire.DecodeCentralAlive(raw)
		return err
	case kind == "central":
		_, err := wire.DecodeCentralEvent(raw)
		return err
	}
	return m.decodeLink(raw)
}

func (m *Message) decodeLink(raw []byte) error {
	var err error
	switch m.Name {
	case "ack":
		_, err = wire.DecodeAck(raw)
	case "presence":
		_, err = wire.DecodePresence(raw)
	case "telemetry":
		_, err = wire.DecodeTelemetry(raw)
	case "bridge_alive":
		_, err = wire.DecodeBridgeAlive(raw)
	default:
		err = fmt.Errorf("no such message: %q", m.Name)
	}
	return err
}

// Schema returns the JSON Schema of the message, as the content of its file.
func (m *Message) Schema() ([]byte, error) {
	raw, err := json.MarshalIndent(m.root, "", "  ")
	return append(raw, '\n'), err
}

// Messages returns all messages with their schemas, sorted by name. golden has
// one example of each kind, as internal/wire/testdata does; the name of a
// message is that of its file.
func Messages(golden fs.FS) ([]Message, error) {
	names, err := fs.Glob(golden, "*.json")
	if err != nil {
		return nil, err
	}
	all := map[string]Message{}
	for _, file := range names {
		raw, err := fs.ReadFile(golden, file)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(path.Base(file), ".json")
		switch name {
		// Further examples of the same kind.
		case "ack_unknown", "presence_will", "bridge_alive_troubles", "bridge_alive_lease":
			continue
		}
		if all[name], err = newMessage(name, raw); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	if err := others(all); err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(all), func(a, b Message) int { return strings.Compare(a.Name, b.Name) }), nil
}

// others adds the kinds of the drivers' protocol that have no example of their
// own. All requests have the fields of one type, and so have all messages of
// Central, so that another kind's example with another event_type is a valid
// example.
func others(all map[string]Message) error {
	add := func(like, kind, word string) error {
		if _, ok := all[kind+word]; ok {
			return nil
		}
		from, ok := all[kind+like]
		if !ok {
			return fmt.Errorf("no example %s%s", kind, like)
		}
		// The first occurrence is the event_type itself.
		raw := strings.Replace(string(from.Example), `"`+like+`"`, `"`+word+`"`, 1)
		m, err := newMessage(kind+word, []byte(raw))
		all[kind+word] = m
		return err
	}
	for _, t := range []wire.DriverEventType{wire.DriverStarted, wire.DriverSimulateError, wire.DriverFixError} {
		if err := add(string(wire.DriverStop), "driver_", string(t)); err != nil {
			return err
		}
	}
	for _, t := range []wire.CentralEventType{
		wire.CentralStopResponse, wire.CentralChargingStarted, wire.CentralProgress, wire.CentralSuspended, wire.CentralResumed,
		wire.CentralReservationEnded, wire.CentralFault, wire.CentralFaultCleared, wire.CentralStatus, wire.CentralNotice,
	} {
		if err := add(string(wire.CentralTicket), "central_", string(t)); err != nil {
			return err
		}
	}
	return nil
}

// newMessage returns a message with its schema.
func newMessage(name string, example []byte) (Message, error) {
	m := Message{Name: name, Example: example}
	if err := m.Decode(example); err != nil {
		return m, err
	}
	root, err := m.describe()
	if err != nil {
		return m, err
	}
	m.root, m.Title = root, root.Title
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.ID = "urn:carga:message:" + name
	return m, m.findRequired()
}

// describe returns the schema of the message without its required fields, which
// findRequired adds. The name of the message determines its Go type.
func (m *Message) describe() (*node, error) {
	switch kind, word, _ := strings.Cut(m.Name, "_"); {
	case kind == "record":
		r, err := wire.DecodeRecord(m.Example)
		if err != nil {
			return nil, err
		}
		p, err := r.Payload()
		if err != nil {
			return nil, err
		}
		return titled(reflect.TypeFor[wire.Record](), "journal record "+word, "type", word, reflect.TypeOf(p)), nil
	case kind == "command":
		c, err := wire.DecodeCommand(m.Example)
		if err != nil {
			return nil, err
		}
		o, err := c.Order()
		if err != nil {
			return nil, err
		}
		return titled(reflect.TypeFor[wire.Command](), "command "+word, "type", word, reflect.TypeOf(o)), nil
	case kind == "driver":
		n := titled(reflect.TypeFor[wire.DriverRequest](), "driver's request "+word, "event_type", word, nil)
		if word != string(wire.DriverStarted) { // the decoder refuses them elsewhere
			delete(n.Properties, "limit_kwh")
			delete(n.Properties, "limit_cost")
		}
		return n, nil
	case m.Name == "central_alive":
		return titled(reflect.TypeFor[wire.CentralAlive](), "heartbeat of a Central", "", "", nil), nil
	case kind == "central":
		return titled(reflect.TypeFor[wire.CentralEvent](), "message of Central "+word, "event_type", word, nil), nil
	}
	// The messages without a type in their name.
	links := map[string]struct {
		t     reflect.Type
		title string
	}{
		"ack":          {reflect.TypeFor[wire.Ack](), "acknowledgement"},
		"presence":     {reflect.TypeFor[wire.Presence](), "presence of a charging point, or its last will"},
		"telemetry":    {reflect.TypeFor[wire.Telemetry](), "latest values of a charging point"},
		"bridge_alive": {reflect.TypeFor[wire.BridgeAlive](), "heartbeat of a bridge"},
	}
	l, ok := links[m.Name]
	if !ok {
		return nil, fmt.Errorf("no such message: %q", m.Name)
	}
	return titled(l.t, l.title, "", "", nil), nil
}

// titled returns the schema of a message type. The property key has the constant
// value word, if there is a key; data, if any, is the type of the message's
// data.
func titled(t reflect.Type, title, key, word string, data reflect.Type) *node {
	n := object(t)
	n.Title = title
	if key != "" {
		n.Properties[key] = &node{Const: word}
	}
	if data != nil {
		n.Properties["data"] = of(data.Elem())
		if word == string(wire.TypeCommandAccepted) {
			n.Properties["data"].Properties["command"] = object(reflect.TypeFor[wire.Command]())
		}
	}
	return n
}
