package archtest_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// glossary holds the table of retired words; it is the only list of them.
const glossary = "docs/GLOSSARY.md"

// changelog names what had another name before.
const changelog = "CHANGELOG.md"

// longestDocLine is the longest line of a document, in characters.
const longestDocLine = 120

// A scope is where a word is retired.
type scope string

const (
	everywhere scope = "everywhere" // identifiers, comments, texts in the code, documents
	inCode     scope = "code"       // the same without documents
	inNames    scope = "names"      // names of types, fields, functions and methods
)

// retired is a word, or a phrase of several, that the table replaces.
type retired struct {
	words []string // lower case
	where scope
	use   string // what the table puts in its place
}

// retiredWords reads the table of the glossary.
func retiredWords(doc string) (list []retired, err error) {
	for line := range strings.Lines(doc) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 {
			continue
		}
		where := scope(strings.TrimSpace(cells[2]))
		switch where {
		case everywhere, inCode, inNames:
		default:
			continue // another table, or the head of this one
		}
		for word := range strings.SplitSeq(cells[1], ",") {
			words := strings.Fields(strings.ToLower(word))
			if len(words) == 0 {
				return nil, fmt.Errorf("%s: a row without a word: %q", glossary, line)
			}
			list = append(list, retired{words, where, strings.TrimSpace(cells[0])})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no table of retired words", glossary)
	}
	return list, nil
}

// A text is what one check looks at: the words of a comment, a name, a line.
type text struct {
	at    string // file:line
	kind  scope  // everywhere for comments, texts and local names; inNames for names; "" for documents
	words []string
	shown string
	whole bool // more than one line, looked at for phrases alone
}

// in reports whether the word is retired for this text and stands in it.
func (r retired) in(t text) bool {
	if t.whole && len(r.words) == 1 {
		return false
	}
	switch r.where {
	case inNames:
		if t.kind != inNames {
			return false
		}
	case inCode:
		if t.kind == "" {
			return false
		}
	case everywhere:
	}
	for i := 0; i+len(r.words) <= len(t.words); i++ {
		if slices.Equal(t.words[i:i+len(r.words)], r.words) {
			return true
		}
	}
	return false
}

// splitWords splits prose and identifiers alike: at everything that is no
// letter, and where a capital begins a word (HTTPServer: http, server).
func splitWords(s string) (words []string) {
	var cur []rune
	flush := func() {
		if len(cur) > 0 {
			words = append(words, strings.ToLower(string(cur)))
			cur = cur[:0]
		}
	}
	runes := []rune(s)
	for i, r := range runes {
		if !unicode.IsLetter(r) {
			flush()
			continue
		}
		if unicode.IsUpper(r) && i > 0 {
			next := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if unicode.IsLower(runes[i-1]) || unicode.IsUpper(runes[i-1]) && next {
				flush()
			}
		}
		cur = append(cur, r)
	}
	flush()
	return words
}

