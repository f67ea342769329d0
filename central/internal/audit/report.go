package audit

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// The checks, in the order in which they are shown.
const (
	CheckFile       = "file"
	CheckReferences = "references"
	CheckChain      = "chain"
	CheckGaps       = "gaps"
	CheckEnergy     = "energy"
	CheckTickets    = "tickets"
	CheckReplay     = "fold"
	CheckOrders     = "orders"
)

// about says what a check looks at.
func about(check string) string {
	switch check {
	case CheckFile:
		return "SQLite's own integrity check"
	case CheckReferences:
		return "rows name what exists; each ended session has its ticket"
	case CheckChain:
		return "bytes of records have their hash and follow the record before"
	case CheckGaps:
		return "no record is missing but what a hole names"
	case CheckEnergy:
		return "metered = billed + running + unaccounted; no Wh twice"
	case CheckTickets:
		return "each ticket is what its session costs"
	case CheckReplay:
		return "the records, folded again, make the same ledger"
	case CheckOrders:
		return "nothing wanted is past its end"
	}
	return ""
}

// maxFindings bounds the findings of one check that are told in words.
const maxFindings = 20

// Check is what one check found.
type Check struct {
	Name     string
	Checked  int64    // rows, records or charging points
	Wrong    int64    // findings
	Findings []string // the first of them, in words

	Reported         int64    // what charging points reported that cannot be; the books hold it as reported
	ReportedFindings []string // the first of it, in words
}

// Report is what an audit found.
type Report struct {
	Checks []Check
	Hash   string // of the ledger, as the rows say
	Points int
	Pruned int // charging points whose oldest records are not kept any more
}

// Reported counts what charging points reported that cannot be. It makes no book
// wrong; an alarm shows each.
func (r *Report) Reported() (n int64) {
	for i := range r.Checks {
		n += r.Checks[i].Reported
	}
	return n
}

// Wrong counts all findings.
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

func (r *Report) check(name string) *Check {
	for i := range r.Checks {
		if r.Checks[i].Name == name {
			return &r.Checks[i]
		}
	}
	r.Checks = append(r.Checks, Check{Name: name})
	return &r.Checks[len(r.Checks)-1]
}

func (r *Report) checked(name string, n int) { r.check(name).Checked += int64(n) }

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

// Write shows the report as a table, and below it what is wrong, and what
// charging points reported that cannot be.
func (r *Report) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "check\tlooked at\twrong\tabout") // Flush tells of errors
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
