package need_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/need"
)

// recorder stands in for a test whose end is watched from outside. Skip and
// Fatalf end its goroutine, as the real ones do.
type recorder struct {
	testing.TB
	end string
}

func (*recorder) Helper()      {}
func (*recorder) Name() string { return "TestX" }

func (r *recorder) Skip(args ...any) {
	r.end = "skip: " + fmt.Sprint(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.end = "fatal: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func watch(f func(testing.TB)) string {
	r := &recorder{end: "went on"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.end
}

func TestMissingProgramSkipsLoudlyAndFailsInCI(t *testing.T) {
	notes := filepath.Join(t.TempDir(), "skipped")
	ask := func(tb testing.TB) {
		tb.Helper()
		need.Program(tb, "no-such-program", "apt-get install it")
	}

	t.Setenv("CI", "")
	t.Setenv("CARGA_SKIPPED", notes)
	want := "TestX needs program no-such-program: apt-get install it"
	if got := watch(ask); got != "skip: "+want {
		t.Errorf("got %q, want a skip with the words %q", got, want)
	}
	if got, err := os.ReadFile(notes); err != nil || string(got) != want+"\n" {
		t.Errorf("got the notes %q %v, want %q", got, err, want)
	}

	t.Setenv("CI", "true")
	if got := watch(ask); !strings.HasPrefix(got, "fatal: "+want) {
		t.Errorf("got %q, want a failure under CI=true", got)
	}
}

func TestWhatIsThereLetsTheTestGoOn(t *testing.T) {
	t.Setenv("CI", "true")
	breathe := func(tb testing.TB) {
		tb.Helper()
		need.That(tb, true, "air", "breathe")
	}
	if got := watch(breathe); got != "went on" {
		t.Errorf("got %q, want the test to go on", got)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tool"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if got := need.Program(t, "tool", "write it"); got != filepath.Join(dir, "tool") {
		t.Errorf("got %q, want the program found on the PATH", got)
	}
}
