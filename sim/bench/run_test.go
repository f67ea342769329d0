package bench_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carga-ev/carga/sim/bench"
)

// tiny is a configuration that runs each measurement for fractions of a second.
func tiny(t *testing.T) bench.Config {
	t.Helper()
	cfg := bench.DefaultConfig()
	cfg.For, cfg.Points, cfg.Rate, cfg.Publishers = 2*time.Second, 4, 100, 3
	cfg.Dir, cfg.Journals = t.TempDir(), t.TempDir()
	// Any program that keeps running has a memory, any file a size.
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	cfg.Agent, cfg.AgentARM6, cfg.Sim = program, program, program
	return cfg
}

// TestTinyRun runs each measurement briefly: it returns its rows and leaves
// nothing behind. The figures are not checked.
func TestTinyRun(t *testing.T) {
	for name, rows := range map[string][]string{
		"bridge":     {"bridge"},
		"central":    {"central"},
		"latency":    {"latency-p50", "latency-p99"},
		"request":    {"request-start-p50", "request-start-p99", "request-whole-p50", "request-whole-p99"},
		"agent":      {"agent-size", "agent-memory", "fleet-memory"},
		"kafka-back": {"kafka-back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			measure(t, tiny(t), name, rows)
		})
	}
}

func measure(t *testing.T, cfg bench.Config, name string, rows []string) {
	t.Helper()
	cfg.Only = []string{name}
	reported := 0
	report, err := bench.Run(t.Context(), cfg, func(bench.Row) { reported++ })
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != len(rows) || reported != len(rows) {
		t.Fatalf("%d rows, %d reported; want %v", len(report.Rows), reported, rows)
	}
	for i, row := range report.Rows {
		if row.Name != rows[i] || row.Verdict == bench.NotMeasured || row.Figure <= 0 || row.Unit == "" {
			t.Errorf("row %d is %+v, want %s with a figure", i, row, rows[i])
		}
	}
	for _, dir := range []string{cfg.Dir, cfg.Journals} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left in %s: %v, %v", dir, left, err)
		}
	}
}

// TestMissingProgramsAreReported: without the binaries there are rows without a
// figure, without the engines there is one, and no error.
func TestMissingProgramsAreReported(t *testing.T) {
	cfg := tiny(t)
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	cfg.Agent, cfg.AgentARM6, cfg.Sim, cfg.NoEngines = nowhere, nowhere, nowhere, "no engines"
	cfg.Only = []string{"agent", "bridge-real", "latency-real", "request-real"}
	report, err := bench.Run(t.Context(), cfg, func(bench.Row) {})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != 4 {
		t.Fatalf("%d rows", len(report.Rows))
	}
	for _, row := range report.Rows {
		if row.Verdict != bench.NotMeasured || row.Note == "" {
			t.Errorf("%+v", row)
		}
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
