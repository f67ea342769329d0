package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carga-ev/carga/hal/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// execute runs one command line and returns its exit code and its output.
func execute(ctx context.Context, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(ctx, args, streams{strings.NewReader(""), &o, &e})
	return code, o.String(), e.String()
}

// TestExitCodes: each kind of failure has its exit code and a message.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("CP_1\nCP 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		word string // in the output
	}{
		{[]string{"--version"}, exitOK, "sim version"},
		{[]string{"--help"}, exitOK, "driver"},
		{[]string{"fly"}, exitUsage, "fly"},
		{[]string{"demo", "--cps", "none"}, exitUsage, "--cps"},
		{[]string{"demo", "--cps", "0", "--data", dir}, exitUsage, "--cps 0"},
		{[]string{"demo", "--data", file}, exitUsage, file},
		{[]string{"demo", "--stay", "-1s", "--data", dir}, exitUsage, "--stay -1s"},
		{[]string{"board"}, exitUsage, "socket"},
		{[]string{"board", "--socket", filepath.Join(dir, "s"), "--connectors", "0"}, exitUsage, "connectors"},
		{[]string{"board", "--socket", filepath.Join(dir, "s"), "--without", "wheels"}, exitUsage, "ground-fault"},
		{[]string{"board", "--socket", filepath.Join(dir, "s"), "--cable", "16"}, exitUsage, "cable"},
		{[]string{"board", "--socket", filepath.Join(dir, "s"), "--snapshot"}, exitUnreachable, "sim board"},
		{[]string{"chaos", "--points", "0"}, exitUsage, "--points"},
		{[]string{"chaos", "--bin", dir}, exitUsage, "make build"},
		{[]string{"kafka", "--listen", "nowhere"}, exitUsage, "nowhere"},
		{[]string{"fleet", "--cps", "-1"}, exitUsage, "--cps -1"},
		{[]string{"fleet", "--id-prefix", "a b"}, exitUsage, "--id-prefix"},
		{[]string{"driver", "request", "--user", ""}, exitUsage, "username"},
		{[]string{"driver", "request", "--cp", "a/b"}, exitUsage, "cp_id"},
		{[]string{"driver", "request", "--kafka", "nowhere"}, exitUsage, "HOST:PORT"},
		{[]string{"driver", "run", filepath.Join(dir, "no such file")}, exitConfig, "no such file"},
		{[]string{"driver", "run", list}, exitConfig, "line 2"},
		{[]string{"driver", "request", "--kafka", "127.0.0.1:1", "--deadline", "300ms"}, exitUnreachable, "waiting for Kafka since"},
	} {
		t.Run(strings.Join(c.args[:min(2, len(c.args))], " "), func(t *testing.T) {
			code, out, errs := execute(t.Context(), c.args...)
			if code != c.code || !strings.Contains(out+errs, c.word) {
				t.Errorf("%v: code %d, want %d; %q is to be in %q", c.args, code, c.code, c.word, out+errs)
			}
		})
	}
}

// TestInterruptedDriver: an interruption has an exit code of its own.
func TestInterruptedDriver(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if code, _, errs := execute(ctx, "driver", "request", "--kafka", "127.0.0.1:1"); code != exitInterrupted {
		t.Errorf("code %d, %s", code, errs)
	}
}

// TestDriverPrintsJSON: each line is one step.
func TestDriverPrintsJSON(t *testing.T) {
	_, out, _ := execute(t.Context(), "driver", "request", "--json", "--kafka", "127.0.0.1:1", "--deadline", "300ms")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var last map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last["step"] != "given_up" || last["username"] != "driver1" {
		t.Errorf("last of %q: %v, %v", lines, last, err)
	}
}

// TestBoardOutlivesItsCallers: the board serves until it is stopped, and its
// snapshot shows its true state.
func TestBoardOutlivesItsCallers(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if code, _, errs := execute(ctx, "board", "--socket", socket, "--connectors", "2", "--register", "1000"); code != exitOK {
			t.Errorf("board: code %d, %s", code, errs)
		}
	})
	defer serving.Wait()
	defer cancel()
	var s sim.Snapshot
	deadline, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	for {
		code, out, errs := execute(deadline, "board", "--socket", socket, "--snapshot")
		if code == exitOK {
			if err := json.Unmarshal([]byte(out), &s); err != nil {
				t.Fatal(err)
			}
			break
		}
		if deadline.Err() != nil {
			t.Fatalf("no snapshot: %s", errs)
		}
	}
	if len(s.Connectors) != 2 || s.Connectors[1].Register != 1000 || s.Connectors[0].Closed {
		t.Errorf("snapshot %+v", s)
	}
}
