package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/internal/recorder"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/process"
)

// recorded runs an agent with simulated hardware until its flight recorder has
// begun, and returns its data_dir.
func recorded(t *testing.T) string {
	t.Helper()
	cfg := app.DefaultConfig()
	cfg.DataDir, cfg.StopWithin, cfg.MQTT.URL = t.TempDir(), time.Millisecond, "tcp://127.0.0.1:1"
	ctx, end := context.WithCancel(t.Context())
	if err := app.Run(ctx, cfg, app.Deps{Recorder: func() (journal.FS, error) {
		end() // it stops in good order, and all that it did until then is recorded
		return journal.OS(filepath.Join(cfg.DataDir, recorder.Folder))
	}}); err != nil {
		t.Fatal(err)
	}
	return cfg.DataDir
}

// TestReplayCommand: the command reads a folder, a file and a copy, reports what it
// cannot read, and changes nothing.
func TestReplayCommand(t *testing.T) {
	dir := recorded(t)
	file := filepath.Join(dir, recorder.Folder, "000000000001.ring")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "copy.ring")
	if err := os.WriteFile(damaged, append([]byte("00000000 {}\n"), before...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args string
		code int
		out  string
		err  string
	}{
		{dir, process.ExitOK, "boot\n", ""},
		{dir, process.ExitOK, " 0 differences, 0 places", ""},
		{dir + "/recorder", process.ExitOK, "Shutdown", ""},
		{file, process.ExitOK, "→ Ended", ""},
		{"--all " + file, process.ExitOK, "→ SetTimer", ""},
		{"--json " + file, process.ExitOK, `"event":{"name":"Shutdown"`, ""},
		{"--from 2099-01-01T00:00:00Z " + file, process.ExitOK, "\n", ""},
		{"--to yesterday " + file, process.ExitUsage, "", "want a time like"},
		{damaged, process.ExitFailed, "line 1 cannot be used", ""},
		{filepath.Dir(damaged), process.ExitFailed, "", "no file of a flight recorder"},
		{dir + "/nothing", process.ExitFailed, "", "no such file"},
		{"", process.ExitUsage, "", "usage: agent replay"},
	} {
		var out, errs strings.Builder
		code := runReplay(strings.Fields(tc.args), &out, &errs)
		if code != tc.code || !strings.Contains(out.String(), tc.out) || !strings.Contains(errs.String(), tc.err) {
			t.Errorf("replay %s: %d\n%s\n%s", tc.args, code, out.String(), errs.String())
		}
		if strings.HasPrefix(tc.args, "--from") && strings.Contains(out.String(), "boot") {
			t.Errorf("--from: %s", out.String())
		}
		if strings.HasPrefix(tc.args, "--json") {
			for l := range strings.Lines(out.String()) {
				if !json.Valid([]byte(l)) {
					t.Errorf("not JSON: %s", l)
				}
			}
		}
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the file has changed: %v", err)
	}
}
