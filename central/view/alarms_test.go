package view_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
)

// The document states of each kind of alarm what ends it, and in the column of the
// operator that it may be cleared, if it may.
func TestOperationsStatesWhatEndsEachAlarm(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
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
	kinds := view.AlarmKinds()
	for _, k := range kinds {
		operator, ok := rows[string(k)]
		if !ok {
			t.Errorf("no row about alarm %s", k)
		} else if cleared := strings.Contains(operator, "clearing"); cleared != (view.EndOf(k) == view.EndClear) {
			t.Errorf("alarm %s: the document states %q, the code %q", k, operator, view.EndOf(k))
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
	for _, file := range []string{"../ledger/types.go", "alarms.go"} {
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

// An open alarm states what ends it, and one that is over nothing.
func TestAnOpenAlarmStatesWhatEndsIt(t *testing.T) {
	t.Parallel()
	for kind, want := range map[ledger.AlarmKind]view.AlarmEnd{ledger.AlarmGap: view.EndExplain, view.AlarmPart: view.EndItself, view.AlarmDeadLetter: view.EndClear} {
		if got := view.AlarmOf(7, &ledger.Alarm{Kind: kind}); got.State != view.AlarmOpen || got.EndedBy != want {
			t.Errorf("%s: got %+v, want %s", kind, got, want)
		}
		if got := view.AlarmOf(7, &ledger.Alarm{Kind: kind, Cleared: true}); got.State != view.AlarmCleared || got.EndedBy != "" {
			t.Errorf("%s, over: got %+v", kind, got)
		}
	}
}
