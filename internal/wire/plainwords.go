package wire

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// mismatch returns what is wrong with a field that cannot be read, without the words of
// this program.
func mismatch(e *json.UnmarshalTypeError) reason.Wrong {
	code := expected(e.Type)
	//nolint:exhaustive // those that expected returns and that have values
	switch code {
	case reason.NotSeconds:
		return notSeconds(e.Value)
	case reason.NotKWh, reason.NotAmount:
		return reason.Wrong{Code: code, Value: e.Value}
	case reason.NotEpoch:
		return notEpoch(text(e.Value))
	case reason.NotTime:
		return reason.Wrong{Code: code, Value: text(e.Value)}
	}
	return reason.Wrong{Code: code}
}

// text returns the text that charge.Time and charge.Epoch refuse, which stands in
// quotation marks. Of what is no text, encoding/json has the kind alone.
func text(value string) string {
	if !strings.HasPrefix(value, `"`) {
		return "…"
	}
	return value
}

// expected returns the code that names what a field of a type holds.
func expected(t reflect.Type) reason.Code {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[charge.Time]():
		return reason.NotTime
	case reflect.TypeFor[charge.Epoch]():
		return reason.NotEpoch
	case reflect.TypeFor[Seconds]():
		return reason.NotSeconds
	case reflect.TypeFor[KWh]():
		return reason.NotKWh
	case reflect.TypeFor[Money]():
		return reason.NotAmount
	}
	switch t.Kind() {
	case reflect.String:
		return reason.NotText
	case reflect.Bool:
		return reason.NotBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return reason.NotWhole
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return reason.NotNatural
	case reflect.Slice, reflect.Array:
		return reason.NotList
	case reflect.Struct, reflect.Map:
		return reason.NotObject
	}
	return reason.NotExpected
}
