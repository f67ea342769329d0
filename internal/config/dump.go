package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Dump returns the configuration in src, a struct or a pointer to one, as YAML
// in the order of its fields. Secrets are masked. Without secrets, Load of the
// result gives the same configuration.
func Dump(src any) []byte {
	return appendGroup(nil, reflect.Indirect(reflect.ValueOf(src)), "")
}

// appendGroup writes the fields of a struct.
func appendGroup(out []byte, v reflect.Value, indent string) []byte {
	fields := fieldsOf(v.Type())
	// In the order of the fields, also of embedded structs.
	names := slices.SortedFunc(maps.Keys(fields), func(a, b string) int { return slices.Compare(fields[a].index, fields[b].index) })
	for _, name := range names {
		out = fmt.Appendf(out, "%s%s:", indent, name)
		out = appendValue(out, v.FieldByIndex(fields[name].index), indent+"  ", fields[name].secret)
	}
	return out
}

// appendValue writes what follows a colon or a dash, up to the end of its lines.
func appendValue(out []byte, v reflect.Value, indent string, secret bool) []byte {
	switch {
	// An empty secret is shown as empty: it means that there is none.
	case secret && !v.IsZero():
		return fmt.Appendf(out, " %q\n", mask)
	case isScalar(v.Type()):
		return append(append(append(out, ' '), scalarText(v)...), '\n')
	}
	switch v.Kind() {
	case reflect.Struct:
		return appendGroup(append(out, '\n'), v, indent)
	case reflect.Map:
		if v.Len() == 0 {
			return append(out, " {}\n"...)
		}
		out = append(out, '\n')
		keys := slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int {
			return strings.Compare(a.String(), b.String())
		})
		for _, k := range keys {
			out = fmt.Appendf(out, "%s%s:", indent, strconv.Quote(k.String()))
			out = appendValue(out, v.MapIndex(k), indent+"  ", false)
		}
	default:
		if v.Len() == 0 {
			return append(out, " []\n"...)
		}
		out = append(out, '\n')
		for i := range v.Len() {
			out = append(append(out, indent...), '-')
			out = appendValue(out, v.Index(i), indent+"  ", false)
		}
	}
	return out
}

// scalarText returns a scalar as YAML.
func scalarText(v reflect.Value) string {
	// The counterpart of UnmarshalText.
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		if text, err := m.MarshalText(); err == nil {
			return strconv.Quote(string(text))
		}
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return d.String()
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits())
	default:
		return strconv.Quote(v.String())
	}
}
