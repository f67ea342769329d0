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

// Verdict says how a figure stands to what is wanted.
type Verdict string

// The verdicts.
const (
	OK          Verdict = "ok"
	Below       Verdict = "below"        // worse than wanted
	Shown       Verdict = "-"            // nothing is wanted of it
	NotMeasured Verdict = "not measured" // Note says why
)

// Row is one line of the table.
type Row struct {
	Name   string  `json:"name"`   // as --only takes it, with a suffix where a measurement has several rows
	What   string  `json:"what"`   // in words
	Figure float64 `json:"figure"` // in Unit
	Unit   string  `json:"unit"`
	// Beside is the yardstick, in the same unit; 0 where there is none.
	Beside     float64 `json:"beside,omitempty"`
	BesideWhat string  `json:"beside_what,omitempty"`
	// Ratio is the median ratio of figure to yardstick, of rounds that were run
	// in turn. Without a yardstick it is that of the figure to what is wanted.
	Ratio float64 `json:"ratio"`
	// Wanted is the least ratio where there is a yardstick, and else the largest
	// figure; 0 wants nothing.
	Wanted  float64 `json:"wanted,omitempty"`
	Verdict Verdict `json:"verdict"`
	Rounds  int     `json:"rounds,omitempty"` // or samples
	Note    string  `json:"note,omitempty"`
}

// compared makes the row of a measurement beside a yardstick: rounds of both in
// the same order.
func compared(row Row, figure, beside []float64) Row {
	row.Figure, row.Beside, row.Rounds = median(figure), median(beside), len(figure)
	row.Ratio = median(ratios(figure, beside))
	row.Verdict = Shown
	if row.Wanted > 0 {
		row.Verdict = verdict(row.Ratio >= row.Wanted)
	}
	return row
}

// limited makes the row of a figure that should not be larger than wanted.
func limited(row Row, figure float64, samples int) Row {
	row.Figure, row.Rounds, row.Verdict = figure, samples, Shown
	if row.Wanted > 0 {
		row.Ratio = figure / row.Wanted
		row.Verdict = verdict(figure <= row.Wanted)
	}
	return row
}

// missing makes the row of what could not be measured.
func missing(row Row, why string) Row {
	row.Verdict, row.Note = NotMeasured, why
	return row
}

func verdict(ok bool) Verdict {
	if ok {
		return OK
	}
	return Below
}

// Machine is what the figures were measured on.
type Machine struct {
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	Go   string `json:"go"`
	// Load is how many others wanted to compute when the run began, in the mean
	// of the last minute; empty if the system does not say. Well above 0, they
	// are in the figures.
	Load string `json:"load,omitempty"`
}

// Report is all that was measured.
type Report struct {
	Machine Machine `json:"machine"`
	TookS   float64 `json:"took_s"`
	Rows    []Row   `json:"rows"`
}

// JSON writes the report as one object.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	rounded := *r
	rounded.Rows = slices.Clone(r.Rows)
	for i := range rounded.Rows {
		row := &rounded.Rows[i]
		row.Figure, row.Beside, row.Ratio = round(row.Figure), round(row.Beside), round(row.Ratio)
	}
	return e.Encode(rounded)
}

// round keeps four digits: more are noise.
func round(v float64) float64 {
	f, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0
	}
	return f
}

// Table writes the report for people.
func (r *Report) Table(w io.Writer) error {
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
	_, err := fmt.Fprintf(w, "%s; took %.0f s\n", line, r.TookS)
	return err
}

func (r *Row) figure() string {
	if r.Verdict == NotMeasured {
		return "–"
	}
	return amount(r.Figure) + " " + r.Unit
}

func (r *Row) beside() string {
	if r.Beside == 0 {
		return ""
	}
	return amount(r.Beside) + " " + r.BesideWhat
}

func (r *Row) ratio() string {
	if r.Ratio == 0 {
		return ""
	}
	return strconv.FormatFloat(r.Ratio, 'f', 2, 64)
}

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

// amount writes a number with three digits, thousands apart.
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

func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	var parts []string
	for len(s) > 3 && s[len(s)-4] != '-' {
		parts = append([]string{s[len(s)-3:]}, parts...)
		s = s[:len(s)-3]
	}
	return strings.Join(append([]string{s}, parts...), " ")
}
