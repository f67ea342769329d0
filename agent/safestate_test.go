package main

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/hal/sim/board"
	"github.com/carga-ev/carga/internal/process"
)

// TestSafeState: a contactor that a killed agent left commanded is opened, and what
// cannot be opened is an error.
func TestSafeState(t *testing.T) {
	cfg := sim.DefaultConfig()
	cfg.Keeper = 0 // nothing else opens it
	b, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Connector(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Contactor().Set(true); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "b")
	ln, err := board.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { _ = board.Serve(ctx, ln, b, slog.New(slog.DiscardHandler)) })
	t.Setenv("CARGA_AGENT_HARDWARE__KIND", "board")
	t.Setenv("CARGA_AGENT_HARDWARE__BOARD__SOCKET", socket)
	run := func(want int, args ...string) string {
		var out bytes.Buffer
		if code := runSafeState(t.Context(), args, &out); code != want {
			t.Errorf("agent safe-state %v: got %d and %q, want %d", args, code, out.String(), want)
		}
		return out.String()
	}
	run(process.ExitOK)
	if b.Snapshot().Connectors[0].Commanded {
		t.Error("the contactor is still commanded to close")
	}
	stop()
	serving.Wait()
	t.Setenv("CARGA_AGENT_HARDWARE__KIND", "rpi")
	run(process.ExitConfig)
	t.Setenv("CARGA_AGENT_HARDWARE__KIND", "sim")
	run(process.ExitOK)
	if help := run(process.ExitOK, "--help"); !strings.Contains(help, "ExecStopPost") {
		t.Errorf("help: %q", help)
	}
	run(process.ExitUsage, "leftover")
	run(process.ExitUsage, "--nonsense")
}

// TestSafeStateWithoutHardware: what cannot be opened is reported.
func TestSafeStateWithoutHardware(t *testing.T) {
	t.Setenv("CARGA_AGENT_HARDWARE__KIND", "board")
	t.Setenv("CARGA_AGENT_HARDWARE__BOARD__SOCKET", filepath.Join(t.TempDir(), "nothing"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if code := runSafeState(ctx, nil, &out); code != process.ExitFailed || !strings.Contains(out.String(), "the contactors may be closed") {
		t.Errorf("got %d and %q", code, out.String())
	}
}
