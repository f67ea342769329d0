package archtest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the module's folder as seen from here.
const root = "../.."

// pkg is what the go command reports about a package.
type pkg struct {
	Dir          string
	ImportPath   string
	Name         string
	Doc          string
	Standard     bool
	GoFiles      []string
	CgoFiles     []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	Module       *struct{ Path string }
}

// own is the package's folder in this repository, or "" for any other.
func (p pkg) own() string {
	if p.ImportPath == module {
		return "."
	}
	dir, ok := strings.CutPrefix(p.ImportPath, module+"/")
	if !ok {
		return ""
	}
	return dir
}

// list asks the go command about packages, for an architecture of Linux with
// cgo allowed, so that cgo files show.
func list(t *testing.T, arch string, args ...string) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", "-json"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "GOARM=6", "CGO_ENABLED=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, stderr.String())
	}
	pkgs := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list %v: %v", args, err)
		}
		pkgs[p.ImportPath] = p
	}
}

// hasMain reports whether the program in dir exists: while the repository
// grows, what does not exist yet breaks no rule.
func hasMain(dir string) bool {
	_, err := os.Stat(filepath.Join(root, dir, "main.go"))
	return err == nil
}

func complete() bool {
	return !slices.ContainsFunc(programs(), func(p program) bool { return !hasMain(p.dir) })
}

func report(t *testing.T, broken []string) {
	t.Helper()
	for _, line := range broken {
		t.Error(line)
	}
}

// covers reports whether a pattern, a path or a tree "path/...", means name.
func covers(pattern, name string) bool {
	tree, isTree := strings.CutSuffix(pattern, "/...")
	return name == tree || (isTree && strings.HasPrefix(name, tree+"/"))
}

func (b ban) hits(imported string) bool {
	under := func(p string) bool { return covers(p+"/...", imported) }
	return under(b.pkg) && !slices.ContainsFunc(b.except, under)
}