// goTexts returns what a Go file has to read: comments, texts and names.
func goTexts(name string, src []byte) ([]text, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var all []text
	add := func(p token.Pos, kind scope, shown string) {
		all = append(all, text{at: fset.Position(p).String(), kind: kind, words: splitWords(shown), shown: shown})
	}
	for _, g := range f.Comments {
		for _, c := range g.List {
			if !strings.HasPrefix(c.Text, "//go:") {
				add(c.Pos(), everywhere, c.Text)
			}
		}
		if len(g.List) > 1 { // a phrase may run over the end of a line
			add(g.Pos(), everywhere, g.Text())
			all[len(all)-1].whole = true
		}
	}
	members := func(fields *ast.FieldList) {
		if fields == nil {
			return
		}
		for _, field := range fields.List {
			for _, id := range field.Names {
				add(id.Pos(), inNames, id.Name)
			}
		}
	}
	locals := func(fields *ast.FieldList) {
		if fields == nil {
			return
		}
		for _, field := range fields.List {
			for _, id := range field.Names {
				add(id.Pos(), everywhere, id.Name)
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.FuncDecl:
			add(x.Name.Pos(), inNames, x.Name.Name)
			locals(x.Recv)
		case *ast.FuncType:
			locals(x.Params)
			locals(x.Results)
		case *ast.TypeSpec:
			add(x.Name.Pos(), inNames, x.Name.Name)
		case *ast.StructType:
			members(x.Fields)
		case *ast.InterfaceType:
			members(x.Methods)
		case *ast.ValueSpec:
			for _, id := range x.Names {
				add(id.Pos(), everywhere, id.Name)
			}
		case *ast.AssignStmt:
			if x.Tok == token.DEFINE {
				for _, e := range x.Lhs {
					if id, ok := e.(*ast.Ident); ok {
						add(id.Pos(), everywhere, id.Name)
					}
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{x.Key, x.Value} {
				if id, ok := e.(*ast.Ident); ok {
					add(id.Pos(), everywhere, id.Name)
				}
			}
		case *ast.BasicLit:
			if x.Kind == token.STRING {
				if s, err := strconv.Unquote(x.Value); err == nil {
					add(x.Pos(), everywhere, s)
				}
			}
		}
		return true
	})
	return all, nil
}

// tableRow is a row of the table of retired words, which alone may name them.
var tableRow = regexp.MustCompile(`\|\s*(everywhere|code|names)\s*\|`)

// docTexts returns the lines of a document, and its paragraphs for phrases.
func docTexts(name string, src []byte) (all []text) {
	n := 0
	for line := range strings.Lines(string(src)) {
		n++
		if name == glossary && tableRow.MatchString(line) {
			continue
		}
		if name == changelog { // its code spans name what was renamed
			line = span.ReplaceAllString(line, "")
		}
		all = append(all, text{at: fmt.Sprintf("%s:%d", name, n), words: splitWords(line), shown: strings.TrimSpace(line)})
	}
	return all
}

// isDoc reports whether a file is read by people as it is: documents, samples
// of configuration, and the build. The sources of the page are among them, since
// half of them are texts for people. Its Spanish texts are left out: their names
// are those of the English ones.
func isDoc(name string) bool {
	if spanish.MatchString(name) {
		return false
	}
	return slices.Contains([]string{".md", ".yaml", ".yml", ".toml", ".html", ".js", ".mjs", ".ts", ".svelte", ".css", ".service"}, filepath.Ext(name)) ||
		filepath.Base(name) == "Makefile" || strings.HasPrefix(name, ".ci/")
}

var spanish = regexp.MustCompile(`/lib/es(\.\w+)?\.ts$`)

// keptWords are names that others already use, and words with another meaning;
// they are taken out before a text is checked.
func keptWords() []string {
	return []string{
		`"holes"`,                                // the gaps of exported settings, in files of earlier versions
		"border-box", "box-sizing", "box-shadow", // CSS
		"viewBox", "boundingBox", // SVG and Playwright
		"high-water", "highWater", "HighWater", "low-water", // Kafka's term for a level; the word alone stays retired
		`"hole"`, // kind of an alarm and of a line of the ledger hash, in databases of earlier versions
		"LIAR_",  // in ids that seed random sources of sim/world: another id would change every recorded run
	}
}

// words lists what in a file is retired, one line for each place.
func words(name string, src []byte, list []retired) (broken []string) {
	for _, kept := range keptWords() {
		src = []byte(strings.ReplaceAll(string(src), kept, strings.Repeat("_", len(kept))))
	}
	var texts []text
	switch {
	case strings.HasSuffix(name, ".go"):
		var err error
		if texts, err = goTexts(name, src); err != nil {
			return []string{err.Error()}
		}
	case isDoc(name):
		texts = docTexts(name, src)
	}
	for part := range strings.SplitSeq(filepath.ToSlash(name), "/") {
		texts = append(texts, text{at: name, kind: inNames, words: splitWords(strings.TrimSuffix(part, filepath.Ext(part))), shown: "the name of the file"})
	}
	for _, t := range texts {
		for _, r := range list {
			if r.in(t) {
				broken = append(broken, fmt.Sprintf("%s: %q is retired: use %s: %.100s", t.at, strings.Join(r.words, " "), r.use, t.shown))
			}
		}
	}
	return broken
}

// longLines lists the lines of a document that are too long to read.
func longLines(name string, src []byte) (broken []string) {
	n := 0
	for line := range strings.Lines(string(src)) {
		n++
		if length := utf8.RuneCountInString(strings.TrimRight(line, "\n")); length > longestDocLine {
			broken = append(broken, fmt.Sprintf("%s:%d: %d characters: no line of a document is longer than %d", name, n, length, longestDocLine))
		}
	}
	return broken
}

// TestWords keeps the retired words of the glossary out of code and documents.
// CARGA_WORDS=path,path checks these paths alone.
func TestWords(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, glossary))
	if err != nil {
		t.Fatal(err)
	}
	list, err := retiredWords(string(doc))
	if err != nil {
		t.Fatal(err)
	}
	only := strings.FieldsFunc(os.Getenv("CARGA_WORDS"), func(r rune) bool { return r == ',' })
	under := func(dir, name string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", ".cache", ".demo", ".engines", "bin", "node_modules", "testdata", "migrations", "dist":
				return fs.SkipDir
			}
			return nil
		}
		in := func(dir string) bool { return under(dir, name) }
		if len(only) > 0 && !slices.ContainsFunc(only, in) {
			return nil
		}
		if name == "internal/archtest/words_test.go" || !strings.HasSuffix(name, ".go") && !isDoc(name) {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		report(t, words(name, src, list))
		if filepath.Ext(name) == ".md" {
			report(t, longLines(name, src))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestWordsAreSeen plants a retired word in each place that is checked, and
// beside it what is allowed there.
func TestWordsAreSeen(t *testing.T) {
	list, err := retiredWords("| a, b | tell, tells | everywhere | because |\n| it | who | code | b |\n| read | take | names | b |\n| heartbeat | sign of life | everywhere | b |\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, name, src string
		want            int
	}{
		{"a comment", "a.go", "package a\n\n// X tells.\ntype X int\n", 1},
		{"a phrase over two lines", "a.go", "package a\n\n// X is a sign\n// of life.\ntype X int\n", 1},
		{"a type", "a.go", "package a\n\ntype TellAll int\n", 1},
		{"a method", "a.go", "package a\n\nfunc (x X) take() {}\n", 1},
		{"a field", "a.go", "package a\n\ntype X struct{ take int }\n", 1},
		{"a method of an interface", "a.go", "package a\n\ntype X interface{ Take() }\n", 1},
		{"a local name", "a.go", "package a\n\nfunc x() { tellAll := 1 }\n", 1},
		{"a parameter", "a.go", "package a\n\nfunc x(tell int) {}\n", 1},
		{"a text", "a.go", "package a\n\nconst x = \"it tells\"\n", 1},
		{"the key of a message", "a.go", "package a\n\nconst x = `{\"tell_me\":1}`\n", 1},
		{"a person in a comment", "a.go", "package a\n\n// X is who.\ntype X int\n", 1},
		{"a line of a document", "a.md", "It tells.\n", 1},
		{"a source of the page", "a.svelte", "<p>It tells.</p>\n", 1},
		{"a text of the page", "ui/src/lib/en.ts", "x: 'It tells.',\n", 1},
		{"a Spanish text of the page", "ui/src/lib/es.ts", "x: 'Lo tell guardado.',\n", 0},
		{"the name of a file", "tell.go", "package a\n", 1},
		{"a word of names as a local name", "a.go", "package a\n\nfunc x() { take := 1 }\n", 0},
		{"a word of names in a comment", "a.go", "package a\n\n// X may take long.\ntype X int\n", 0},
		{"a person in a document", "a.md", "The person who reads.\n", 0},
		{"a longer word", "a.go", "package a\n\n// Intellect.\ntype Storyteller int\n", 0},
	} {
		if got := words(c.name, []byte(c.src), list); len(got) != c.want {
			t.Errorf("%s: %d found, want %d: %v", c.what, len(got), c.want, got)
		}
	}
	if got := longLines("a.md", []byte(strings.Repeat("é", longestDocLine)+"\n"+strings.Repeat("a", longestDocLine+1)+"\n")); len(got) != 1 {
		t.Errorf("long lines: %v", got)
	}
	if _, err := retiredWords("no table"); err == nil {
		t.Error("a glossary without the table passes")
	}
}
