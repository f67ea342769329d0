package main

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// TestOperations: each word does what it names, at the connector that stands last.
func TestOperations(t *testing.T) {
	cfg := sim.DefaultConfig()
	cfg.Connectors = 2
	b, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	second := func() sim.Outlet { return b.Snapshot().Connectors[1] }
	for _, c := range []struct {
		words string
		done  func() bool
		want  string // in the error; "" is none
	}{
		{"plug 2", func() bool { return second().Plugged }, ""},
		{"plug 2", nil, "plugged in already"},
		{"fault ground_fault 2", func() bool { return len(second().Faults) == 1 }, ""},
		{"break lock_jammed 2", func() bool { return len(second().Defects) == 1 }, ""},
		{"repair 2", func() bool { return len(second().Faults)+len(second().Defects) == 0 }, ""},
		{"unplug 2", func() bool { return !second().Plugged }, ""},
		{"tap 04A1B2C3", nil, ""},
		{"press", nil, ""},
		{"ambient 35", nil, ""},
		{"ambient hot", nil, "degrees Celsius"},
		{"ambient 500", nil, "-40000 to 90000"},
		{"tap", nil, "want UID"},
		{"tap card", nil, "hexadecimal"},
		{"break arm", nil, "lock_jammed"},
		{"fault none", nil, "ground_fault"},
		{"plug 3", nil, "1 to 2"},
		{"plug two", nil, "number of a connector"},
		{"plug 1 2", nil, "number of a connector"},
		{"sing", nil, "unplug"},
		{"", nil, "want an action"},
	} {
		err := operate(b, strings.Fields(c.words))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.words, err, c.want)
		}
		if c.done != nil && !c.done() {
			t.Errorf("%q had no effect: %+v", c.words, second())
		}
	}
}

// TestTypedLines: each line is answered, whatever it is.
func TestTypedLines(t *testing.T) {
	b, err := sim.New(sim.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	performLines(t.Context(), strings.NewReader("plug\n\n  sing \nunplug\n"), &out, func(words []string) (operated, []string, error) { return b, words, nil })
	if got := out.String(); !strings.Contains(got, "done: plug\n") || !strings.Contains(got, `action "sing" is unknown`) || !strings.Contains(got, "done: unplug\n") {
		t.Errorf("got %q", got)
	}
}

// TestOperateFromOutside: sim board do operates a running board, and states where
// none runs.
func TestOperateFromOutside(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	if code, _, errs := execute(t.Context(), "board", "do", "plug", "--socket", socket); code != exitUnreachable || !strings.Contains(errs, "is a board running there?") {
		t.Errorf("no board: code %d, %s", code, errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if code, _, errs := execute(ctx, "board", "--socket", socket, "--cable", "32", "--without", "reader,panel"); code != exitOK {
			t.Errorf("board: code %d, %s", code, errs)
		}
	})
	defer serving.Wait()
	defer cancel()
	deadline, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	for {
		code, _, errs := execute(deadline, "board", "do", "plug", "--socket", socket)
		if code == exitOK {
			break
		}
		if code != exitUnreachable || deadline.Err() != nil {
			t.Fatalf("plug: code %d, %s", code, errs)
		}
	}
	for args, word := range map[string]string{"tap 04A1B2C3": "not fitted", "plug": "plugged in already", "sing": "unknown"} {
		code, _, errs := execute(t.Context(), append([]string{"board", "do", "--socket", socket}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(errs, word) {
			t.Errorf("%s: code %d, %s", args, code, errs)
		}
	}
}

// TestEachOfferedFaultCanAppear: the screen of a fleet offers no fault that a board
// refuses, and leaves out none that it can have.
func TestEachOfferedFaultCanAppear(t *testing.T) {
	b, err := sim.New(sim.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	offered := injectable()
	for _, f := range charge.Faults() {
		err := operate(b, []string{"fault", string(f)})
		if got := slices.Contains(offered, f); got != (err == nil) {
			t.Errorf("%s is offered: %t, and the board answers %v", f, got, err)
		}
	}
}
