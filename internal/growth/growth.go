// Package growth counts what a value keeps in memory, for tests that run a program
// through years of simulated time and assert that nothing grows with history.
package growth

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Elements counts the elements of all maps, slices and channels that can be
// reached from v, by path: names of fields, with [] for an element of a slice or
// a map. Pointers are followed once; unexported fields count, too. v must not
// change meanwhile.
func Elements(v any) map[string]int {
	w := walk{counts: map[string]int{}, seen: map[visit]bool{}}
	w.value("", reflect.ValueOf(v))
	return w.counts
}

// More returns, as text, the paths at which after has more than limit elements
// more than before, the largest growth first.
func More(before, after map[string]int, limit int) []string {
	type grown struct {
		path    string
		by, now int
	}
	var all []grown
	for path, n := range after {
		if by := n - before[path]; by > limit {
			all = append(all, grown{path, by, n})
		}
	}
	slices.SortFunc(all, func(a, b grown) int {
		if a.by != b.by {
			return b.by - a.by
		}
		return strings.Compare(a.path, b.path)
	})
	lines := make([]string, 0, len(all))
	for _, g := range all {
		lines = append(lines, fmt.Sprintf("%s holds %d elements, %d more than before", g.path, g.now, g.by))
	}
	return lines
}

// visit identifies a pointer or a map that was counted. The type belongs to it:
// a struct and its first field have the same address.
type visit struct {
	at uintptr
	of reflect.Type
}

// walk is the state of one Elements: the counts so far, and what was counted.
type walk struct {
	counts map[string]int
	seen   map[visit]bool
}

// value counts v and all it contains.
func (w *walk) value(path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		k := visit{v.Pointer(), v.Type()}
		if !v.IsNil() && !w.seen[k] {
			w.seen[k] = true
			w.value(path, v.Elem())
		}
	// The value in an interface has the path of the field.
	case reflect.Interface:
		if !v.IsNil() {
			w.value(path, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			w.value(path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Map:
		k := visit{v.Pointer(), v.Type()}
		if v.IsNil() || w.seen[k] {
			return
		}
		w.seen[k] = true
		w.counts[path] += v.Len()
		for it := v.MapRange(); it.Next(); {
			w.value(path+"[]", it.Value())
		}
	// The elements of an array are part of its type and do not grow.
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice {
			w.counts[path] += v.Len()
		}
		// Elements without elements of their own need not be visited.
		if leaf(v.Type().Elem()) {
			return
		}
		for i := range v.Len() {
			w.value(path+"[]", v.Index(i))
		}
	// The values in a channel cannot be read without receiving them.
	case reflect.Chan:
		w.counts[path] += v.Len()
	}
}

// leaf reports whether values of the type contain no others.
func leaf(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Struct, reflect.Map, reflect.Slice, reflect.Array, reflect.Chan:
		return false
	}
	return true
}
