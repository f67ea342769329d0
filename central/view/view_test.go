package view_test

import (
	"reflect"
	"testing"

	"github.com/carga-ev/carga/central/view"
)

// Every field is a state or one of the numbers that are named here: a field that is
// added to neither would never be sent when it changes.
func TestEachFieldIsAStateOrANumber(t *testing.T) {
	t.Parallel()
	check := func(v any, numbers map[string]bool, same func(any) bool) {
		typ := reflect.TypeOf(v)
		for i := range typ.NumField() {
			field := typ.Field(i)
			changed := reflect.New(typ)
			switch f := changed.Elem().Field(i); f.Kind() {
			case reflect.String:
				f.SetString("x")
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Struct:
				f.Field(0).SetString("x")
			case reflect.Slice:
				f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			default:
				f.SetInt(7)
			}
			if got := same(changed.Interface()); got != numbers[field.Name] {
				t.Errorf("%s.%s: is not noticed when it changes: %v", typ.Name(), field.Name, got)
			}
		}
	}
	check(view.CP{}, map[string]bool{"LastSeenAt": true, "Unacked": true, "Connectors": true},
		func(v any) bool { return v.(*view.CP).SameState(&view.CP{}) })
	check(view.Connector{}, map[string]bool{"Power": true, "Register": true, "Energy": true, "Cost": true, "ValuesAt": true},
		func(v any) bool { return v.(*view.Connector).SameState(&view.Connector{}) })
}
