package process_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/carga-ev/carga/internal/process"
)

// TestWhatAUserSuppliesIsReadAsMeant.
func TestWhatAUserSuppliesIsReadAsMeant(t *testing.T) {
	for _, c := range []struct{ name, content, want, problem string }{
		{"plain", "a\nb\n", "a\nb\n", ""},
		{"empty", "", "", ""},
		{"byte order mark", "\xef\xbb\xbfa\n", "a\n", ""},
		{"CRLF", "a\r\nb\r\n", "a\nb\n", ""},
		{"both", "\xef\xbb\xbfa\r\n", "a\n", ""},
		{"as long as allowed", strings.Repeat("x", 100), strings.Repeat("x", 100), ""},
		{"too long", strings.Repeat("x", 101), "", "is larger than 100 bytes"},
		{"UTF-16", "\xff\xfea\x00", "", "is UTF-16 or binary, want UTF-8"},
		{"UTF-16, the other way round", "\xfe\xff\x00a", "", "is UTF-16 or binary, want UTF-8"},
		{"binary", "a\x00b", "", "is UTF-16 or binary, want UTF-8"},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		fifo := filepath.Join(t.TempDir(), "pipe")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		go func() { _ = os.WriteFile(fifo, []byte(c.content), 0) }() // its reader may have had enough
		for _, path := range []string{path, fifo} {
			got, _, err := process.ReadFile(path, 100)
			if string(got) != c.want || c.problem == "" && err != nil || c.problem != "" && (err == nil || err.Error() != c.problem) {
				t.Errorf("%s of %s: got %q %v, want %q %q", c.name, filepath.Base(path), got, err, c.want, c.problem)
			}
		}
	}
}

func TestWhatIsNoFileIsNamed(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(dir, "loop")
	if err := errors.Join(os.Symlink(loop, loop)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file",
		dir:                        "is a directory, want a file",
		socket:                     "is neither a file nor a pipe",
		loop:                       "too many levels of symbolic links",
		"/dev/zero":                "is larger than 1 MiB",
	} {
		if _, _, err := process.ReadFile(path, 1<<20); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
