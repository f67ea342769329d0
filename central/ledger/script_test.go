package ledger_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden scripts in testdata with what the ledger does now")

// script runs one golden script: each line that begins with "> " is a step, and
// its effects are printed below it.
type script struct {
	cp        *ledgertest.ChargingPoint
	bk        *ledgertest.Book
	delivered int // records of the log that were delivered or lost
	out       strings.Builder
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, "  "+format+"\n", args...) }

func (s *script) do(t *testing.T, line string) {
	t.Helper()
	f := append(strings.Fields(line), "", "", "", "")
	n, _ := strconv.Atoi(f[1])
	c := charge.ConnectorID(n)
	switch f[0] {
	case "boot":
		s.cp.Boot()
	case "plug":
		s.cp.Plug(c)
	case "unplug":
		s.cp.Unplug(c)
	case "grant":
		s.cp.Grant(c, charge.SessionID(f[2]), charge.Username(f[3]), "")
	case "begin":
		s.cp.Begin(c)
	case "flow":
		wh, _ := strconv.Atoi(f[2])
		s.cp.Flow(c, charge.WattHours(wh))
	case "sample":
		s.cp.Sample(c)
	case "stop":
		s.cp.Stop(c, charge.StopReason(f[2]))
	case "forget-session":
		s.cp.Connectors[c].Session = ""
	case "raise":
		s.cp.Raise(c, charge.Fault(f[2]))
	case "clear":
		s.cp.Clear(c)
	case "wait": // seconds
		s.cp.Now += charge.Time(n) * 1000
		s.bk.Env.Now = s.cp.Now
	case "lose": // the storage is rolled back by so many records
		s.cp.Lose(n)
	case "trim": // the storage drops so many of its oldest records
		s.cp.Storage = slices.Clone(s.cp.Storage[n:])
	case "damaged": // journal first last
		first, _ := strconv.Atoi(f[2])
		last, _ := strconv.Atoi(f[3])
		s.cp.Damaged = append(s.cp.Damaged, wire.Damaged{
			Journal: charge.JournalID(f[1]), First: charge.Seq(first), Last: charge.Seq(last), Reason: "checksum",
		})
	case "skip": // the next records are lost on their way
		s.delivered += n
	case "deliver":
		for s.delivered < len(s.cp.Log) {
			s.apply(s.cp.Log[s.delivered])
			s.delivered++
		}
	case "again": // deliver everything once more
		for _, r := range s.cp.Log {
			s.apply(r)
		}
	case "late": // deliver one record by its place in the log, from 1
		s.apply(s.cp.Log[n-1])
	case "presence": // acknowledged: journal seq
		seq, _ := strconv.Atoi(f[2])
		out, changes := s.bk.ApplyPresence(s.cp.Presence(wire.Position{Journal: charge.JournalID(f[1]), Seq: charge.Seq(seq)}, s.bk.Env.Central))
		s.printf("new boot: %v", out.NewBoot)
		s.printChanges(changes)
	case "settle":
		s.operator(ledger.Settle(s.bk.CP, &s.bk.Env, charge.SessionID(f[1]), len(f) > 2 && f[2] == "silent"))
	case "silence":
		s.operator(ledger.RaiseSilence(s.bk.CP, &s.bk.Env, s.bk.Env.Now), nil)
	case "online":
		s.operator(ledger.ClearSilence(s.bk.CP), nil)
	case "pass":
		s.operator(ledger.PassNext(s.bk.CP, &s.bk.Env))
	case "state":
		s.state()
	default:
		t.Fatalf("unknown line %q", line)
	}
}

func (s *script) operator(changes []ledger.Change, err error) {
	if err != nil {
		s.printf("refused: %v", err)
	}
	s.bk.Save(changes)
	s.printChanges(changes)
}

func (s *script) apply(r wire.Record) {
	out, changes := s.bk.Apply(r)
	place := ""
	if out.Verdict == ledger.Applied && out.Late {
		place = " as late"
	}
	s.printf("%s/%d %s: %s%s", r.Journal, r.Seq, r.Type, out.Verdict, place)
	s.printChanges(changes)
}

func (s *script) printChanges(changes []ledger.Change) {
	for _, c := range changes {
		switch c := c.(type) {
		case ledger.TicketMade:
			t := c.Ticket
			if t.Corrects != "" {
				s.printf("  corrects %s:", t.Corrects)
			}
			s.printf("  ticket %s: %s %d Wh (%d to %d), %s, %d s, %s", t.ID, t.Username, t.Energy, t.Start, t.Stop, t.Cost, t.DurationSec, t.Reason)
		case ledger.GapChanged:
			g := c.Gap
			s.printf("  gap %s: %s, missing %v, %d Wh", g.ID, g.Cause, g.Missing, g.Energy)
		case ledger.AlarmRaised:
			if a := c.Alarm; a.Cleared {
				s.printf("  cleared: %s", a.ID)
			} else {
				s.printf("  alarm %s: %s", a.ID, a.Detail)
			}
		case ledger.PointChanged, ledger.JournalChanged, ledger.ConnectorChanged, ledger.BootDeleted, ledger.MeterChanged, ledger.SessionChanged,
			ledger.TicketPublished:
		}
	}
}

func (s *script) state() {
	cp := s.bk.CP
	s.printf("current %s pending %q forked %v", cp.CurrentJournal, cp.PendingJournal, cp.Forked())
	for _, id := range slices.Sorted(maps.Keys(cp.Journals)) {
		a := ledger.AckFor(cp, &s.bk.Env, id)
		s.printf("acknowledged in %s: %d", id, a.Seq)
	}
	for _, id := range slices.Sorted(maps.Keys(cp.Connectors)) {
		s.printf("connector %d: %s %s", id, cp.Status(id, s.bk.Env.Now), cp.Connectors[id].Session)
	}
	for _, id := range slices.Sorted(maps.Keys(cp.Meters)) {
		m := cp.Meters[id]
		s.printf("meter %d: %d to %d Wh, billed %d, running %d, unaccounted %d", id, m.First, m.Last, m.Billed, m.Running, m.Unaccounted())
	}
	for _, id := range slices.Sorted(maps.Keys(s.bk.Sessions)) {
		x := s.bk.Sessions[id]
		s.printf("session %s: %s, %d Wh", id, x.State, x.Energy())
	}
}

// TestScripts compares the scripts in testdata with what the ledger does now. A
// difference is a change of behaviour: read it before you run with -rewrite.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{cp: ledgertest.NewChargingPoint("CP", 1, morning), bk: ledgertest.NewBook("CP", morning)}
			for line := range strings.Lines(string(raw)) {
				switch {
				case strings.HasPrefix(line, "> "):
					s.out.WriteString(line)
					s.do(t, strings.TrimSpace(line[2:]))
				case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
					s.out.WriteString(line)
				}
			}
			for _, violation := range s.bk.Violations {
				t.Error(violation)
			}
			got := s.out.String()
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(raw) {
				t.Errorf("got\n%s\nwant\n%s", got, raw)
			}
		})
	}
}
