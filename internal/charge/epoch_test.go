package charge_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/charge"
)

// TestEpochOrder is the order that docs/PROTOCOL.md defines, lowest first.
func TestEpochOrder(t *testing.T) {
	want := []string{
		"",
		"0199c2a0-1111-7000-8000-000000000001",
		"0199c2a0-1111-7000-8000-000000000002",
		"fffffff0-1111-7fff-bfff-ffffffffffff", // of the year 10889
		"1-0000000000000000",
		"1-ffffffffffffffff",
		"9-0000000000000000",
		"10-0000000000000000",
		"1000000000000-ffffffffffffffff",
	}
	var all []charge.Epoch
	for _, s := range want {
		var e charge.Epoch
		if err := e.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if e.String() != s || e.IsZero() != (s == "") {
			t.Errorf("%q is read as %q", s, e)
		}
		if b, err := e.MarshalText(); err != nil || string(b) != s {
			t.Errorf("%q is written as %q, %v", s, b, err)
		}
		all = append(all, e)
	}
	if !slices.IsSortedFunc(all, charge.Epoch.Compare) {
		t.Errorf("%v is not in its order", all)
	}
	for i := range all[1:] {
		if !all[i].Less(all[i+1]) || all[i+1].Less(all[i]) || all[i].Less(all[i]) {
			t.Errorf("%s is not below %s", all[i], all[i+1])
		}
	}
	if got := charge.Highest(all[3], all[8], all[5]); got != all[8] {
		t.Errorf("the highest is %s, want %s", got, all[8])
	}
	if got := charge.Highest(); !got.IsZero() {
		t.Errorf("the highest of none is %s", got)
	}
}

func TestEpochThatIsNone(t *testing.T) {
	for _, s := range []string{
		"0", "12", "12-", "-0123456789abcdef", "0-0123456789abcdef", "01-0123456789abcdef", "+1-0123456789abcdef", "1-0123456789ABCDEF",
		"1-0123456789abcde", "1-0123456789abcdef0", "1000000000001-0123456789abcdef", "99999999999999999999-0123456789abcdef",
		"1--123456789abcdef", " 1-0123456789abcdef", "CENTRAL_1", "0199C2A0-1111-7000-8000-000000000001",
		"0199c2a0-1111-4000-8000-000000000001", "0199c2a0-1111-7000-c000-000000000001", "0199c2a011117000800000000000000100000",
	} {
		if e, err := charge.ParseEpoch(s); err == nil {
			t.Errorf("%q is read as %s", s, e)
		}
		var m struct {
			Central charge.Epoch `json:"central"`
		}
		err := json.Unmarshal([]byte(`{"central":"`+s+`"}`), &m)
		if err == nil || !strings.Contains(err.Error(), "central") {
			t.Errorf("%q: got %v, want an error that names the field", s, err)
		}
	}
	if b, err := (charge.Epoch{Number: charge.MaxEpochNumber + 1, Run: "0123456789abcdef"}).MarshalText(); err == nil {
		t.Errorf("beyond the end, %s was written", b)
	}
}

func FuzzParseEpoch(f *testing.F) {
	f.Add("12-7f3a9c01d2e4b6a8")
	f.Add("0199c2a0-1111-7000-8000-000000000001")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := charge.ParseEpoch(s)
		if err == nil && (e.String() != s || !charge.ValidID(s) || e.IsZero()) {
			t.Errorf("%q is read as %#v", s, e)
		}
	})
}
