package names_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/names"
	"github.com/carga-ev/carga/internal/charge"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for name, why := range map[string]string{ // "" is one driver, another word stands in the reason
		"driver1": "", "Ana": "", "ana@example.org": "", "José": "", "O'Neil": "", "ana maria": "", "123": "", "1a": "", "-": "", "a_b-c.d+e#f": "",
		"محمد": "", "אבג": "", "日本": "", "l·l": "", strings.Repeat("a", 64): "",

		"": "empty", " ": "empty", "   ": "empty", strings.Repeat("a", 65): "65 bytes", "a\xff": "UTF-8", "a\uFFFD": "UTF-8",
		" ana": "blank", "ana ": "blank", "ana  maria": "blank",
		"\u00a0": "blank U+00A0", "\u3000": "blank U+3000", "\u2003ana": "blank U+2003", "ana\u2028": "U+2028",
		"ana\n": "control character U+000A", "ana\x00": "control character U+0000", "ana\x7f": "control character U+007F", "ana\u0085": "control character U+0085", "ana\u009b": "control character U+009B",
		"\u202eana": "invisible character U+202E", "ana\u2066": "invisible character U+2066", "ana\u200f": "invisible character U+200F", "ana\u061c": "U+061C",
		"ana\u200b": "invisible character U+200B", "ana\u200c": "invisible character U+200C", "ana\u200d": "invisible character U+200D", "\ufeffana": "U+FEFF", "an\u00ada": "U+00AD", "ana\u2060": "U+2060", "ana\u034f": "U+034F",
		"Jose\u0301": "[U+0065 U+0301] where its normal form (NFC, no letters of full width) has U+00E9", "ＡＮＡ": "has U+0041", "\u212angstr": "has U+004B", "ﬁn": "U+FB01", "🚗": "U+1F697", "①": "U+2460",
		"aא": "directions", "א1x": "directions", "ana\U000e0041": "U+E0041", "ana\ufe0f": "U+FE0F", "ana\u3164": "U+3164",
	} {
		err := names.Check(name)
		switch {
		case why == "" && err != nil:
			t.Errorf("%+q is refused: %v", name, err)
		case why != "" && (err == nil || !strings.Contains(err.Error(), why)):
			t.Errorf("%+q: got %v, want a reason with %q", name, err, why)
		}
	}
}

// What may name a driver can be published on central-events, and the reason why
// something may not is readable whatever was written.
func TestAnyString(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~\x{80}-\x{9f}\x{200b}-\x{202e}é]{0,10}`)).Draw(t, "name")
		err := names.Check(s)
		if err == nil && !charge.ValidName(s) {
			t.Fatalf("%+q may name a driver, and cannot be published", s)
		}
		if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("the reason is not plain: %+q", err.Error())
		}
	})
}
