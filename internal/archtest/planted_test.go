package archtest_test

import (
	"strings"
	"testing"
)

// Each rule is shown to fire on a planted violation, and to be silent on what
// is allowed.

func at(dir string, imports ...string) pkg {
	return pkg{ImportPath: module + "/" + dir, Imports: imports}
}

func wantBroken(t *testing.T, broken []string, words string) {
	t.Helper()
	all := strings.Join(broken, "\n")
	switch {
	case words == "" && all != "":
		t.Errorf("got %q, want silence", all)
	case words != "" && !strings.Contains(all, words):
		t.Errorf("got %q, want words with %q", all, words)
	}
}

func TestPlantedImports(t *testing.T) {
	for _, c := range []struct {
		dir, imports, words string
	}{
		{"hal/rpi", "periph.io/x/conn/v3/gpio", ""},
		{"agent/app", "periph.io/x/conn/v3/gpio", "only hal/rpi"},
		{"agent/app", module + "/hal/sim", ""},
		{"agent/app", module + "/sim/world", "hal/sim"},
		{"agent/journal", module + "/central/ledger", "parts meet only"},
		{"agent/internal/uplink", "github.com/eclipse/paho.mqtt.golang", ""},
		{"agent/internal/panel", "github.com/eclipse/paho.mqtt.golang", "MQTT belongs"},
		{"agent/internal/panel", module + "/agent/internal/uplink", "agent/app passes the neighbour in"},
		{"agent/app", module + "/agent/internal/uplink", ""},
		{"bridge/internal/mqttside", module + "/bridge/internal/kafkaside", "bridge/app passes the neighbour in"},
		{"bridge/app", module + "/hal", "knows no hardware"},
		{"central/internal/web", module + "/central/internal/web/ui", ""},
		{"central/internal/web", "database/sql", "SQL belongs"},
		{"central/internal/store", "github.com/mattn/go-sqlite3", ""},
		{"central/app", "github.com/segmentio/kafka-go", "Kafka belongs"},
		{"central/app", module + "/internal/mqttlink", "MQTT ends at the bridge"},
		{"central/app", "go.yaml.in/yaml/v3", "one strict loader"},
		{"internal/mqttlink", module + "/agent/delivery", "know no part"},
		{"internal/mqttlink", "github.com/mochi-mqtt/server/v2", "embedded engines"},
		{"sim/demo", "github.com/mochi-mqtt/server/v2", ""},
		{"sim/world", "os", "steps pure cores"},
		{"sim/screen", "charm.land/bubbletea/v2", ""},
		{"agent/internal/panel", "charm.land/bubbletea/v2", "in sim/screen"},
		{"sim/demo", "github.com/charmbracelet/x/ansi", "in sim/screen"},
		{"hal/rpi", module + "/internal/wire", "no messages"},
		{"sim/demo", module + "/internal/need", "only tests"},
	} {
		t.Run(c.dir+" imports "+c.imports, func(t *testing.T) {
			wantBroken(t, breaksBorders(at(c.dir, c.imports)), c.words)
		})
	}
}

func TestPlantedImportsOfLeaves(t *testing.T) {
	for _, c := range []struct {
		dir, imports, words string
	}{
		{"internal/charge", "log/slog", ""},
		{"internal/charge", "log", "the shell logs"},
		{"internal/charge", module + "/internal/wire", "of ours it knows only []"},
		{"agent/connector", module + "/internal/wire", ""},
		{"agent/connector", "log/slog", "the shell logs"},
		{"agent/safety", "sync/atomic", "one caller"},
		{"agent/delivery", "math/rand/v2", "come in with the event"},
		{"bridge/route", "os", "no I/O"},
		{"bridge/forward", module + "/bridge/route", ""},
		{"bridge/lease", module + "/bridge/forward", "of ours it knows only"},
		{"bridge/forward", "sync", "a pure package has one caller"},
		{"central/ledger", module + "/central/orders", "of ours it knows only"},
		{"central/orders", module + "/central/ledger", ""},
		{"hal", "github.com/x/y", "standard library and ours alone"},
		{"hal/sim/board", module + "/hal/sim", ""},
		{"hal/sim", module + "/internal/wire", "of ours it knows only"},
	} {
		t.Run(c.dir+" imports "+c.imports, func(t *testing.T) {
			met := false
			for _, l := range leaves() {
				if covers(l.dir, c.dir) {
					met = true
					wantBroken(t, breaksLeaf(l, at(c.dir, c.imports), isStandard), c.words)
				}
			}
			if !met {
				t.Errorf("got no rule for %s", c.dir)
			}
		})
	}
}

func TestPlantedLinks(t *testing.T) {
	other := func(name, mod string, imports ...string) pkg {
		return pkg{ImportPath: name, Imports: imports, Module: &struct{ Path string }{mod}}
	}
	closure := map[string]pkg{}
	for _, p := range []pkg{
		at("agent", module+"/agent/app"),
		at("agent/app", "one.org/a", "two.org/b/c", "net"),
		other("one.org/a", "one.org/a", "html/template"),
		other("two.org/b/c", "two.org/b", "three.org/d"),
		other("three.org/d", "three.org/d"),
		{ImportPath: "net", Standard: true, Imports: []string{"runtime/cgo"}},
		{ImportPath: "html/template", Standard: true, Imports: []string{"text/template"}},
		{ImportPath: "text/template", Standard: true},
		{ImportPath: "runtime/cgo", Standard: true},
	} {
		closure[p.ImportPath] = p
	}
	agent := programs()[0]
	broken := breaksProgram(agent, closure)
	wantBroken(t, broken, "agent links html/template: no templates in the agent; its panel is static files and JSON; by way of agent → agent/app → one.org/a → html/template")
	if len(broken) != 1 {
		t.Errorf("got %q, want one line: what the standard library does is its own", broken)
	}
	agent.modules = 1
	wantBroken(t, breaksProgram(agent, closure), "agent uses 2 modules directly, its budget is 1: one.org/a two.org/b")
	agent.modules, agent.bans = 2, nil
	wantBroken(t, breaksProgram(agent, closure), "")
}

func TestPlantedNamesAndSleeps(t *testing.T) {
	wantBroken(t, breaksNaming(at("internal/utils")), "names no subject")
	wantBroken(t, breaksNaming(at("agent/common/x")), "names no subject")
	wantBroken(t, breaksNaming(at("agent/journal")), "")
	for _, c := range []struct {
		src, words string
		fake       bool
	}{
		{"package x\nimport \"time\"\nfunc f() { time.Sleep(1) }", "x_test.go:3:12: time.Sleep", false},
		{"package x\nimport (\"time\"; \"testing/synctest\")\nfunc f() { g(time.Sleep) }", "x_test.go:3:14: time.Sleep", true},
		{"package x\nimport \"time\"\nfunc f() { time.Now() }", "", false},
		{"package x\nimport \"time\"\nfunc f(c clock) { c.Sleep(1); _ = time.Now }", "", false},
	} {
		places, fake, err := sleeps("x_test.go", c.src)
		if err != nil || fake != c.fake {
			t.Errorf("%s: got a bubble %v, error %v, want %v", c.src, fake, err, c.fake)
		}
		wantBroken(t, places, c.words)
	}
}