// breaksProgram lists what a program links that it must not, with one way by
// which it comes in.
func breaksProgram(p program, closure map[string]pkg) (broken []string) {
	start := module + "/" + p.dir
	from := map[string]string{start: ""}
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		for _, next := range closure[queue[0]].Imports {
			if _, seen := from[next]; !seen {
				from[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		// The standard library uses what it likes; cgo in package net goes
		// when the program is built without.
		if closure[from[name]].Standard {
			continue
		}
		for _, b := range p.bans {
			if b.hits(name) {
				broken = append(broken, fmt.Sprintf("%s links %s: %s; by way of %s", p.dir, name, b.reason, way(from, name)))
			}
		}
	}
	used := map[string]bool{}
	for _, q := range closure {
		for _, name := range q.Imports {
			if m := closure[name].Module; q.own() != "" && m != nil && m.Path != module {
				used[m.Path] = true
			}
		}
	}
	if p.modules > 0 && len(used) > p.modules {
		broken = append(broken, fmt.Sprintf("%s uses %d modules directly, its budget is %d: %s",
			p.dir, len(used), p.modules, strings.Join(slices.Sorted(maps.Keys(used)), " ")))
	}
	return broken
}

func way(from map[string]string, name string) string {
	steps := []string{name}
	for from[name] != "" {
		name = from[name]
		steps = append(steps, strings.TrimPrefix(name, module+"/"))
	}
	slices.Reverse(steps)
	return strings.Join(steps, " → ")
}

func TestProgramsLinkOnlyWhatTheyMay(t *testing.T) {
	for _, p := range programs() {
		if !hasMain(p.dir) {
			t.Logf("%s has no main.go yet", p.dir)
			continue
		}
		report(t, breaksProgram(p, list(t, "amd64", "-deps", "./"+p.dir)))
	}
}

func TestTheAgentIsFreeOfCgoOnEveryArchitecture(t *testing.T) {
	if !hasMain("agent") {
		t.Log("agent has no main.go yet")
		return
	}
	for _, arch := range []string{"arm", "arm64", "amd64"} {
		for name, p := range list(t, arch, "-deps", "./agent") {
			if !p.Standard && len(p.CgoFiles) > 0 {
				t.Errorf("linux/%s: %s has cgo files %v: the agent is one static binary that cross-compiles without a C compiler", arch, name, p.CgoFiles)
			}
		}
	}
}

// breaksLeaf lists what a package imports beyond the little it may.
func breaksLeaf(l leaf, p pkg, isStandard func(string) bool) (broken []string) {
	for _, name := range p.Imports {
		dir, own := strings.CutPrefix(name, module+"/")
		switch {
		case own && !slices.ContainsFunc(l.own, func(pattern string) bool { return covers(pattern, dir) }):
			broken = append(broken, fmt.Sprintf("%s imports %s: of ours it knows only %v", p.own(), dir, l.own))
		case !own && !isStandard(name):
			broken = append(broken, fmt.Sprintf("%s imports %s: it knows the standard library and ours alone", p.own(), name))
		}
		for _, b := range l.std {
			if b.hits(name) {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", p.own(), name, b.reason))
			}
		}
	}
	return broken
}

// Paths of the standard library have no dot in their first element.
func isStandard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}

// breaksBorders lists the imports that cross a border between technologies, trees
// or neighbouring adapters.
func breaksBorders(p pkg) (broken []string) {
	for _, name := range p.Imports {
		for _, e := range edges() {
			here := slices.ContainsFunc(e.dirs, func(pattern string) bool { return covers(pattern, p.own()) })
			if covers(e.pkg+"/...", name) && !here {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", p.own(), name, e.reason))
			}
		}
		for tree, bans := range borders() {
			for _, b := range bans {
				if covers(tree, p.own()) && b.hits(name) {
					broken = append(broken, fmt.Sprintf("%s imports %s: %s", p.own(), name, b.reason))
				}
			}
		}
		if a, b := adapter(p.own()), adapter(strings.TrimPrefix(name, module+"/")); a != "" && b != "" && a != b {
			broken = append(broken, fmt.Sprintf("%s imports %s: declare the small interface you need; %s/app passes the neighbour in", p.own(), name, path.Dir(path.Dir(a))))
		}
	}
	return broken
}

// adapter is "part/internal/name" for a package of that adapter or below it.
func adapter(dir string) string {
	steps := strings.Split(dir, "/")
	if len(steps) < 3 || steps[1] != "internal" {
		return ""
	}
	return strings.Join(steps[:3], "/")
}

func breaksNaming(p pkg) (broken []string) {
	for step := range strings.SplitSeq(p.own(), "/") {
		switch strings.TrimSuffix(step, "s") {
		case "util", "common", "helper", "misc", "lib", "shared", "pkg", "cmd":
			broken = append(broken, fmt.Sprintf("%s: %q names no subject; name a package after what it holds", p.own(), step))
		}
	}
	return broken
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	all := list(t, "amd64", "./...")
	for _, l := range leaves() {
		met := false
		for _, p := range all {
			if covers(l.dir, p.own()) {
				met = true
				report(t, breaksLeaf(l, p, isStandard))
			}
		}
		if !met && complete() {
			t.Errorf("%s does not exist: the rule about it is stale", l.dir)
		}
	}
	for _, p := range all {
		report(t, breaksBorders(p))
		report(t, breaksNaming(p))
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range list(t, "amd64", "./...") {
		if p.Doc == "" && !testsExplain(t, p) {
			t.Errorf("%s has no package comment: describe its purpose, the owner of its state, and what it guarantees", p.own())
		}
	}
}

// testsExplain reports whether a package of tests alone has a package comment.
func testsExplain(t *testing.T, p pkg) bool {
	t.Helper()
	if len(p.GoFiles)+len(p.CgoFiles) > 0 {
		return false
	}
	for _, name := range append(p.TestGoFiles, p.XTestGoFiles...) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		if f.Doc.Text() != "" {
			return true
		}
	}
	return false
}

// sleeps lists where a test file sleeps, and whether it uses synctest.
func sleeps(name string, src any) (places []string, fake bool, err error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, src, 0)
	if err != nil {
		return nil, false, err
	}
	for _, i := range f.Imports {
		fake = fake || i.Path.Value == `"testing/synctest"`
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
				places = append(places, fmt.Sprintf("%s: time.Sleep in a package whose tests have no synctest bubble: wait for the event itself", set.Position(s.Pos())))
			}
		}
		return true
	})
	return places, fake, nil
}

// A bubble is often opened by a helper in another file, so the tests of one
// folder are checked together.
func TestTestsDoNotSleep(t *testing.T) {
	places, fake := map[string][]string{}, map[string]bool{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		found, bubble, err := sleeps(name, nil)
		dir := filepath.Dir(name)
		places[dir], fake[dir] = append(places[dir], found...), fake[dir] || bubble
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, found := range places {
		if !fake[dir] {
			report(t, found)
		}
	}
}
