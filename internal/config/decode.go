package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// loader is the state of one Load.
type loader struct {
	file    string
	faults  []Fault
	unread  int               // how many of faults were found before Validate: their keys have no value
	origins map[string]origin // by full key: where it was set last
}

// origin is where a key was set last, and to what.
type origin struct {
	file      string
	line, col int
	value     string
	secret    bool
}

// fault returns a fault of the key at its origin.
func (o origin) fault(key string) Fault {
	return Fault{File: o.file, Line: o.line, Col: o.col, Key: key, Value: shown(o.value, o.secret)}
}

// shown returns a value as messages may show it: without a secret, and without a
// password before a host, as in tcp://user:password@host. Operators paste such
// values into the wrong key.
func shown(value string, secret bool) string {
	if secret && value != "" {
		return mask
	}
	end := strings.LastIndex(value, "@")
	if end < 0 {
		return value
	}
	if start := strings.Index(value, "://"); start >= 0 && end > start {
		return value[:start+3] + mask + value[end:]
	}
	if strings.Contains(value[:end], ":") {
		return mask + value[end:]
	}
	return value
}

// fault adds a fault at the place of a node.
func (l *loader) fault(n *yaml.Node, f Fault) {
	f.File, f.Line, f.Col = l.file, n.Line, n.Column
	l.faults = append(l.faults, f)
}

// value stores a node in v. Aliases and anchors are refused and not followed, so
// that the work is bounded by the size of the file.
func (l *loader) value(n *yaml.Node, v reflect.Value, key string, secret bool) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		l.fault(n, Fault{Key: key, Want: "anchors and aliases are refused", Hint: "write the value out"})
		return
	}
	if n.Style&yaml.TaggedStyle != 0 {
		l.fault(n, Fault{Key: key, Want: "tags are refused", Hint: "write the plain value"})
		return
	}
	if key != "" {
		l.origins[key] = origin{file: l.file, line: n.Line, col: n.Column, value: n.Value, secret: secret}
	}
	kind := v.Kind()
	if isText(v) {
		kind = reflect.String
	}
	switch kind {
	case reflect.Struct:
		l.group(n, v, key, secret)
	case reflect.Map:
		l.table(n, v, key, secret)
	case reflect.Slice:
		l.list(n, v, key, secret)
	default:
		l.scalar(n, v, key, secret)
	}
}

// group fills a struct. A group without a value is one whose lines are all
// comments: the defaults apply.
func (l *loader) group(n *yaml.Node, v reflect.Value, key string, secret bool) {
	if isNull(n) {
		return
	}
	fields := fieldsOf(v.Type())
	l.pairs(n, key, "a group of settings", secret, func(k, val *yaml.Node) {
		// Keys are compared exactly: case matters.
		f, ok := fields[k.Value]
		if !ok {
			l.fault(k, Fault{Key: join(key, k.Value), Want: "unknown key", Hint: didYouMean(k.Value, fields)})
			return
		}
		l.value(val, v.FieldByIndex(f.index), join(key, k.Value), secret || f.secret)
	})
}

// table fills a map. It replaces the default.
func (l *loader) table(n *yaml.Node, v reflect.Value, key string, secret bool) {
	if v.Type().Key().Kind() != reflect.String {
		l.fault(n, Fault{Key: key, Want: "cannot be configured: unsupported type " + v.Type().String()})
		return
	}
	v.SetZero()
	l.pairs(n, key, "a table of name: value", secret, func(k, val *yaml.Node) {
		if k.Value == "" {
			l.fault(k, Fault{Key: key, Want: "empty name"})
			return
		}
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		// A map has no addressable elements: fill a new one and store it.
		elem := reflect.New(v.Type().Elem()).Elem()
		l.value(val, elem, join(key, k.Value), secret)
		v.SetMapIndex(reflect.ValueOf(k.Value).Convert(v.Type().Key()), elem)
	})
}

// pairs calls do for each key of a mapping, once per key.
func (l *loader) pairs(n *yaml.Node, key, want string, secret bool, do func(k, val *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		l.fault(n, Fault{Key: key, Value: shown(n.Value, secret), Want: "want " + want})
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], n.Content[i+1]
		switch first := lines[k.Value]; {
		case k.Kind != yaml.ScalarNode || k.Anchor != "" || k.Style&yaml.TaggedStyle != 0:
			l.fault(k, Fault{Key: key, Want: "want a plain name as key"})
		case first > 0:
			l.fault(k, Fault{Key: join(key, k.Value), Want: "repeated key", Hint: "first in line " + strconv.Itoa(first)})
		default:
			lines[k.Value] = k.Line
			do(k, val)
		}
	}
}

// list fills a slice. It replaces the default.
func (l *loader) list(n *yaml.Node, v reflect.Value, key string, secret bool) {
	if n.Kind != yaml.SequenceNode {
		l.fault(n, Fault{Key: key, Value: shown(n.Value, secret), Want: "want a list", Hint: "each entry on a line of its own after a dash, or [a, b]"})
		return
	}
	v.SetZero()
	for i, item := range n.Content {
		elem := reflect.New(v.Type().Elem()).Elem()
		l.value(item, elem, fmt.Sprintf("%s[%d]", key, i), secret)
		v.Set(reflect.Append(v, elem))
	}
}

