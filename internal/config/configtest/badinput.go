package configtest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/config"
)

// Program is a program whose configuration files are tested.
type Program struct {
	Name      string // "agent", "bridge" or "central"
	EnvPrefix string
	Sample    string // the path of its sample
	Defaults  func() any
}

// Row is one bad file of a program. Its name begins with its number in the list
// of bad configuration files.
type Row struct {
	Name, File string
	// Key is the key of the one fault; empty means any.
	Key string
	// Want is part of the error; empty means that the file is accepted.
	Want string
	// Do, if set, is called instead of loading the file.
	Do func(t *testing.T) error
}

// owners assigns numbers of the list to programs that must test them. All other
// numbers are matters of the loader, which BadFiles tests for every program.
func owners() map[int][]string {
	return map[int][]string{
		4:  {"agent", "bridge"}, // secrets stand in files of their own; the loader's part is in the tests of package config
		10: {"agent", "bridge", "central"},
		11: {"agent", "bridge", "central"},
		12: {"agent", "bridge", "central"},
		18: {"agent"},
		20: {"agent"},
		21: {"agent", "bridge", "central"},
		22: {"central"},
		23: {"agent"},
		24: {"agent"},
		25: {"central"},
		26: {"central"},
		27: {"agent", "bridge"},
	}
}

// later are the numbers for which something is missing.
func later() map[int]string {
	return map[int]string{
		13: "mqtt:// off loopback: needs TLS",
		14: "CA file that is a key: needs TLS",
		15: "key not matching the certificate: needs TLS",
		16: "expired certificate: needs TLS",
		17: "world-readable key: needs TLS",
		19: "cp_id different from the certificate's name: needs TLS",
		28: "unknown time zone: needs reports by day",
	}
}

// BadFiles loads each bad file and expects faults with key and remedy. Each
// number of the list must be tested here, by a row of the program that owns it,
// or stand in later. The list is the same for all programs, so that no program
// forgets a kind of bad file.
func BadFiles(t *testing.T, p Program, rows []Row) {
	t.Helper()
	rows = append(p.everywhere(t), rows...)
	// tried are the numbers of the list that have a row.
	tried := map[int]bool{}
	for _, row := range rows {
		number, _, _ := strings.Cut(row.Name, " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Errorf("%q begins with no number of the list", row.Name)
		}
		tried[n] = true
		t.Run(row.Name, func(t *testing.T) { p.try(t, row) })
	}
	for n := 1; n <= 30; n++ {
		// A number without an owner belongs to every program.
		whose, given := owners()[n]
		if mine := !given || slices.Contains(whose, p.Name); mine && !tried[n] && later()[n] == "" {
			t.Errorf("number %d has no row and waits for nothing", n)
		}
	}
}

// try tests one row.
func (p Program) try(t *testing.T, row Row) {
	t.Helper()
	err := p.load(t, row)
	// Some rows look bad and are accepted on purpose.
	if row.Want == "" {
		if err != nil {
			t.Errorf("got %v, want it accepted", err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), row.Want) {
		t.Fatalf("got %v, want an error with %q", err, row.Want)
	}
	if strings.Contains(err.Error(), Secret) {
		t.Errorf("a message contains the secret: %v", err)
	}
	faults, ok := errors.AsType[*config.Error](err)
	if row.Key == "" {
		return
	}
	if !ok || len(faults.Faults) != 1 || faults.Faults[0].Key != row.Key {
		t.Errorf("got %v, want one fault of %s", err, row.Key)
	}
}

// Secret is a word that no message may contain: rows use it as a password.
const Secret = "hunter2"

// load loads the file of a row, or calls Do.
func (p Program) load(t *testing.T, row Row) error {
	t.Helper()
	if row.Do != nil {
		return row.Do(t)
	}
	path := filepath.Join(t.TempDir(), p.Name+".yaml")
	if err := os.WriteFile(path, []byte(row.File), 0o600); err != nil {
		t.Fatal(err)
	}
	return p.from(path)
}

// from loads the file at a path over the defaults.
func (p Program) from(path string) error {
	return config.Load(p.Defaults(), config.Options{Path: path, EnvPrefix: p.EnvPrefix})
}

// everywhere returns the rows of every program.
func (p Program) everywhere(t *testing.T) []Row {
	t.Helper()
	sample, err := os.ReadFile(p.Sample)
	if err != nil {
		t.Fatal(err)
	}
	at := func(place func(dir string) string) func(t *testing.T) error {
		return func(t *testing.T) error {
			t.Helper()
			return p.from(place(t.TempDir()))
		}
	}
	return []Row{
		{Name: "1 missing", Want: "no such file", Do: at(func(dir string) string { return filepath.Join(dir, "none.yaml") })},
		{Name: "2 empty", Want: "is empty, perhaps half written"},
		{Name: "3 a folder", Want: "is a directory, want a file", Do: at(func(dir string) string { return dir })},
		{Name: "5 symbolic link to itself", Want: "too many levels of symbolic links", Do: func(t *testing.T) error {
			t.Helper()
			path := filepath.Join(t.TempDir(), "loop.yaml")
			return errors.Join(os.Symlink(path, path), p.from(path))
		}},
		{Name: "5 symbolic link to a file outside", Do: func(t *testing.T) error {
			t.Helper()
			file, link := filepath.Join(t.TempDir(), "real.yaml"), filepath.Join(t.TempDir(), "link.yaml")
			return errors.Join(os.WriteFile(file, sample, 0o600), os.Symlink(file, link), p.from(link))
		}},
		{Name: "6 byte order mark and CRLF", File: "\xef\xbb\xbf" + strings.ReplaceAll(string(sample), "\n", "\r\n")},
		{Name: "6 UTF-16", File: "\xff\xfel\x00o\x00g\x00", Want: "is UTF-16 or binary, want UTF-8"},
		{Name: "7 tab", File: "log:\n\tlevel: info\n", Want: "indent with spaces, not with tabs"},
		{Name: "7 repeated key", File: "log: {level: info}\nlog: {level: warn}\n", Key: "log", Want: "repeated key (first in line 1)"},
		{Name: "8 unknown key", File: "log: {levell: info}\n", Key: "log.levell", Want: `unknown key (did you mean "level"?)`},
		{Name: "9 anchor bomb", File: "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nlog: {level: *c}\n", Want: "anchors and aliases are refused"},
		{Name: "29 include", File: "include: ../../etc/passwd\n", Key: "include", Want: "unknown key"},
		{Name: "29 merge of itself", File: "log: &log\n  <<: *log\n", Want: "refused"},
		{Name: "30 half written", Do: func(t *testing.T) error { t.Helper(); return p.halfWritten(t, sample) }},
	}
}

// halfWritten loads the sample cut at many places: each results in faults, or in
// values that were complete. It must never panic or return another kind of
// error. A program reads its file once, at the start.
func (p Program) halfWritten(t *testing.T, sample []byte) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cut.yaml")
	for n := 0; n < len(sample); n += 11 {
		if err := os.WriteFile(path, sample[:n], 0o600); err != nil {
			return err
		}
		err := p.from(path)
		if _, ok := errors.AsType[*config.Error](err); err != nil && !ok {
			t.Errorf("cut at byte %d: %v", n, err)
		}
	}
	return nil
}
