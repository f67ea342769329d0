package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/internal/recorder"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
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

// tripped writes a ring in which the emergency stop trips, and returns its data_dir.
func tripped(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cfg := point.Config{CP: "CP_001", Journal: "boot1", Agent: "v1"}
	found := point.Recovered{Saved: []connector.Saved{{Connector: 1}}, Outlets: make([]point.Outlet, 1)}
	rec := recorder.New(func() (journal.FS, error) { return journal.OS(filepath.Join(dir, recorder.Folder)) }, &cfg, slog.New(slog.DiscardHandler))
	_, effects := point.Boot(cfg, point.Now{}, found)
	rec.Boot(cfg, point.Now{}, found, effects)

	trip := safety.Trip{Connector: 1, LeftOut: 3, Limits: safety.DefaultLimits()}
	good := safety.Input{OK: true, Age: 4 * time.Millisecond}
	in := safety.Inputs{Pilot: charge.PilotB, PilotIn: good, EStopIn: good, ContactIn: good, TrippedIn: safety.Input{NotFitted: true}}
	var s safety.State
	for _, change := range []func(){func() {}, func() { in.PilotIn.Age = 7 * time.Millisecond }, func() { in.ContactIn.OK = false }, func() { in.Pressed, in.ContactIn.OK = true, true }} {
		in.Now, in.Gap = in.Now+10*time.Millisecond, 10*time.Millisecond
		change()
		k := safety.Tick{In: in}
		s, k.Verdict = safety.Step(trip.Limits, s, in)
		trip.Ticks = append(trip.Ticks, k)
	}
	rec.Trip(1_790_000_000_000, trip)
	ctx, end := context.WithCancel(t.Context())
	end() // what is queued is written
	rec.Run(ctx)
	return dir
}

// TestReplayShowsATrip: why the rules tripped, the values of the first and the last tick,
// and between them what changed.
func TestReplayShowsATrip(t *testing.T) {
	dir := tripped(t)
	const first = " (4ms), contactor_feedback open (4ms), emergency_stop released (4ms), not permitted, commanded open, → open settling\n"
	for args, want := range map[string]string{
		dir: "+0.040s  Trip of connector 1: emergency_stop settling\n" +
			"              3 trips before it are not recorded\n" +
			"      -0.030s pilot B" + first +
			"      -0.010s contactor_feedback unreadable, → open safety_input contactor_feedback\n" +
			"       0.000s pilot B (7ms), contactor_feedback open (4ms), emergency_stop pressed (4ms), not permitted, commanded open, → open emergency_stop settling\n" +
			"\n0 steps, 1 trips, 0 differences, 0 places",
		"--all " + dir:                       "      -0.020s pilot B (7ms), contactor_feedback open (4ms)",
		"--from 2026-09-21T00:00:00Z " + dir: "Trip of connector 1",
		"--to 2026-09-21T00:00:00Z " + dir:   " 1 trips, 0 differences", // and no line of it
		"--json " + dir:                      `"Pressed":true`,
	} {
		var out, errs strings.Builder
		code := runReplay(strings.Fields(args), &out, &errs)
		if code != process.ExitOK || !strings.Contains(out.String(), want) || strings.HasPrefix(args, "--to") && strings.Contains(out.String(), "Trip") {
			t.Errorf("replay %s: %d, want %q\n%s\n%s", args, code, want, out.String(), errs.String())
		}
	}
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
