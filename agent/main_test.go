package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/process"
)

func TestCommandLine(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("cp_id: CP/1\nhardware: {kind: toaster}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close() })
	for _, c := range []struct {
		args string
		code int
		want string // in either output
	}{
		{"--version", process.ExitOK, "agent "},
		{"--help", process.ExitOK, "check-config"},
		{"--nonsense", process.ExitUsage, "usage: agent"},
		{"leftover", process.ExitUsage, "usage: agent"},
		{"--check-config --config ../configs/agent.yaml", process.ExitOK, "topic_prefix"},
		{"--check-config --config " + bad, process.ExitConfig, "hardware.kind"},
		{"--config " + bad + "x", process.ExitConfig, "no such file"},
	} {
		var out bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), stdin, &out, &out)
		if code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("agent %s: got %d and %q, want %d and %q", c.args, code, out.String(), c.code, c.want)
		}
	}
}
