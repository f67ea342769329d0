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

// Message is one kind of message with an example of it.
type Message struct {
	Name    string // of its file, without .json
	Title   string
	Example []byte
	root    *node
}

// Decode reads a message of this kind as the parts of Carga do, its data too.
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

// Schema is the JSON Schema of the message, as a file.
func (m *Message) Schema() ([]byte, error) {
	raw, err := json.MarshalIndent(m.root, "", "  ")
	return append(raw, '\n'), err
}

// Messages makes the schemas of all messages. golden holds one example of each
// kind, as internal/wire/testdata does.
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
		case "ack_unknown", "presence_will", "bridge_alive_troubles": // further examples of the same kind
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

// others adds what drivers say and are told beside the examples: all of it has
// the fields of one type.
func others(all map[string]Message) error {
	add := func(like, kind, word string) error {
		if _, ok := all[kind+word]; ok {
			return nil
		}
		from, ok := all[kind+like]
		if !ok {
			return fmt.Errorf("no example %s%s", kind, like)
		}
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
	return m, m.askRequired()
}

// describe makes the schema of the message but for what must be there.
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
		return titled(reflect.TypeFor[wire.DriverRequest](), "driver's request "+word, "event_type", word, nil), nil
	case m.Name == "central_alive":
		return titled(reflect.TypeFor[wire.CentralAlive](), "Central lives", "", "", nil), nil
	case kind == "central":
		return titled(reflect.TypeFor[wire.CentralEvent](), "Central tells "+word, "event_type", word, nil), nil
	}
	links := map[string]struct {
		t     reflect.Type
		title string
	}{
		"ack":          {reflect.TypeFor[wire.Ack](), "acknowledgement"},
		"presence":     {reflect.TypeFor[wire.Presence](), "presence of a charging point, or its last will"},
		"telemetry":    {reflect.TypeFor[wire.Telemetry](), "latest values of a charging point"},
		"bridge_alive": {reflect.TypeFor[wire.BridgeAlive](), "the bridge lives"},
	}
	l, ok := links[m.Name]
	if !ok {
		return nil, fmt.Errorf("no such message: %q", m.Name)
	}
	return titled(l.t, l.title, "", "", nil), nil
}

// titled makes a message's schema; data, if any, is the type of its data.
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
