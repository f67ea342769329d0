package orders_test

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden scripts in testdata with what orders does now")

// run executes one line of a script.
func run(t *testing.T, w *world, line string) {
	t.Helper()
	f := append(strings.Fields(line), "", "", "", "")
	cp := charge.CPID(f[1])
	switch f[0] {
	case "asks": // message user [cp]
		w.asks(f[1], charge.Username(f[2]), charge.CPID(f[3]))
	case "starts": // message user cp
		w.request(f[1], wire.DriverStarted, charge.Username(f[2]), charge.CPID(f[3]), w.now)
	case "stops":
		w.request(f[1], wire.DriverStop, charge.Username(f[2]), charge.CPID(f[3]), w.now)
	case "yesterday": // message user
		w.request(f[1], wire.DriverAuthorization, charge.Username(f[2]), "", w.now-86_400_000)
	case "plug":
		w.agents[cp].plug(1, w.now)
		w.sync()
	case "unplug":
		w.agents[cp].cp.Now = w.now
		w.agents[cp].cp.Unplug(1)
		w.sync()
	case "flow":
		wh, _ := strconv.Atoi(f[2])
		w.outlet(cp, 1).Register += charge.WattHours(wh)
	case "fault":
		w.agents[cp].cp.Now = w.now
		w.agents[cp].fault(1, charge.FaultOvertemperature)
		w.sync()
	case "repair":
		w.agents[cp].cp.Clear(1)
		w.sync()
	case "boot":
		w.reboot(cp)
	case "cut":
		w.noCommands[cp], w.noRecords[cp], w.live[cp] = true, true, ledger.Offline
	case "silent": // it is online, and does not respond
		w.noCommands[cp], w.noRecords[cp] = true, true
	case "heal":
		w.noCommands[cp], w.noRecords[cp] = false, false
		w.back(cp)
	case "available": // cp|all true|false
		if cp == "all" {
			cp = ""
		}
		w.operator(orders.OperatorAvailability{Target: orders.Target{CPID: cp}, Available: f[2] == "true"})
	case "pass": // seconds
		s, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		w.pass(charge.Time(s * 1000))
	default:
		t.Fatalf("unknown line %q", line)
	}
}

// TestScripts compares the scripts in testdata with what orders does now. A
// difference is a change of behaviour: read it before you run with -rewrite.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			w := newWorld(t, 2, 1, orders.Config{})
			w.pass(10_000) // the start of Central is over
			w.log = func(s string) { out.WriteString("  " + s + "\n") }
			for line := range strings.Lines(string(raw)) {
				switch {
				case strings.HasPrefix(line, "> "):
					out.WriteString(line)
					run(t, w, strings.TrimSpace(line[2:]))
				case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
					out.WriteString(line)
				}
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if out.String() != string(raw) {
				t.Errorf("got\n%s\nwant\n%s", out.String(), raw)
			}
		})
	}
}
