package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Verdict is the result of comparing a figure with its target.
type Verdict string

// The verdicts.
const (
	OK          Verdict = "ok"
	Below       Verdict = "below"        // worse than wanted
	Shown       Verdict = "-"            // there is no target
	NotMeasured Verdict = "not measured" // Note has the reason
)

// Row is one line of the table.
type Row struct {
	Name   string  `json:"name"`   // the name of the measurement, with a suffix where it has several rows
	What   string  `json:"what"`   // for people
	Figure float64 `json:"figure"` // in Unit
	Unit   string  `json:"unit"`
	// Beside is the yardstick, in the same unit; 0: none.
	Beside     float64 `json:"beside,omitempty"`
	BesideWhat string  `json:"beside_what,omitempty"`
	// Ratio is the median of the rounds' ratios of figure to yardstick. Without
	// a yardstick it is the ratio of the figure to the target.
	Ratio float64 `json:"ratio"`
	// Wanted is the target: the least ratio where there is a yardstick,
	// otherwise the largest figure; 0: none.
	Wanted  float64 `json:"wanted,omitempty"`
	Verdict Verdict `json:"verdict"`
	Rounds  int     `json:"rounds,omitempty"` // or the number of samples
	Note    string  `json:"note,omitempty"`
}

// compared completes the row of a measurement with a yardstick, from the rounds
// of both in the same order.
func compared(row Row, figure, beside []float64) Row {
	row.Figure, row.Beside, row.Rounds = median(figure), median(beside), len(figure)
	row.Ratio = median(ratios(figure, beside))
	row.Verdict = Shown
	if row.Wanted > 0 {
		row.Verdict = verdict(row.Ratio >= row.Wanted)
	}
	return row
}

// limited completes the row of a figure that should not exceed its target.
func limited(row Row, figure float64, samples int) Row {
	row.Figure, row.Rounds, row.Verdict = figure, samples, Shown
	if row.Wanted > 0 {
		row.Ratio = figure / row.Wanted
		row.Verdict = verdict(figure <= row.Wanted)
	}
	return row
}

// missing completes the row of something that could not be measured.
func missing(row Row, why string) Row {
	row.Verdict, row.Note = NotMeasured, why
	return row
}

// verdict returns the result of a comparison with a target.
func verdict(ok bool) Verdict {
	if ok {
		return OK
	}
	return Below
}

// Machine describes where the figures were measured.
type Machine struct {
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	Go   string `json:"go"`
	// Load is the load average of the minute before the run; empty if the
	// system does not provide it. If it is well above 0, other programs
	// influenced the figures.
	Load string `json:"load,omitempty"`
}

// Report is the result of a run.
type Report struct {
	Machine   Machine `json:"machine"`
	DurationS float64 `json:"took_s"`
	Rows      []Row   `json:"rows"`
}

// JSON writes the report as one object.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	rounded := *r
	rounded.Rows = slices.Clone(r.Rows)
	// Rounded copies: the report itself keeps its values.
	for i := range rounded.Rows {
		row := &rounded.Rows[i]
		row.Figure, row.Beside, row.Ratio = round(row.Figure), round(row.Beside), round(row.Ratio)
	}
	return e.Encode(rounded)
}

// round keeps four significant digits: more are noise.
func round(v float64) float64 {
	f, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0
	}
	return f
}

// Table writes the report for people.
func (r *Report) Table(w io.Writer) error {
	// Notes follow the table: they are too long for a column.
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "what\tfigure\tbeside\tratio\twanted\t")
	for i := range r.Rows {
		row := &r.Rows[i]
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", row.What, row.figure(), row.beside(), row.ratio(), row.wanted(), row.Verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Note != "" {
			if _, err := fmt.Fprintf(w, "  %s: %s\n", row.Name, row.Note); err != nil {
				return err
			}
		}
	}
	m := r.Machine
	line := fmt.Sprintf("%d CPUs, %s/%s, %s", m.CPUs, m.OS, m.Arch, m.Go)
	if m.Load != "" {
		line += ", load before " + m.Load
	}
	_, err := fmt.Fprintf(w, "%s; took %.0f s\n", line, r.DurationS)
	return err
}

// figure is the column of the figure with its unit; a dash if there is none.
func (r *Row) figure() string {
	if r.Verdict == NotMeasured {
		return "–"
	}
	return amount(r.Figure) + " " + r.Unit
}

// beside is the column of the yardstick; empty if there is none.
func (r *Row) beside() string {
	if r.Beside == 0 {
		return ""
	}
	return amount(r.Beside) + " " + r.BesideWhat
}

// ratio is the column of the ratio; empty if nothing is compared.
func (r *Row) ratio() string {
	if r.Ratio == 0 {
		return ""
	}
	return strconv.FormatFloat(r.Ratio, 'f', 2, 64)
}

// wanted is the column of the target, as a ratio or as a limit.
func (r *Row) wanted() string {
	switch {
	case r.Wanted == 0:
		return ""
	case r.BesideWhat != "":
		return "ratio ≥ " + strconv.FormatFloat(r.Wanted, 'f', -1, 64)
	default:
		return "≤ " + amount(r.Wanted) + " " + r.Unit
	}
}

// amount formats a number with three significant digits, and with a space
// between thousands.
func amount(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		return grouped(int64(math.Round(v)))
	case a >= 100 || v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// grouped formats an integer with spaces between groups of three digits.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	var parts []string
	for len(s) > 3 && s[len(s)-4] != '-' {
		parts = append([]string{s[len(s)-3:]}, parts...)
		s = s[:len(s)-3]
	}
	return strings.Join(append([]string{s}, parts...), " ")
}
