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

// script runs one golden script: a line that begins with "> " is done, what it
// brings about is written below it.
type script struct {
	box  *ledgertest.ChargingPoint
	bk   *ledgertest.Book
	said int // records of the log that were delivered or lost
	out  strings.Builder
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, "  "+format+"\n", args...) }

func (s *script) do(t *testing.T, line string) {
	t.Helper()
	f := append(strings.Fields(line), "", "", "", "")
	n, _ := strconv.Atoi(f[1])
	c := charge.ConnectorID(n)
	switch f[0] {
	case "boot":
		s.box.Boot()
	case "plug":
		s.box.Plug(c)
	case "unplug":
		s.box.Unplug(c)
	case "grant":
		s.box.Grant(c, charge.SessionID(f[2]), charge.Username(f[3]), "")
	case "begin":
		s.box.Begin(c)
	case "flow":
		wh, _ := strconv.Atoi(f[2])
		s.box.Flow(c, charge.WattHours(wh))
	case "sample":
		s.box.Sample(c)
	case "stop":
		s.box.Stop(c, charge.StopReason(f[2]))
	case "forget-session":
		s.box.Connectors[c].Session = ""
	case "raise":
		s.box.Raise(c, charge.Fault(f[2]))
	case "clear":
		s.box.Clear(c)
	case "wait": // seconds
		s.box.Now += charge.Time(n) * 1000
		s.bk.Env.Now = s.box.Now
	case "lose": // the storage goes back by so many records
		s.box.Lose(n)
	case "trim": // the storage forgets so many of its oldest
		s.box.Storage = slices.Clone(s.box.Storage[n:])
	case "damaged": // journal first last
		first, _ := strconv.Atoi(f[2])
		last, _ := strconv.Atoi(f[3])
		s.box.Damaged = append(s.box.Damaged, wire.Damaged{
			Journal: charge.JournalID(f[1]), First: charge.Seq(first), Last: charge.Seq(last), Reason: "checksum",
		})
	case "skip": // the way loses the next records
		s.said += n
	case "deliver":
		for s.said < len(s.box.Log) {
			s.apply(s.box.Log[s.said])
			s.said++
		}
	case "again": // deliver everything once more
		for _, r := range s.box.Log {
			s.apply(r)
		}
	case "late": // deliver one record by its place in the log, from 1
		s.apply(s.box.Log[n-1])
	case "presence": // acknowledged: journal seq
		seq, _ := strconv.Atoi(f[2])
		out, changes := s.bk.ApplyPresence(s.box.Presence(wire.Position{Journal: charge.JournalID(f[1]), Seq: charge.Seq(seq)}, s.bk.Env.Central))
		s.printf("new boot: %v", out.NewBoot)
		s.tell(changes)
	case "settle":
		s.operator(ledger.Settle(s.bk.CP, &s.bk.Env, charge.SessionID(f[1]), len(f) > 2 && f[2] == "silent"))
	case "silence":
		s.operator(ledger.RaiseSilence(s.bk.CP, &s.bk.Env, s.bk.Env.Now), nil)
	case "noticed":
		s.operator(ledger.ClearSilence(s.bk.CP), nil)
	case "pass":
		s.operator(ledger.SkipNext(s.bk.CP, &s.bk.Env))
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
	s.tell(changes)
}

func (s *script) apply(r wire.Record) {
	out, changes := s.bk.Apply(r)
	place := ""
	if out.Verdict == ledger.Applied && out.Late {
		place = " to the past"
	}
	s.printf("%s/%d %s: %s%s", r.Journal, r.Seq, r.Type, out.Verdict, place)
	s.tell(changes)
}

func (s *script) tell(changes []ledger.Change) {
	for _, c := range changes {
		switch c := c.(type) {
		case ledger.TicketMade:
			t := c.Ticket
			if t.Corrects != "" {
				s.printf("  corrects %s:", t.Corrects)
			}
			s.printf("  ticket %s: %s %d Wh (%d to %d), %s, %d s, %s", t.ID, t.Username, t.Energy, t.Start, t.Stop, t.Cost, t.DurationSec, t.Reason)
		case ledger.GapChanged:
			h := c.Gap
			s.printf("  hole %s: %s, missing %v, %d Wh", h.ID, h.Cause, h.Missing, h.Energy)
		case ledger.AlarmRaised:
			if a := c.Alarm; a.Cleared {
				s.printf("  cleared: %s", a.ID)
			} else {
				s.printf("  alarm %s: %s", a.ID, a.Detail)
			}
		case ledger.PointChanged, ledger.JournalChanged, ledger.ConnectorChanged, ledger.BootDeleted, ledger.MeterChanged, ledger.SessionChanged:
		}
	}
}

func (s *script) state() {
	cp := s.bk.CP
	s.printf("present %s waiting %q forked %v", cp.CurrentJournal, cp.PendingJournal, cp.Forked())
	for _, id := range slices.Sorted(maps.Keys(cp.Journals)) {
		a := ledger.AckFor(cp, &s.bk.Env, id)
		s.printf("answer for %s: %d", id, a.Seq)
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

// A changed script is a changed behaviour: read it before you rewrite it.
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
			s := &script{box: ledgertest.NewChargingPoint("CP", 1, morning), bk: ledgertest.NewBook("CP", morning)}
			for line := range strings.Lines(string(raw)) {
				switch {
				case strings.HasPrefix(line, "> "):
					s.out.WriteString(line)
					s.do(t, strings.TrimSpace(line[2:]))
				case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
					s.out.WriteString(line)
				}
			}
			for _, fault := range s.bk.Violations {
				t.Error(fault)
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
