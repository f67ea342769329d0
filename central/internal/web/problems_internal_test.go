package web

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryProblemIsExplained: the page that the types lead to has a section for
// each kind of problem with its status, in the order of the table, and no other.
func TestEveryProblemIsExplained(t *testing.T) {
	page, err := os.ReadFile("../../../docs/PROBLEMS.md")
	if err != nil {
		t.Fatal(err)
	}
	var explained []string
	for _, m := range regexp.MustCompile(`(?m)^### ([a-z_]+)\n\n(\d+): `).FindAllStringSubmatch(string(page), -1) {
		explained = append(explained, m[1]+" "+m[2])
	}
	var all []string
	for word, k := range kinds() {
		all = append(all, fmt.Sprint(word, " ", k.status))
		if k.text == "" || strings.HasSuffix(k.text, ".") {
			t.Errorf("%s: text %q", word, k.text)
		}
	}
	slices.Sort(explained)
	slices.Sort(all)
	if !slices.Equal(explained, all) {
		t.Errorf("explained: %q\nkinds:     %q", explained, all)
	}
	for _, status := range slices.Sorted(maps.Keys(map[int]bool{400: true, 404: true, 405: true, 406: true, 408: true, 413: true, 415: true, 422: true, 500: true})) {
		if got := kinds()[kindOfStatus(status)].status; got != status {
			t.Errorf("status %d is of the kind %s, which has %d", status, kindOfStatus(status), got)
		}
	}
}
