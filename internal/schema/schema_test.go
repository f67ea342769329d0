package schema_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/schema"
	"github.com/carga-ev/carga/internal/schema/schematest"
	"github.com/carga-ev/carga/internal/wire"
)

const goldens = "../wire/testdata"

func messages(t *testing.T) []schema.Message {
	t.Helper()
	all, err := schema.Messages(os.DirFS(goldens))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The files are what the types give: go generate ./internal/schema.
func TestTheFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	all := messages(t)
	for i := range all {
		want, err := all[i].Schema()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("../../docs/schema", all[i].Name+".json"))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is out of date (%v): run go generate ./internal/schema", all[i].Name, err)
		}
	}
	files, err := filepath.Glob("../../docs/schema/*.json")
	if err != nil || len(files) != len(all) {
		t.Errorf("%d files of %d messages (%v)", len(files), len(all), err)
	}
}

// Every golden message follows its schema, on the topic where it is published.
func TestGoldensFollowTheirSchema(t *testing.T) {
	t.Parallel()
	set := schematest.Load(t)
	files, err := filepath.Glob(goldens + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "_")
		topics := map[string][]string{
			"record":    {wire.TopicEvents, "cp/CP_001/up/event"},
			"command":   {wire.TopicCommands, "cp/CP_001/down/command"},
			"ack":       {wire.TopicCommands, "cp/CP_001/down/ack"},
			"presence":  {wire.TopicMonitor, "cp/CP_001/up/presence"},
			"telemetry": {wire.TopicTelemetry, "cp/CP_001/up/telemetry"},
			"bridge":    {wire.TopicMonitor},
			"driver":    {wire.TopicDriverEvents},
			"central":   {wire.TopicCentralEvents},
		}[kind]
		if filepath.Base(file) == "central_alive.json" {
			topics = []string{wire.TopicMonitor}
		}
		if len(topics) == 0 {
			t.Errorf("%s: has no topic in this test", file)
		}
		for _, topic := range topics {
			if err := set.Check(topic, raw); err != nil {
				t.Errorf("%s on %s: %v", file, topic, err)
			}
		}
	}
}

func TestWhatIsWrongIsSeen(t *testing.T) {
	t.Parallel()
	set := schematest.Load(t)
	for name, tc := range map[string]struct{ topic, raw string }{
		"an unknown record": {wire.TopicEvents, `{"type":"dreamt"}`},
		"a cut record":      {wire.TopicEvents, `{"type":"plugged_in"`},
		"a bare record":     {wire.TopicEvents, `{"type":"plugged_in"}`},
		"a negative ack":    {"cp/CP_1/down/ack", `{"v":1,"central":"c","journal":null,"seq":-1,"at":"2026-11-22T10:00:00.000Z"}`},
		"another topic":     {"news", `{}`},
		"a far day":         {wire.TopicMonitor, `{"v":1,"central":"c","at":"2026-11-32T10:00:00.000Z"}`},
	} {
		if err := set.Check(tc.topic, []byte(tc.raw)); err == nil {
			t.Errorf("%s passed", name)
		}
	}
	if err := set.Check(wire.TopicDeadLetters, []byte("raw bytes")); err != nil {
		t.Errorf("a dead letter: %v", err)
	}
}

// stricter are values that the decoder accepts and a schema does not: our
// programs never write them.
func stricter(name, path string) bool {
	switch {
	case strings.HasPrefix(name, "central_") && name != "central_alive":
		return true // a schema for drivers' programs; Central does not decode it
	case strings.HasSuffix(path, ".first=-1"), strings.HasSuffix(path, ".last=-1"):
		return name == "record_cp_registered"
	}
	// The valid data of an accepted command depends on its type.
	return name == "record_command_accepted" && strings.HasPrefix(path, "data.command.data=")
}

// looser are values that a schema accepts and the decoder does not, because it
// compares two fields, or knows the calendar.
func looser(name, path string) bool {
	switch {
	case name == "record_charging_stopped":
		return path == "data.register_wh=0" || path == "data.register_start_wh=10000000000000"
	case strings.HasPrefix(name, "command_"), name == "record_command_accepted":
		return strings.HasSuffix(path, "expires_at=2026-02-28T00:00:00Z") || strings.HasSuffix(path, "sent_at=2026-02-28T00:00:00Z")
	case name == "ack":
		return path == "journal"
	}
	return false
}

// known are envelopes that are the same in every record and command: one test of
// them is enough.
func known(name, path string) bool {
	switch kind, _, _ := strings.Cut(name, "_"); kind {
	case "record", "command":
		return name != "record_meter_read" && name != "command_START" && !strings.HasPrefix(path, "data") || strings.HasPrefix(path, "data.command.")
	}
	return strings.HasPrefix(name, "central_") && name != "central_CHARGING_TICKET" && name != "central_alive"
}

// At each limit of each field a schema and the decoder agree: fields omitted, of
// another type, just within and just beyond their range.
func TestSchemaAndDecoderAgree(t *testing.T) {
	t.Parallel()
	all := messages(t)
	compared := 0
	for i := range all {
		m := &all[i]
		raw, err := m.Schema()
		if err != nil {
			t.Fatal(err)
		}
		s, err := schematest.Compile(m.Name, raw)
		if err != nil {
			t.Fatal(err)
		}
		limits, err := m.Limits()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range limits {
			if known(m.Name, v.Path) {
				continue
			}
			compared++
			decoded, valid := m.Decode(v.Raw), schematest.Validate(s, v.Raw)
			if (decoded == nil) == (valid == nil) || decoded == nil && stricter(m.Name, v.Path) || valid == nil && looser(m.Name, v.Path) {
				continue
			}
			t.Errorf("%s, %s: decoder %v, schema %v\n%s", m.Name, v.Path, decoded, valid, v.Raw)
		}
	}
	if compared < 700 {
		t.Errorf("only %d variants were compared", compared)
	}
}
