package web_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/need"
)

// The page writes money in the currency of the ticket or session, with the
// decimals that Central writes, and durations exactly.
func TestThePageWritesValuesExactly(t *testing.T) {
	t.Parallel()
	node := need.Program(t, "node", "apt-get install nodejs")
	rows := []struct{ call, want string }{
		{`money("3.42", "EUR", "en")`, "€3.42"},
		{`money("11.82", "HRK", "en")`, "HRK 11.82"},
		{`money("342", "JPY", "en")`, "¥342"},
		{`money("3.420", "KWD", "en")`, "KWD 3.420"},
		{`money("12.50", "RSD", "en")`, "RSD 12.50"}, // two decimals by ISO 4217, none in the tables of browsers
		{`money("90071992547409.93", "EUR", "en")`, "€90,071,992,547,409.93"},
		{`duration(7140)`, "1 h 59 min"},
		{`duration(7199)`, "1 h 59 min 59 s"},
		{`duration(131)`, "2 min 11 s"},
		{`duration(3600)`, "1 h"},
		{`duration(90061)`, "1 d 1 h 1 min 1 s"},
		{`duration(59)`, "59 s"},
		{`duration(0)`, "0 s"},
		{`duration(-5)`, "0 s"},
		{`age(7199999)`, "1 h 59 min"},
		{`age(59999)`, "59 s"},
		{`age(86400000 * 3 + 5000)`, "3 d"},
		{`kWh(1830)`, "1.830 kWh"},
	}
	var calls []string
	for _, r := range rows {
		calls = append(calls, r.call)
	}
	program := `const fs = require("fs"); const vm = require("vm");
vm.runInThisContext(fs.readFileSync("ui/format.js", "utf8"));
console.log(JSON.stringify(vm.runInThisContext("[" + process.argv[1] + "]")));`
	out, err := exec.CommandContext(t.Context(), node, "-e", program, strings.Join(calls, ",")).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := json.Unmarshal(out, &got); err != nil || len(got) != len(rows) {
		t.Fatalf("%v: %s", err, out)
	}
	for i, r := range rows {
		if g := strings.ReplaceAll(got[i], "\u00a0", " "); g != r.want {
			t.Errorf("%s: got %q, want %q", r.call, g, r.want)
		}
	}
}
