package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/process"
	"github.com/carga-ev/carga/internal/wire"
)

const journalUsage = `usage: agent journal inspect|verify|export DIR
  inspect  show segments, position and damage
  verify   check checksums, numbers and the chain of records; exit 1 if something is wrong
  export   write all records to the standard output, one JSON line each

DIR is the agent's data_dir. Nothing in it is changed, and the agent may be running.
`

// runJournal executes "agent journal …" and returns the exit code. The report
// goes to stdout, errors and usage to stderr.
func runJournal(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("agent journal", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { _, _ = io.WriteString(stderr, journalUsage) }
	// The verb comes first, like that of git; flags and the folder follow.
	verb := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") { // flags may follow the verb
		verb, args = args[0], args[1:]
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return process.ExitOK
	} else if err != nil {
		return process.ExitUsage
	}
	// Every verb works on a report of the folder as it is now.
	show, known := map[string]func(*journal.Report, io.Writer) error{
		"inspect": inspect, "verify": verify, "export": export,
	}[verb]
	if !known || flags.NArg() != 1 {
		flags.Usage()
		return process.ExitUsage
	}
	if err := withReport(flags.Arg(0), stdout, show); err != nil {
		_, _ = fmt.Fprintln(stderr, "agent:", err)
		return process.ExitFailed
	}
	return process.ExitOK
}

// withReport reads the journal in a folder and lets show print it. It never
// writes to the folder, so the agent may be running.
func withReport(dir string, w io.Writer, show func(*journal.Report, io.Writer) error) error {
	// ReadOS takes no lock: the agent may hold it.
	fs, err := journal.ReadOS(dir)
	if err != nil {
		return err
	}
	r, err := journal.Inspect(fs)
	if err != nil {
		return err
	}
	// An export may have millions of lines. The error of a full pipe or disk shows
	// at the flush, if not before.
	b := bufio.NewWriter(w)
	return errors.Join(show(r, b), b.Flush())
}

// inspect prints the segments, the position and all damage.
func inspect(r *journal.Report, w io.Writer) error {
	p := r.Position
	_, _ = fmt.Fprintf(w, "charging point  %s\nrecords         %d held, %d not acknowledged\n", r.CP, r.Records, r.Unacked)
	if p.Journal == "" {
		_, _ = fmt.Fprintln(w, "position        none")
	} else {
		_, _ = fmt.Fprintf(w, "position        %s/%d, by Central %s\n", p.Journal, p.Seq, p.Central)
	}
	_, _ = fmt.Fprintf(w, "reserve         %t\n\n", r.Reserve)
	// One row per file, in the order of writing.
	const columns = "%-16s  %-36s  %7v  %7v  %7v  %8v  %-20s  %-10v  %s\n"
	_, _ = fmt.Fprintf(w, columns, "SEGMENT", "JOURNAL", "FIRST", "LAST", "HELD", "BYTES", "BEGUN", "CHECKPOINT", "FOLLOWS")
	for _, s := range r.Segments {
		begun, follows := "clock unset", "nothing"
		if !s.Begun.IsZero() {
			begun = s.Begun.Format(time.RFC3339)
		}
		if s.After.Journal != "" {
			follows = fmt.Sprintf("%s/%d", s.After.Journal, s.After.Seq)
		}
		_, _ = fmt.Fprintf(w, columns, s.Name, s.Journal, s.First, s.Last, s.Records, s.Size, begun, s.Checkpoint, follows)
	}
	for _, line := range troubles(r) {
		_, _ = fmt.Fprintln(w, line)
	}
	// Torn bytes are normal after a kill; they are no damage.
	_, err := fmt.Fprintf(w, "\n%d bytes belong to records that were never announced\n", r.TornBytes)
	return err
}

// troubles lists the damage and the irregularities that Inspect reported, one
// line each.
func troubles(r *journal.Report) (lines []string) {
	for _, d := range r.Damaged {
		last := fmt.Sprint(d.Last)
		if d.Last == 0 { // how many there were is not known
			last = "its end, if there were more"
		}
		lines = append(lines, fmt.Sprintf("lost: %s/%d to %s (%s: %s)", d.Journal, d.First, last, d.Segment, d.Reason))
	}
	for _, n := range r.Notes {
		lines = append(lines, "note: "+n)
	}
	return lines
}

// export prints every record held, in the order of writing.
func export(r *journal.Report, w io.Writer) error {
	return r.Each(func(e journal.Entry) error {
		_, err := fmt.Fprintf(w, "%s\n", e.Bytes)
		return err
	})
}

// verify checks every record against its place and its predecessor. It prints
// all that is wrong and returns an error then, so that the exit code is 1.
func verify(r *journal.Report, w io.Writer) error {
	wrong := troubles(r)
	var before *journal.Entry
	// Each visits the records in the order of writing, over all boots.
	err := r.Each(func(e journal.Entry) error {
		if what := misfit(r, before, &e); what != "" {
			wrong = append(wrong, fmt.Sprintf("wrong: record %s/%d %s", e.Journal, e.Seq, what))
		}
		before = &e
		return nil
	})
	for _, line := range wrong {
		_, _ = fmt.Fprintln(w, line)
	}
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d things are wrong with the journal", len(wrong))
	}
	_, _ = fmt.Fprintf(w, "%d records of %d segments are good\n", r.Records, len(r.Segments))
	return nil
}

// misfit describes what is wrong with a record that follows another one: its
// envelope, its number, or the hash of its predecessor. It is empty for a good
// record. Across a gap the hash is not checked: its record is not there.
func misfit(r *journal.Report, before, e *journal.Entry) string {
	// The checksums of the frame were right, so a record that cannot be decoded was
	// written so.
	rec, err := wire.DecodeRecord(e.Bytes)
	if err != nil {
		return "cannot be read: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	switch {
	case rec.CPID != r.CP:
		return fmt.Sprintf("is one of charging point %s, not of %s", rec.CPID, r.CP)
	case rec.Journal != e.Journal || rec.Seq != e.Seq:
		return fmt.Sprintf("carries the number %s/%d", rec.Journal, rec.Seq)
	case before == nil:
		return ""
	}
	// Within a journal the hash chains each record to the one before. The first
	// record of a boot names its predecessor, a record of an earlier boot, itself.
	follows := rec.Journal == before.Journal && rec.Seq == before.Seq+1
	if rec.Seq == 1 {
		p, err := rec.Payload()
		reg, ok := p.(*wire.Registered)
		switch {
		case err != nil || !ok:
			return "is the first of a journal and not cp_registered"
		case reg.After == nil:
			return fmt.Sprintf("follows nothing, though %s/%d is before it", before.Journal, before.Seq)
		}
		follows = reg.After.Journal == before.Journal && reg.After.Seq == before.Seq
	}
	if follows && rec.Prev != journal.Hash(before.Bytes) {
		return fmt.Sprintf("does not carry the hash of %s/%d", before.Journal, before.Seq)
	}
	return ""
}
