package point

import (
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// notInSnapshot are the fields of State that a snapshot leaves out: they are empty
// between two steps, or of planted bugs.
var notInSnapshot = []string{"State.startedAt", "State.now", "State.opening", "State.effects", "disk.early"}

// TestSnapshotHasEveryField: a field that is added to the state and not to its
// snapshot would make a replay differ much later. Here it is named.
func TestSnapshotHasEveryField(t *testing.T) {
	s := &State{}
	fill(t, reflect.ValueOf(s).Elem(), "State")
	got := Resume(s.Snapshot())
	differences(t, reflect.ValueOf(s).Elem(), reflect.ValueOf(got).Elem(), "State")
}

// fill sets every field to something that is not its zero value.
func fill(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem() // fields that are not exported too
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), v.Type().Name()+"."+v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*delivery.Commands]() {
			v.Set(reflect.ValueOf(delivery.RestoreCommands("1", "1", delivery.CommandsSnapshot{KnownIDs: []charge.CommandID{"c"}})))
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), path)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), path)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Interface:
		if v.Type() == reflect.TypeFor[wire.Payload]() {
			v.Set(reflect.ValueOf(&wire.PluggedIn{}))
		}
	case reflect.String:
		v.SetString("1")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint64:
		v.SetUint(1)
	default:
		t.Fatalf("%s is a %s; extend this test", path, v.Kind())
	}
}

// differences names the fields in which two states differ.
func differences(t *testing.T, want, got reflect.Value, path string) {
	t.Helper()
	for i := range want.NumField() {
		name := path + "." + want.Type().Field(i).Name
		switch a, b := want.Field(i), got.Field(i); {
		case slices.Contains(notInSnapshot, name):
		case a.Type() == reflect.TypeFor[disk]():
			differences(t, a, b, "disk")
		default:
			a, b = reflect.NewAt(a.Type(), unsafe.Pointer(a.UnsafeAddr())).Elem(), reflect.NewAt(b.Type(), unsafe.Pointer(b.UnsafeAddr())).Elem()
			if !reflect.DeepEqual(a.Interface(), b.Interface()) {
				t.Errorf("%s is not in Snapshot and Resume: %+v became %+v", name, a, b)
			}
		}
	}
}
