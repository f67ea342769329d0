package haltest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/carga-ev/carga/hal/haltest"
)

// recorder is a test that remembers how it failed.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func TestChipFailsWhatTheDriverWouldHide(t *testing.T) {
	for name, tc := range map[string]struct {
		output bool
		do     func(*haltest.Lines)
		want   string // "" is no failure
	}{
		"an output is read back": {true, func(l *haltest.Lines) {
			_ = l.Out(0, 1)
			_, _ = l.Read(1)
		}, "read of the outputs"},
		"halt in place of a write":  {true, func(l *haltest.Lines) { _ = l.Out(0, 1); _ = l.Halt() }, "halt"},
		"released while on":         {true, func(l *haltest.Lines) { _ = l.Out(1, 1) }, "released while switched on"},
		"released without a write":  {true, func(*haltest.Lines) {}, "without an explicit write"},
		"an empty mask":             {true, func(l *haltest.Lines) { _ = l.Out(0, 1); _ = l.Out(0, 0) }, "empty mask"},
		"a mask beyond the set":     {true, func(l *haltest.Lines) { _ = l.Out(0, 1); _ = l.Out(0, 2) }, "beyond"},
		"an input is written":       {false, func(l *haltest.Lines) { _ = l.Out(1, 1) }, "write of the inputs"},
		"used after close":          {false, func(l *haltest.Lines) { _ = l.Close(); _, _ = l.Read(1) }, "closed lines"},
		"an output switched off":    {true, func(l *haltest.Lines) { _ = l.Out(1, 1); _ = l.Out(0, 1) }, ""},
		"an input read":             {false, func(l *haltest.Lines) { _, _ = l.Read(1) }, ""},
		"released twice, once good": {false, func(l *haltest.Lines) { _ = l.Close() }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{TB: t}
			lines, err := haltest.NewChip(r, "GPIO17").Request(tc.output, "GPIO17")
			if err != nil {
				t.Fatal(err)
			}
			tc.do(lines)
			_ = lines.Close()
			switch got := strings.Join(r.failures, "\n"); {
			case tc.want == "" && got != "":
				t.Errorf("failed with %q", got)
			case !strings.Contains(got, tc.want):
				t.Errorf("got %q; want one with %q", got, tc.want)
			}
		})
	}
}

func TestChipLinesAreRequestedOnce(t *testing.T) {
	c := haltest.NewChip(t, "GPIO17")
	if _, err := c.Request(false, "GPIO17"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Request(false, "GPIO17"); err == nil {
		t.Error("a line was taken twice")
	}
	if _, err := c.Request(false, "GPIO99"); err == nil {
		t.Error("a line that is not there was taken")
	}
}
