package audit

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// The checks, in the order of the report.
const (
	CheckFile       = "file"
	CheckReferences = "references"
	CheckChain      = "chain"
	CheckGaps       = "gaps"
	CheckEnergy     = "energy"
	CheckTickets    = "tickets"
	CheckReplay     = "replay"
	CheckOrders     = "orders"
)

// about describes a check in the report.
func about(check string) string {
	switch check {
	case CheckFile:
		return "SQLite's own integrity check"
	case CheckReferences:
		return "rows name what exists; each ended session has its ticket"
	case CheckChain:
		return "bytes of records have their hash and follow the record before"
	case CheckGaps:
		return "no record is missing outside of gaps"
	case CheckEnergy:
		return "metered = billed + running + unaccounted; no Wh twice"
	case CheckTickets:
		return "each ticket is what its session costs"
	case CheckReplay:
		return "the records, applied again, make the same ledger"
	case CheckOrders:
		return "no reservation, command or request is past its end"
	}
	return ""
}

// maxFindings limits how many findings of one check the report lists; all of them
// are counted.
const maxFindings = 20

// Check is the result of one check.
type Check struct {
	Name     string
	Checked  int64    // rows, records or charging points
	Wrong    int64    // findings
	Findings []string // the first of them, in words

	Reported         int64    // what charging points reported that cannot be, and tickets that are only published; no findings
	ReportedFindings []string // the first of it, in words
}

// Report is the result of an audit.
type Report struct {
	Checks []Check
	Hash   string // of the ledger, by the rows
	Points int    // charging points that were checked
	Pruned int    // those whose oldest records were pruned
}

// Reported counts impossible values that charging points reported, and tickets that
// the database lacks since it was restored. The database is right to hold the former
// as reported and cannot know more of the latter, so they are no findings.
func (r *Report) Reported() (n int64) {
	for i := range r.Checks {
		n += r.Checks[i].Reported
	}
	return n
}

// Wrong counts the findings of all checks. 0 means that the database is consistent.
func (r *Report) Wrong() (n int64) {
	for i := range r.Checks {
		n += r.Checks[i].Wrong
	}
	return n
}

func newReport() *Report {
	r := &Report{}
	for _, name := range []string{
		CheckFile, CheckReferences, CheckChain, CheckGaps, CheckEnergy, CheckTickets, CheckReplay, CheckOrders,
	} {
		r.Checks = append(r.Checks, Check{Name: name})
	}
	return r
}

// check returns the result of a check, to be added to.
func (r *Report) check(name string) *Check {
	for i := range r.Checks {
		if r.Checks[i].Name == name {
			return &r.Checks[i]
		}
	}
	r.Checks = append(r.Checks, Check{Name: name})
	return &r.Checks[len(r.Checks)-1]
}

// checked adds to how much a check has looked at, so that a check that found
// nothing to look at shows as 0.
func (r *Report) checked(name string, n int) { r.check(name).Checked += int64(n) }

// wrong adds a finding; reported adds what is shown and no finding, see Reported.
func (r *Report) wrong(name, format string, args ...any) {
	c := r.check(name)
	if c.Wrong++; len(c.Findings) < maxFindings {
		c.Findings = append(c.Findings, fmt.Sprintf(format, args...))
	}
}

func (r *Report) reported(name, format string, args ...any) {
	c := r.check(name)
	if c.Reported++; len(c.ReportedFindings) < maxFindings {
		c.ReportedFindings = append(c.ReportedFindings, fmt.Sprintf(format, args...))
	}
}

// Write writes the report as a table, followed by the findings, and by what is only
// shown.
func (r *Report) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "check\tchecked\twrong\tabout") // Flush returns the error
	for i := range r.Checks {
		c := &r.Checks[i]
		_, _ = fmt.Fprintf(t, "%s\t%d\t%d\t%s\n", c.Name, c.Checked, c.Wrong, about(c.Name))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d charging points", r.Points)
	if r.Pruned > 0 {
		fmt.Fprintf(&b, ", %d of them without their oldest records, which are not kept any more", r.Pruned)
	}
	fmt.Fprintf(&b, "\nledger hash %s\n", r.Hash)
	for i := range r.Checks {
		c := &r.Checks[i]
		list(&b, "wrong: "+c.Name, c.Findings, c.Wrong)
	}
	for i := range r.Checks {
		c := &r.Checks[i]
		list(&b, "reported: "+c.Name, c.ReportedFindings, c.Reported)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func list(b *strings.Builder, what string, lines []string, all int64) {
	for _, line := range lines {
		fmt.Fprintf(b, "%s: %s\n", what, line)
	}
	if rest := all - int64(len(lines)); rest > 0 {
		fmt.Fprintf(b, "%s: and %d more\n", what, rest)
	}
}
