package archtest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// span is a code span of Markdown, without line breaks.
var span = regexp.MustCompile("`([^`\n]+)`")

// link is the target of a Markdown link, without its anchor.
var link = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)

// pathLike is a path from the root of the repository, perhaps with * in it.
var pathLike = regexp.MustCompile(`^(agent|bridge|central|configs|docs|hal|internal|sim|\.ci)/[\w./*-]+$`)

// nameIn is a name of the code with its file, such as `Reading` in `hal/hal.go`.
var nameIn = regexp.MustCompile("`(\\w+)`\\s+(?:of|in)\\s+`([\\w./-]+\\.(?:go|js))`")

// missingPaths lists what a document names and the repository does not have:
// the targets of its relative links, and paths in code spans. A file in a
// folder is found by a glob, so `testdata/*.json` is checked too. A name that
// stands with its file must occur in it.
func missingPaths(name, src string) (missing []string) {
	check := func(shown, path string) {
		if found, err := filepath.Glob(filepath.Join(root, path)); err != nil || len(found) == 0 {
			missing = append(missing, name+" names "+shown+", which does not exist")
		}
	}
	for _, m := range link.FindAllStringSubmatch(src, -1) {
		if !strings.Contains(m[1], "://") {
			check(m[1], filepath.Join(filepath.Dir(name), m[1]))
		}
	}
	for _, m := range span.FindAllStringSubmatch(src, -1) {
		if pathLike.MatchString(m[1]) {
			check(m[1], m[1])
		}
	}
	for _, m := range nameIn.FindAllStringSubmatch(src, -1) {
		code, err := os.ReadFile(filepath.Join(root, m[2]))
		if err != nil {
			continue // named above, if it is a path from the root
		}
		if !regexp.MustCompile(`\b` + m[1] + `\b`).Match(code) {
			missing = append(missing, name+" names "+m[1]+" in "+m[2]+", which is not there")
		}
	}
	return missing
}

// TestDocumentsNameWhatIsThere keeps the paths and links of the documents that
// lead into the code true when files move.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	documents := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}
	for _, pattern := range []string{"docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			documents = append(documents, name)
		}
	}
	for _, name := range documents {
		src, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		report(t, missingPaths(name, string(src)))
	}
}

// TestMissingPathsAreSeen plants a link and a path that lead nowhere, beside
// ones that are right.
func TestMissingPathsAreSeen(t *testing.T) {
	src := "[a](GLOSSARY.md#words) [b](NOWHERE.md) [c](https://example.org/x.md) `internal/archtest` `internal/nowhere.go` `internal/wire/testdata/*.json` `agent/nowhere` `a/b` `Reading` in `hal/hal.go` `Nothing` of\n`hal/hal.go`"
	if got := missingPaths("docs/a.md", src); len(got) != 4 {
		t.Errorf("%d found, want 4: %q", len(got), got)
	}
}
