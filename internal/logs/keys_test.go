package logs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/logs"
)

// attributes are the constructors of slog whose first argument is a key.
var attributes = []string{"String", "Int", "Int64", "Uint64", "Bool", "Any", "Duration", "Time", "Float64", "Group", "GroupAttrs"}

// Every attribute of every log line of the three programs has one of the fixed
// keys, and every fixed key is used.
func TestLogLinesHaveFixedKeys(t *testing.T) {
	keys, used := logs.Keys(), map[string]bool{}
	for _, dir := range []string{"agent", "bridge", "central", "hal", "internal"} {
		for _, a := range attributesIn(t, filepath.Join("..", "..", dir)) {
			if _, known := keys[a.key]; !known {
				t.Errorf("%s: the key %q is not among logs.Keys: use one of them, or add it there with its meaning", a.at, a.key)
			}
			used[a.key] = true
		}
	}
	snake := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for key, means := range keys {
		if !snake.MatchString(key) || means == "" || slices.Contains([]string{"time", "level", "msg", "source"}, key) {
			t.Errorf("key %q, %q: want lower_snake with a meaning, and none of slog's own", key, means)
		}
		if !used[key] && key != "part" { // which the one-process demo adds
			t.Errorf("key %q is used nowhere", key)
		}
	}
}

type attribute struct {
	at  string
	key string
}

func attributesIn(t *testing.T, root string) (all []attribute) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains(attributes, fun.Sel.Name) {
				return true
			}
			if x, ok := fun.X.(*ast.Ident); !ok || x.Name != "slog" {
				return true
			}
			at := files.Position(call.Pos()).String()
			lit, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: the key is not written out", at)
				return true
			}
			key, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Errorf("%s: %v", at, err)
			}
			all = append(all, attribute{at, key})
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
