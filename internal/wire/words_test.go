package wire_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"testing"

	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// ofGo matches what an error would have from Go: names of packages, of types and of
// functions.
var ofGo = regexp.MustCompile(`\b(charge|wire|json|strconv|time|money|reflect)\.|json:|\bu?int(\d+)?\b|\bfloat64\b|\bstruct\b|\bbool\b|\bstring\b|\bmap\b|(?i:unmarshal)|strconv|^\S+: \S+ (number|object|array|null)$`)

// replaced returns a JSON value once for each value in it, with that one replaced.
func replaced(v, by any) (all []any) {
	all = append(all, by)
	switch v := v.(type) {
	case map[string]any:
		for key, is := range v {
			for _, other := range replaced(is, by) {
				one := map[string]any{}
				maps.Copy(one, v)
				one[key] = other
				all = append(all, one)
			}
		}
	case []any:
		for i, is := range v {
			for _, other := range replaced(is, by) {
				one := append([]any(nil), v...)
				one[i] = other
				all = append(all, one)
			}
		}
	}
	return all
}

// TestErrorsHaveNoWordsOfGo: whatever stands in any field of any message, the reason
// names the field and what is expected in plain words.
func TestErrorsHaveNoWordsOfGo(t *testing.T) {
	refused := 0
	for _, s := range samples(t) {
		raw, err := s.value.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		for _, by := range []any{"", "x", 5, -1, 1.5, 1e30, true, map[string]any{}, map[string]any{"a": 1}, []any{}, []any{1, "x"}, nil, []any{nil}} {
			for _, other := range replaced(v, by) {
				text, err := json.Marshal(other)
				if err != nil {
					t.Fatal(err)
				}
				back, err := s.decode(text)
				if err == nil {
					switch back := back.(type) {
					case *wire.Record:
						_, err = back.Payload()
					case *wire.Command:
						_, err = back.Order()
					}
				}
				if err == nil {
					continue
				}
				refused++
				if why := wire.Why(err); why.String() != err.Error() || !why.Known() || why.Code == reason.Reported {
					t.Errorf("%s: the reason of %v is %+v, in words %s", s.name, err, why, why)
				}
				if ofGo.MatchString(err.Error()) {
					t.Errorf("%s: %v, of %v in %s", s.name, err, fmt.Sprintf("%#v", by), text)
				}
			}
		}
	}
	if refused < 1000 {
		t.Errorf("%d messages are refused only", refused)
	}
}
