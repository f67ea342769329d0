package growth_test

import (
	"slices"
	"testing"

	"github.com/carga-ev/carga/internal/growth"
)

type part struct {
	rows  map[string]*row
	queue []any
	self  *part
}

type row struct{ spans []int }

func TestElements(t *testing.T) {
	p := &part{rows: map[string]*row{"a": {spans: []int{1, 2}}, "b": {spans: []int{3}}}, queue: []any{map[int]int{1: 1}, "x"}}
	p.self = p
	before := growth.Elements(p)
	for path, want := range map[string]int{".rows": 2, ".rows[].spans": 3, ".queue": 2, ".queue[]": 1} {
		if before[path] != want {
			t.Errorf("%s: got %d, want %d (all: %v)", path, before[path], want, before)
		}
	}
	p.rows["c"] = &row{spans: make([]int, 7)}
	after := growth.Elements(p)
	want := []string{".rows[].spans holds 10 elements, 7 more than before"}
	if got := growth.More(before, after, 1); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
