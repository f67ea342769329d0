package ingest

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The document states of each kind of alarm what ends it, and in the column of the
// operator that it may be cleared, if it may.
func TestOperationsStatesWhatEndsEachAlarm(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(text), "\n### What ends each state\n")
	chapter, _, _ = strings.Cut(chapter, "\n### ")
	rows := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (alarms? `[^|]+) \\|([^|]+)\\|([^|]+)\\|$").FindAllStringSubmatch(chapter, -1) {
		for _, kind := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[1], -1) {
			rows[kind[1]] = row[3]
		}
	}
	kinds := AlarmKinds()
	for _, k := range kinds {
		operator, ok := rows[string(k)]
		if !ok {
			t.Errorf("no row about alarm %s", k)
		} else if cleared := strings.Contains(operator, "clearing"); cleared != (endOfAlarm(k) == "") {
			t.Errorf("alarm %s: the document states %q, the code %q", k, operator, endOfAlarm(k))
		}
		delete(rows, string(k))
	}
	for kind := range rows {
		t.Errorf("a row about alarm %s, which is none", kind)
	}
	if len(slices.Compact(slices.Sorted(slices.Values(kinds)))) != len(kinds) {
		t.Errorf("a kind twice in %v", kinds)
	}
	// A kind that is missing in AlarmKinds would be missing here.
	var constants int
	for _, file := range []string{"../../ledger/types.go", "unit.go"} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		constants += len(regexp.MustCompile(`AlarmKind\s+= "`).FindAllIndex(code, -1))
	}
	if constants != len(kinds) {
		t.Errorf("%d constants, and %d kinds in AlarmKinds", constants, len(kinds))
	}
}
