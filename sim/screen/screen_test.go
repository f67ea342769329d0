package screen_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/screen"
)

// terminal drives a screen of n points as the shell does, and answers each Read with
// what is in points.
type terminal struct {
	state    screen.State
	points   map[int]screen.Point
	operated []string // "NUMBER WORDS"
	read     int      // points that were read
	quit     bool
}

var ids = func(n int) []charge.CPID {
	all := make([]charge.CPID, n)
	for i := range all {
		all[i] = charge.CPID(fmt.Sprintf("CP_%04d", i+1))
	}
	return all
}

func open(n int) *terminal {
	w := &terminal{state: screen.New(ids(n), []charge.Fault{charge.FaultGroundFault, charge.FaultMeter}), points: map[int]screen.Point{}}
	w.step(screen.Resized{Width: 80, Height: 14}) // 10 rows
	w.step(screen.Ticked{})
	return w
}

func (w *terminal) step(e screen.Event) {
	var effects []screen.Effect
	w.state, effects = w.state.Step(e)
	for _, f := range effects {
		switch f := f.(type) {
		case screen.Read:
			seen := screen.Seen{Points: map[int]screen.Point{}}
			for _, n := range f.Points {
				seen.Points[n] = w.points[n]
				w.read++
			}
			if f.Totals {
				seen.Totals = "the totals"
			}
			w.step(seen)
		case screen.Operate:
			w.operated = append(w.operated, fmt.Sprint(f.Point+1, " ", f.Words))
			w.step(screen.Done{Operate: f})
		case screen.Quit:
			w.quit = true
		}
	}
}

// press presses keys, given as words.
func (w *terminal) press(keys string) {
	for key := range strings.FieldsSeq(keys) {
		w.step(screen.Key(key))
	}
}

// lines returns the screen without styles.
func (w *terminal) lines() []string { return strings.Split(ansi.Strip(w.state.View()), "\n") }

// selected returns the line of the selected point, which is reversed.
func (w *terminal) selected() string {
	for line := range strings.SplitSeq(w.state.View(), "\n") {
		if strings.HasPrefix(line, "\x1b[7m") {
			return ansi.Strip(line)
		}
	}
	return ""
}

func want(t *testing.T, what, got, part string) {
	t.Helper()
	if !strings.Contains(got, part) {
		t.Errorf("%s: got %q, want %q in it", what, got, part)
	}
}

func TestATableShowsEachPoint(t *testing.T) {
	w := open(3)
	at := time.Date(2026, 11, 30, 12, 3, 4, 0, time.Local)
	w.points = map[int]screen.Point{
		0: {Status: charge.StatusCharging, Plugged: true, Driver: "anna", Power: 86_150, Session: true, Energy: 1_041, Unacked: 2, Linked: true, Since: at},
		1: {Status: charge.StatusFaulted, Since: at, Reason: "connection refused", Faults: []charge.Fault{charge.FaultMeter}},
	}
	w.step(screen.Ticked{})
	got := w.lines()
	for i, line := range []string{
		"the totals",
		"ID      State          Driver             kW      kWh Un-acked Link since",
		"CP_0001 charging       anna             86.1    1.041        2 up   12:03:04",
		"CP_0002 faulted                          0.0                 0 down 12:03:04",
		"CP_0003 starting                         0.0                 0 down 00:00:00",
	} {
		if strings.TrimRight(got[i], " ") != line {
			t.Errorf("line %d: got %q, want %q", i, got[i], line)
		}
	}
	want(t, "details", got[12], "CP_0001: plugged in")
	w.press("down")
	want(t, "details", w.lines()[12], "CP_0002: no vehicle, meter_failed, connection refused")
}

func TestKeysOperateTheSelectedPoint(t *testing.T) {
	w := open(30)
	w.press("down j p u r t 0 4 A 1 enter f down enter f esc k ? p p")
	got := strings.Join(w.operated, ", ")
	if got != "3 plug, 3 unplug, 3 repair, 3 tap 04A1, 3 fault meter_failed, 2 plug" {
		t.Errorf("operated: %s", got)
	}
	want(t, "last line", w.lines()[13], "CP_0002: plug: done")
	w.step(screen.Done{Operate: screen.Operate{Point: 4, Words: "plug"}, Err: "a vehicle is plugged in already"})
	want(t, "last line", w.lines()[13], "CP_0005: plug: a vehicle is plugged in already")
	if w.quit {
		t.Error("quit too early")
	}
	if w.press("q"); !w.quit {
		t.Error("q does not quit")
	}
}

