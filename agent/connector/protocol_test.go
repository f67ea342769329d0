package connector_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestEveryReasonStandsInTheProtocol: the developer of another Central, by
// docs/PROTOCOL.md must know each word that a result may give as its reason.
func TestEveryReasonStandsInTheProtocol(t *testing.T) {
	protocol, err := os.ReadFile("../../docs/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, commands, _ := strings.Cut(string(protocol), "\n## 6. Commands\n")
	commands, _, found := strings.Cut(commands, "\n## 7.")
	if !found {
		t.Fatal("the protocol has no chapter about commands where this test looks for it")
	}
	words := map[string]bool{}
	for i, quoted := range strings.Split(commands, "`") {
		if i%2 == 1 {
			for w := range strings.FieldsSeq(quoted) {
				words[w] = true
			}
		}
	}
	reasons := reasonsIn(t, "*.go", "../app/*.go", "../delivery/*.go")
	if len(reasons) < 10 {
		t.Errorf("found the reasons %q only", reasons)
	}
	for reason, where := range reasons {
		if !words[reason] {
			t.Errorf("%s gives the reason %q, which the protocol does not name", where, reason)
		}
	}
}

// reasonsIn are the literal reasons of results in the sources, with their places.
func reasonsIn(t *testing.T, patterns ...string) map[string]string {
	t.Helper()
	reasons := map[string]string{}
	add := func(set *token.FileSet, e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if word, err := strconv.Unquote(lit.Value); err == nil && word != "" {
				reasons[word] = set.Position(lit.Pos()).String()
			}
		}
	}
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					return n.Name.Name != "barred" || n.Body == nil || eachReturn(n.Body, func(e ast.Expr) { add(set, e) })
				case *ast.CallExpr:
					if sel, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) > 0 {
						switch sel.Sel.Name {
						case "refuse", "done", "finish", "endStart":
							add(set, n.Args[len(n.Args)-1])
						}
					}
				case *ast.AssignStmt:
					if id, ok := n.Lhs[0].(*ast.Ident); ok && (id.Name == "refused" || id.Name == "reason") {
						add(set, n.Rhs[0])
					}
				}
				return true
			})
		}
	}
	return reasons
}

func eachReturn(body *ast.BlockStmt, do func(ast.Expr)) bool {
	ast.Inspect(body, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok {
			for _, e := range r.Results {
				do(e)
			}
		}
		return true
	})
	return false
}
