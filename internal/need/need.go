// Package need lets a test declare what it needs from the machine. Without that the
// test is skipped visibly; with CI=true in the environment it fails, so that no
// test is skipped there unnoticed.
//
// go test hides the reason of a skipped test without -v. So each skip is also
// written as a line to the file in CARGA_SKIPPED; make test sets it and prints the
// lines at its end.
//
// Only tests import it.
package need

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Program returns the path of a program. Without the program, the test ends
// here: remedy is the command that installs it.
func Program(tb testing.TB, name, remedy string) string {
	tb.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	// Debian installs daemons in folders that the PATH of ordinary users does
	// not contain.
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	missing(tb, "program "+name, remedy)
	return ""
}

// That ends the test here unless ok: what is the thing that is needed, remedy
// how to get it.
func That(tb testing.TB, ok bool, what, remedy string) {
	tb.Helper()
	if !ok {
		missing(tb, what, remedy)
	}
}

// missing skips the test, or fails it under CI=true.
func missing(tb testing.TB, what, remedy string) {
	tb.Helper()
	line := fmt.Sprintf("%s needs %s: %s", tb.Name(), what, remedy)
	if os.Getenv("CI") == "true" {
		tb.Fatalf("%s (nothing may be skipped under CI=true)", line)
	}
	if path := os.Getenv("CARGA_SKIPPED"); path != "" {
		if err := note(path, line); err != nil {
			tb.Errorf("note the skipped test: %v", err)
		}
	}
	tb.Skip(line)
}

// note appends a line to the list of skipped tests.
func note(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
