package logs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/logs"
)

// A Tail has the last whole lines, and never much more than its size.
func TestTail(t *testing.T) {
	t.Parallel()
	tail := logs.NewTail(20)
	if got := tail.Bytes(); len(got) != 0 {
		t.Errorf("empty: %q", got)
	}
	for n := range 100 {
		_, _ = fmt.Fprintf(tail, "line %03d\n", n)
		if got := string(tail.Bytes()); len(got) > 20 || !strings.HasSuffix(got, fmt.Sprintf("line %03d\n", n)) || !strings.HasPrefix(got, "line ") {
			t.Fatalf("after line %d: %q", n, got)
		}
	}
	if got := string(tail.Bytes()); got != "line 098\nline 099\n" {
		t.Errorf("got %q", got)
	}
	_, _ = fmt.Fprintln(tail, strings.Repeat("x", 50))
	if got := tail.Bytes(); len(got) != 0 {
		t.Errorf("a line that is longer: %q", got)
	}
}