func TestCtrlCQuitsEverywhere(t *testing.T) {
	for _, keys := range []string{"ctrl+c", "/ ctrl+c", "t ctrl+c", "f ctrl+c", "? ctrl+c"} {
		w := open(3)
		if w.press(keys); !w.quit {
			t.Errorf("%s does not quit", keys)
		}
	}
}

func TestTheCardIsKeptForTheNextTap(t *testing.T) {
	w := open(3)
	w.press("t 0 4 A backspace B enter down t enter t esc t enter")
	if got := strings.Join(w.operated, ", "); got != "1 tap 04B, 2 tap 04B, 2 tap" {
		t.Errorf("operated: %s", got)
	}
}

func TestTheTableScrolls(t *testing.T) {
	w := open(500)
	w.press("end")
	want(t, "selected", w.selected(), "CP_0500")
	want(t, "first row", w.lines()[2], "CP_0491")
	want(t, "position", w.lines()[13], "500/500")
	w.press("pgup up")
	want(t, "first row", w.lines()[2], "CP_0489")
	w.press("home")
	want(t, "selected", w.selected(), "CP_0001")
	w.press("down down down")
	w.step(screen.Resized{Width: 80, Height: 5})
	want(t, "selected in one row", w.lines()[2], "CP_0004")
}

func TestSearch(t *testing.T) {
	w := open(500)
	w.press("end / c p _ 0 0 4")
	if got := w.lines(); !strings.HasPrefix(got[2], "CP_0040") || !strings.HasPrefix(got[11], "CP_0049") {
		t.Errorf("got %q to %q", got[2], got[11])
	}
	w.press("enter down p")
	want(t, "operated", strings.Join(w.operated, ", "), "41 plug")
	w.press("esc") // the selected one stays selected
	want(t, "selected", w.selected(), "CP_0041")
	w.press("/ x p enter p t f")
	want(t, "nothing found", w.lines()[2], "no id contains xp")
	if len(w.operated) != 1 {
		t.Errorf("operated without a point: %v", w.operated)
	}
}

func TestOnlyWhatIsInViewIsRead(t *testing.T) {
	w := open(500)
	w.read = 0
	for range 60 {
		w.step(screen.Ticked{})
	}
	w.press("end")
	if w.read != 61*10 {
		t.Errorf("%d points were read in a minute and after a jump, want 10 each time", w.read)
	}
}

// A narrow terminal shows the most important columns, and no line is wider.
func TestANarrowTerminal(t *testing.T) {
	w := open(3)
	w.step(screen.Resized{Width: 40, Height: 10})
	if got := strings.Fields(w.lines()[1]); strings.Join(got, " ") != "ID State kW kWh" {
		t.Errorf("columns: %q", got)
	}
	w.step(screen.Resized{Width: 200, Height: 10})
	want(t, "titles", w.lines()[1], "Link since")
}

// Whatever is pressed, at any size: the screen has the height of the terminal and
// not more than its width, and the selected point is in view.
func TestTheScreenFitsTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "points")
		w := open(n)
		for i := range n {
			w.points[i] = screen.Point{Status: charge.StatusSuspendedEVSE, Driver: "Zoë 電気自動車 of the long name", Power: 1e9, Session: true, Energy: 1e12, Unacked: 1e12}
		}
		width, height := 80, 14
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			if rapid.IntRange(0, 4).Draw(t, "what") == 0 {
				width, height = rapid.IntRange(1, 120).Draw(t, "width"), rapid.IntRange(1, 40).Draw(t, "height")
				w.step(screen.Resized{Width: width, Height: height})
			} else {
				w.step(screen.Key(rapid.SampledFrom([]string{
					"up", "down", "pgup", "pgdown", "home", "end", "/", "0", "1", "x", "backspace", "enter", "esc", "t", "f", "?", "p", "é",
				}).Draw(t, "key")))
			}
			lines := w.lines()
			if len(lines) != height {
				t.Fatalf("%d lines, want %d", len(lines), height)
			}
			for _, line := range lines {
				if got := ansi.StringWidth(line); got > width {
					t.Fatalf("a line is %d wide, want %d at most: %q", got, width, line)
				}
			}
		}
		w.press("esc esc esc")
		w.step(screen.Resized{Width: 80, Height: 10})
		if w.selected() == "" {
			t.Fatalf("no selected point is in view:\n%s", strings.Join(w.lines(), "\n"))
		}
	})
}

// 10 000 points cost no more than a few, because only rows in view are drawn.
func BenchmarkView(b *testing.B) {
	for _, n := range []int{20, 500, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := open(n)
			w.step(screen.Resized{Width: 120, Height: 50})
			b.ReportAllocs()
			for b.Loop() {
				w.step(screen.Ticked{})
				_ = w.state.View()
			}
		})
	}
}
