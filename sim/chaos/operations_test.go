package chaos_test

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/charge"
)

// TestOperationsExplainsAll: the document explains everything that the programs
// show: each check of /readyz, each loop of /livez, each alarm and each fault.
func TestOperationsExplainsAll(t *testing.T) {
	text := operations(t)
	var words []string
	for _, f := range charge.Faults() {
		words = append(words, string(f))
	}
	for _, shown := range []struct {
		pattern string
		least   int // fewer matches mean that the pattern no longer fits the code
		folders []string
	}{
		{`(?:Set|SetInformational)\("(\w+)"`, 8, []string{"agent/app", "bridge/app", "central/app"}},
		{`health\.Status\{Name: "(\w+)"`, 3, []string{"agent/app", "bridge/app", "central/app"}},
		{`\.Loop(?:Within)?\("(\w+)"`, 8, []string{"agent", "bridge", "central"}},
		{`AlarmKind\s+= "(\w+)"`, 13, []string{"central"}},
		{`Anomaly: "(\w+)"`, 3, []string{"agent"}},
	} {
		found := regexp.MustCompile(shown.pattern).FindAllStringSubmatch(source(t, shown.folders...), -1)
		if len(found) < shown.least {
			t.Errorf("%s matches only %d times in %v", shown.pattern, len(found), shown.folders)
		}
		for _, f := range found {
			words = append(words, f[1])
		}
	}
	for _, w := range slices.Compact(slices.Sorted(slices.Values(words))) {
		if !strings.Contains(text, "`"+w+"`") {
			t.Errorf("the document does not explain `%s`", w)
		}
	}
}

// TestOperationsQuotes: every text that the document quotes from a program is
// in the sources.
func TestOperationsQuotes(t *testing.T) {
	_, chapters, _ := strings.Cut(operations(t), "\n### Check\n")
	chapters, _, found := strings.Cut(chapters, "\n## Looking into a journal\n")
	if !found {
		t.Fatal("the document has no chapters where this test looks for them")
	}
	chapters = regexp.MustCompile("(?s)```.*?```").ReplaceAllString(chapters, "")
	sources := source(t, "agent", "bridge", "central", "internal", "sim/driver")
	quotes := 0
	for _, quote := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(chapters, -1) {
		q := quote[1]
		if !strings.Contains(q, " ") || regexp.MustCompile(`^(bin/|make |kill |export |ticket: |"ok"|policies\.|mqtt\.shared: |(GET|POST|PATCH|DELETE) /)|^code with spaces$`).MatchString(q) {
			continue
		}
		quotes++
		for part := range strings.SplitSeq(q, "…") {
			if part = strings.TrimSpace(part); part != "" && !strings.Contains(sources, part) {
				t.Errorf("the document quotes `%s`, but no program prints %q", q, part)
			}
		}
	}
	if quotes < 20 {
		t.Errorf("found %d quotes only", quotes)
	}
}

// TestOperationsCommands: each command in the document exists, with its flags.
func TestOperationsCommands(t *testing.T) {
	bin := programs(t)
	word := regexp.MustCompile(`^[a-z][a-z-]*$`)
	flags := map[string][]string{} // by command
	for _, c := range regexp.MustCompile("`?bin/(agent|bridge|central|sim)\\b([^`|\n#]*)").FindAllStringSubmatch(operations(t), -1) {
		rest := strings.Fields(c[2])
		n := 0
		for n < len(rest) && word.MatchString(rest[n]) {
			n++
		}
		words := strings.Join(append([]string{c[1]}, rest[:n]...), " ")
		flags[words] = append(flags[words], rest[n:]...)
	}
	for _, words := range slices.Sorted(maps.Keys(flags)) {
		args := strings.Fields(words)
		ask := append(args[1:len(args):len(args)], "--help")
		if args[0] == "agent" && len(args) > 1 {
			ask = []string{args[1], "--help"} // which lists all subcommands
		}
		out, err := exec.CommandContext(t.Context(), filepath.Join(bin, args[0]), ask...).CombinedOutput()
		if err != nil {
			t.Errorf("bin/%s: %v\n%s", words, err, out)
		}
		if last := args[len(args)-1]; !strings.Contains(string(out), last) {
			t.Errorf("bin/%s: its help does not know %q", words, last)
		}
		for _, flag := range flags[words] {
			name, is := strings.CutPrefix(flag, "--")
			if !is {
				continue
			}
			if name, _, _ = strings.Cut(name, "="); !strings.Contains(string(out), "-"+name+" ") && !strings.Contains(string(out), "-"+name+"\n") {
				t.Errorf("bin/%s has no --%s", words, name)
			}
		}
	}
	if len(flags) < 10 {
		t.Errorf("found the commands %v only", slices.Sorted(maps.Keys(flags)))
	}
}

// source returns the text of all Go files in some folders, without tests.
func source(t *testing.T, folders ...string) string {
	t.Helper()
	var text strings.Builder
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			text.Write(raw)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}
