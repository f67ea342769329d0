package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
)

// mismatch explains to the sender of a message why a field cannot be read, without
// the words of this program.
func mismatch(e *json.UnmarshalTypeError) string {
	kind, number, _ := strings.Cut(e.Value, " ")
	is, known := map[string]string{
		"string": "a text", "number": "a number", "bool": "true or false", "object": "an object", "array": "a list",
	}[kind]
	if !known || number != "" && kind != "number" {
		return e.Value // of charge.Time, charge.Epoch and Seconds: the whole reason
	}
	if number != "" {
		is = fmt.Sprintf("the number %.40s", number)
	}
	return "is " + is + "; " + expected(e.Type) + " is expected"
}

// expected describes what a field of a type holds.
func expected(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[charge.Time]():
		return `a text as "2026-11-22T10:00:00.000Z"`
	case reflect.TypeFor[charge.Epoch]():
		return "the text of an epoch"
	}
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number from 0"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "another value"
}