// scalar fills a value that is one text. Quotes around a number or a boolean are
// a fault: YAML makes a text of it, which other tools would read differently.
func (l *loader) scalar(n *yaml.Node, v reflect.Value, key string, secret bool) {
	f := Fault{Key: key, Value: shown(n.Value, secret), Want: wantOf(v)}
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	text := isText(v) || v.Kind() == reflect.String
	switch {
	case n.Kind != yaml.ScalarNode:
		f.Hint = "this is a list or a group"
		l.fault(n, f)
	case isNull(n):
		f.Value, f.Hint = "", "there is no value"
		if text {
			f.Hint = `there is no value; an empty text is ""`
		}
		l.fault(n, f)
	case quoted && !text && !isDuration(v):
		f.Hint = "without quotes"
		l.fault(n, f)
	default:
		if hint, ok := setText(v, n.Value); !ok {
			f.Hint = hintFor(hint, secret)
			l.fault(n, f)
		}
	}
}

// environment applies the variables with the prefix.
func (l *loader) environment(root reflect.Value, o Options) {
	if o.EnvPrefix == "" {
		return
	}
	for _, entry := range slices.Sorted(slices.Values(o.Environ)) {
		name, text, _ := strings.Cut(entry, "=")
		rest, ok := strings.CutPrefix(name, o.EnvPrefix)
		if !ok {
			continue
		}
		path := strings.Split(strings.ToLower(rest), "__")
		if _, own := fieldsOf(root.Type())[path[0]]; !own && isServiceLink(rest, text) {
			if o.Ignored != nil {
				o.Ignored(name)
			}
			continue
		}
		l.variable(root, "$"+name, path, text)
	}
}

// variable applies one variable; path is its key, split at two underscores. name
// is that of the variable, for faults.
func (l *loader) variable(v reflect.Value, name string, path []string, text string) {
	key, secret := "", false
	for _, step := range path {
		var fields map[string]field
		if v.Kind() == reflect.Struct && !isText(v) {
			fields = fieldsOf(v.Type())
		}
		f, ok := fields[step]
		key = join(key, step)
		if !ok {
			l.faults = append(l.faults, Fault{File: name, Key: key, Want: "unknown key", Hint: didYouMean(step, fields)})
			return
		}
		v, secret = v.FieldByIndex(f.index), secret || f.secret
	}
	l.origins[key] = origin{file: name, value: text, secret: secret}
	f := l.origins[key].fault(key)
	f.Want = wantOf(v)
	switch {
	case v.Kind() == reflect.Slice && !isText(v) && isScalar(v.Type().Elem()):
		if hint, ok := setList(v, text); !ok {
			f.Want, f.Hint = wantOf(reflect.New(v.Type().Elem()).Elem())+" between commas", hintFor(hint, secret)
			l.faults = append(l.faults, f)
		}
	case isScalar(v.Type()):
		if hint, ok := setText(v, text); !ok {
			f.Hint = hintFor(hint, secret)
			l.faults = append(l.faults, f)
		}
	default:
		f.Value, f.Want = "", "can be set in the file only"
		l.faults = append(l.faults, f)
	}
}

// hintFor drops the error of a type that could not decode a secret, which may
// quote it.
func hintFor(hint string, secret bool) string {
	if secret {
		return ""
	}
	return hint
}

// field is where a key is stored in a struct.
type field struct {
	index  []int
	secret bool
}

// fieldsOf returns the keys of a struct, including those of embedded structs.
func fieldsOf(t reflect.Type) map[string]field {
	fields := make(map[string]field, t.NumField())
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.IsExported() && name != "" && name != "-" {
			fields[name] = field{index: f.Index, secret: f.Tag.Get("secret") == "true"}
		}
	}
	return fields
}

// isNull reports whether a node has no value.
func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// isText reports whether the type decodes itself from text.
func isText(v reflect.Value) bool {
	return v.CanAddr() && v.Addr().Type().Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// join and parent compose and shorten full keys. within reports whether key is
// outer or below it.
func join(outer, key string) string {
	if outer == "" || key == "" || strings.HasPrefix(key, "[") {
		return outer + key
	}
	return outer + "." + key
}

func parent(key string) string { return key[:max(strings.LastIndexAny(key, ".["), 0)] }

func within(key, outer string) bool {
	rest, ok := strings.CutPrefix(key, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// didYouMean returns a hint with the most similar key, if one is similar: at
// most a third of its letters may differ.
func didYouMean(name string, fields map[string]field) string {
	best, least := "", max(1, len(name)/3)+1
	for _, known := range slices.Sorted(maps.Keys(fields)) {
		if d := distance(strings.ToLower(name), known); d < least {
			best, least = known, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + strconv.Quote(best) + "?"
}

// distance is the number of bytes to insert, remove, change or swap with the
// next one (optimal string alignment). Long names are cut, so that a hostile
// file needs no time.
func distance(a, b string) int {
	a = a[:min(len(a), 64)]
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			if i == 0 || j == 0 {
				rows[i][j] = i + j
				continue
			}
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
