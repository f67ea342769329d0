package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/hal/sim/board"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/process"
)

// bench serves a simulated board on a socket and returns it with the configuration
// of an agent that uses it.
func bench(t *testing.T) (b *sim.Board, config, socket string) {
	t.Helper()
	b, err := sim.New(sim.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "site") //nolint:usetesting // t.TempDir's path can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	ln, err := board.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := board.Serve(ctx, ln, b, slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		serving.Wait()
		_ = b.Close()
		_ = os.RemoveAll(dir)
	})
	config = filepath.Join(dir, "agent.yaml")
	text := fmt.Sprintf("cp_id: CP_9\nhardware:\n  kind: board\n  board: {socket: %s}\n", socket)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return b, config, socket
}

// onSite runs one command with an answer to its question.
func onSite(ctx context.Context, name, answer string, args ...string) (code int, output string) {
	var out bytes.Buffer
	code = runSite(ctx, sites()[name], args, strings.NewReader(answer), &out, &out)
	return code, out.String()
}

func TestCommandsOnSite(t *testing.T) {
	none := func(*sim.Board) error { return nil }
	for name, tc := range map[string]struct {
		prepare func(*sim.Board) error
		command string
		answer  string
		args    []string
		code    int
		want    string
		closes  bool // a contactor closes meanwhile
	}{
		"doctor":                   {none, "doctor", "", []string{"--for", "200ms"}, process.ExitOK, "no vehicle", false},
		"doctor, something broken": {func(b *sim.Board) error { return b.Inject(1, charge.FaultPilot) }, "doctor", "", []string{"--for", "200ms"}, process.ExitFailed, "do: the cable", false},
		"hal-test":                 {none, "hal-test", "", nil, process.ExitOK, "0 are broken, 1 have no device, 7 were not checked (they switch outputs: --switch)", false},
		"hal-test, broken":         {func(b *sim.Board) error { return b.Break(1, sim.SensorLost) }, "hal-test", "", nil, process.ExitFailed, "do: check the wires and the address", false},
		"hal-test that switches":   {none, "hal-test", "yes\n", []string{"--switch"}, process.ExitOK, "ok          a missed kick opens", true},
		"doctor that switches":     {none, "doctor", "yes\n", []string{"--for", "200ms", "--switch"}, process.ExitOK, "7 rules hold", true},
		"another answer":           {none, "hal-test", "y\n", []string{"--switch"}, process.ExitFailed, "the answer was not yes", false},
		"no answer":                {none, "doctor", "", []string{"--switch"}, process.ExitFailed, "the answer was not yes", false},
		"a vehicle is there":       {func(b *sim.Board) error { return b.Plug(1) }, "doctor", "yes\n", []string{"--switch"}, process.ExitFailed, "nothing is switched: connector 1: pilot B: a vehicle is plugged in", false},
		"identify":                 {none, "identify", "", []string{"--for", "50ms"}, process.ExitOK, "The lights blink", false},
		"too long":                 {none, "identify", "", []string{"--for", "2h"}, process.ExitUsage, "--for from", false},
		"a flag of another":        {none, "identify", "", []string{"--switch"}, process.ExitUsage, "not defined", false},
		"an argument":              {none, "hal-test", "", []string{"now"}, process.ExitUsage, "no arguments", false},
		"help":                     {none, "hal-test", "", []string{"--help"}, process.ExitOK, "usage: agent hal-test", false},
		"a wrong file":             {none, "doctor", "", []string{"--config", "nowhere.yaml"}, process.ExitConfig, "no such file", false},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.closes { // these take some seconds
				t.Parallel()
			}
			b, config, _ := bench(t)
			if err := tc.prepare(b); err != nil {
				t.Fatal(err)
			}
			run := func() (int, string) {
				return onSite(t.Context(), tc.command, tc.answer, append([]string{"--config", config}, tc.args...)...)
			}
			code, out := run()
			// On a busy machine the board may really be silent for too long.
			for until := time.Now().Add(time.Minute); tc.code == process.ExitOK && code != tc.code && time.Now().Before(until); {
				code, out = run()
			}
			if code != tc.code || !strings.Contains(out, tc.want) {
				t.Errorf("code %d, want %d; %q is to be in:\n%s", code, tc.code, tc.want, out)
			}
			awaitLight(t, b, "off")
			s := b.Snapshot()
			if closed := len(s.Trace) > 0; closed != tc.closes || s.Connectors[0].Commanded {
				t.Errorf("a contactor closed: %v, want %v; snapshot %+v", closed, tc.closes, s)
			}
		})
	}
}

// TestIdentifyBlinks: the light is on while the command runs, and off after it was
// interrupted.
func TestIdentifyBlinks(t *testing.T) {
	b, config, _ := bench(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		code, _ := onSite(ctx, "identify", "", "--config", config, "--for", "1h")
		ended <- code
	}()
	awaitLight(t, b, "identify")
	cancel()
	if code := <-ended; code != process.ExitOK {
		t.Errorf("code %d", code)
	}
	awaitLight(t, b, "off")
}

// awaitLight waits for a light at connector 1: the board obeys a moment after the
// command ended.
func awaitLight(t *testing.T, b *sim.Board, want string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		got := b.Snapshot().Connectors[0].Light
		if got == want {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("light %s, want %s", got, want)
		}
	}
}

// TestARunningAgentKeepsItsHardware: the command states what to do.
func TestARunningAgentKeepsItsHardware(t *testing.T) {
	t.Parallel()
	_, config, socket := bench(t)
	c, err := board.Dial(t.Context(), board.Unix(socket))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	code, out := onSite(t.Context(), "doctor", "", "--config", config)
	if code != process.ExitFailed || !strings.Contains(out, "another agent controls the board") || !strings.Contains(out, "stop it first") {
		t.Errorf("code %d: %s", code, out)
	}
}
