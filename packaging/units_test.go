package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/need"
)

// exposure is the highest level that systemd-analyze may give to a unit, times ten,
// of 100. The agent needs devices.
var exposure = map[string]string{"carga-agent": "20", "carga-bridge": "13", "carga-central": "13"}

// units copies the units to a folder where their programs exist.
func units(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	dir := t.TempDir()
	program := regexp.MustCompile(`/usr/bin/carga-\w+`)
	for name := range exposure {
		text, err := os.ReadFile("systemd/" + name + ".service")
		if err != nil {
			t.Fatal(err)
		}
		out[name] = filepath.Join(dir, name+".service")
		if err := os.WriteFile(out[name], program.ReplaceAll(text, []byte("/bin/true")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestUnitsAreHardened(t *testing.T) {
	analyze := need.Program(t, "systemd-analyze", "apt-get install systemd")
	for name, file := range units(t) {
		out, err := exec.CommandContext(t.Context(), analyze, "security", "--no-pager", "--offline=true", "--threshold="+exposure[name], file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestUnitsAreCorrect(t *testing.T) {
	analyze := need.Program(t, "systemd-analyze", "apt-get install systemd")
	for name, file := range units(t) {
		out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", "--recursive-errors=no", file).CombinedOutput()
		// A wrong key is only a warning of it.
		if err != nil || strings.Contains(string(out), filepath.Base(file)) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// systemd knows when each program works, and restarts one that hangs.
func TestUnitsAreWatched(t *testing.T) {
	for name := range exposure {
		text, err := os.ReadFile("systemd/" + name + ".service")
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		watched := slices.ContainsFunc(lines, func(s string) bool { return strings.HasPrefix(s, "WatchdogSec=") })
		if !watched || !slices.Contains(lines, "Type=notify") || !slices.Contains(lines, "Restart=always") || !strings.Contains(string(text), "AF_UNIX") {
			t.Errorf("%s: want Type=notify, WatchdogSec=, Restart=always, and AF_UNIX for the notifications", name)
		}
	}
}

// Whatever ends the agent, its contactors are opened and it starts again.
func TestUnitOfTheAgentFailsSafe(t *testing.T) {
	text, err := os.ReadFile("systemd/carga-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for _, want := range []string{
		"Type=notify", "WatchdogSec=5", "Restart=always", "StartLimitIntervalSec=0",
		"ExecStopPost=/usr/bin/carga-agent safe-state --config /etc/carga/agent.yaml",
		"DevicePolicy=closed", "StateDirectory=carga-agent", "OOMScoreAdjust=-900",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("there is no line %s", want)
		}
	}
}
