package screen

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/carga-ev/carga/internal/charge"
)

// Styles as terminals know them. A terminal without colours shows the rest; no
// colour is the only sign of anything.
const (
	bold    = "\x1b[1m"
	reverse = "\x1b[7m"
	red     = "\x1b[31m"
	green   = "\x1b[32m"
	plain   = "\x1b[m"
)

// frame is the lines around the rows: totals, titles, details, and the last line.
const frame = 4

// rows is how many points are in view at most.
func (s *State) rows() int { return max(1, s.height-frame) }

// column is a column of the table. A narrow terminal shows those of the lowest rank.
type column struct {
	title string
	width int
	rank  int
	right bool
	cell  func(id charge.CPID, p Point) string
}

// columns returns those that fit into the width, in order.
func (s *State) columns() []column {
	all := []column{
		{"ID", min(s.longest, max(8, s.width-24)), 0, false, func(id charge.CPID, _ Point) string { return string(id) }},
		{"State", 14, 1, false, func(_ charge.CPID, p Point) string { return cmp.Or(string(p.Status), "starting") }},
		{"Driver", 14, 5, false, func(_ charge.CPID, p Point) string { return string(p.Driver) }},
		{"kW", 6, 2, true, func(_ charge.CPID, p Point) string { return thousandths(int64(p.Power), 1) }},
		{"kWh", 8, 3, true, func(_ charge.CPID, p Point) string {
			if !p.Session {
				return ""
			}
			return thousandths(int64(p.Energy), 3)
		}},
		{"Un-acked", 8, 6, true, func(_ charge.CPID, p Point) string { return fmt.Sprint(p.Unacked) }},
		{"Link since", 13, 4, false, func(_ charge.CPID, p Point) string {
			if p.Linked {
				return "up   " + p.Since.Format("15:04:05")
			}
			return "down " + p.Since.Format("15:04:05")
		}},
	}
	byRank := slices.SortedFunc(slices.Values(all), func(a, b column) int { return a.rank - b.rank })
	used, fit := -1, 0
	for ; fit < len(byRank) && used+byRank[fit].width < s.width; fit++ {
		used += byRank[fit].width + 1
	}
	return slices.DeleteFunc(all, func(c column) bool { return c.rank >= max(fit, 1) })
}

// thousandths formats thousandths with 1 to 3 decimals; more are cut off.
func thousandths(v int64, decimals int) string {
	text := fmt.Sprintf("%d.%03d", v/1000, v%1000)
	return text[:len(text)-3+decimals]
}

// View returns the screen: exactly as many lines as the terminal has, none wider.
func (s State) View() string {
	columns := s.columns()
	title, body := "", []string(nil)
	switch s.mode {
	case helping:
		title, body = "Keys", s.block(strings.Split(keysHelp, "\n"), 0)
	case choosing:
		title, body = "Fault", s.choice()
	case listing, searching, tapping:
		title, body = titles(columns), s.table(columns)
	}
	lines := append([]string{s.styled(bold, s.totals), s.styled(bold, title)}, body...)
	lines = append(lines, s.styled("", s.details()), s.styled(bold, s.last()))
	if len(lines) > s.height {
		lines = lines[len(lines)-max(1, s.height):] // of a terminal with few lines the last ones
	}
	return strings.Join(lines, "\n")
}

// styled cuts a text to the width and styles it.
func (s *State) styled(style, text string) string {
	text = ansi.Truncate(text, s.width, "")
	if style == "" || text == "" {
		return text
	}
	return style + text + plain
}

// block returns as many lines as there are rows, of which line first is in view.
func (s *State) block(lines []string, first int) []string {
	out := make([]string, s.rows())
	skip := max(0, first-s.rows()+1)
	for i := range out {
		if skip+i < len(lines) {
			out[i] = s.styled("", lines[skip+i])
		}
	}
	return out
}

// choice returns the faults, with the selected one marked.
func (s *State) choice() []string {
	var lines []string
	for i, f := range s.faults {
		mark := "  "
		if i == s.fault {
			mark = "> "
		}
		lines = append(lines, mark+string(f))
	}
	return s.block(lines, s.fault)
}

// titles is the line above the table.
func titles(columns []column) string {
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.pad(c.title)
	}
	return strings.Join(cells, " ")
}

// table returns the rows in view.
func (s *State) table(columns []column) []string {
	out := make([]string, s.rows())
	for i, n := range s.inView() {
		p, read := s.points[n]
		cells := make([]string, len(columns))
		for j, c := range columns {
			if read || c.rank == 0 {
				cells[j] = c.pad(c.cell(s.ids[n], p))
			}
		}
		style := ""
		switch {
		case s.top+i == s.cursor:
			style = reverse
		case len(p.Faults) > 0 || p.Status == charge.StatusFaulted:
			style = red
		case p.Status == charge.StatusCharging:
			style = green
		}
		out[i] = s.styled(style, strings.Join(cells, " "))
	}
	if len(s.shown) == 0 {
		out[0] = s.styled("", "no id contains "+s.search)
	}
	return out
}

// pad cuts a text to the width of the column and fills it up.
func (c column) pad(text string) string {
	text = ansi.Truncate(text, c.width, "~")
	space := strings.Repeat(" ", c.width-ansi.StringWidth(text))
	if c.right {
		return space + text
	}
	return text + space
}

// details describes the selected point, beyond its row.
func (s *State) details() string {
	n, some := s.selected()
	p, read := s.points[n]
	if !some || !read {
		return ""
	}
	words := []string{"no vehicle"}
	if p.Plugged {
		words = []string{"plugged in"}
	}
	for _, f := range p.Faults {
		words = append(words, string(f))
	}
	if !p.Linked && p.Reason != "" {
		words = append(words, p.Reason)
	}
	return string(s.ids[n]) + ": " + strings.Join(words, ", ")
}

// last is the last line: what is typed, the result of an operation, or the keys.
func (s *State) last() string {
	switch s.mode {
	case searching:
		return "search: " + s.search + "_"
	case tapping:
		return "card, 8, 14 or 20 hexadecimal digits: " + s.card + "_"
	case choosing:
		return "fault: up, down, enter; esc: none"
	case helping:
		return "any key: back"
	case listing:
	}
	position := ""
	if n := len(s.shown); n > s.rows() || s.search != "" {
		position = fmt.Sprintf("  %d/%d", min(s.cursor+1, n), n)
	}
	if s.search != "" {
		position += " with " + s.search
	}
	return cmp.Or(s.message, "? help  q quit  p plug  u unplug  t tap  f fault  r repair  / search") + position
}
