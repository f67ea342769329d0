package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

func will(j charge.JournalID, conn uint64) wire.Presence {
	return wire.Presence{V: 1, Journal: j, Conn: conn, At: morning}
}

func here(j charge.JournalID, conn uint64) wire.Presence {
	p := will(j, conn)
	p.Online = true
	return p
}

func TestPresences(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		presences []wire.Presence
		current   charge.JournalID
		online    bool
	}{
		{"none", nil, "CP-j2", false},
		{"at a connection", []wire.Presence{here("CP-j2", 1)}, "CP-j2", true},
		{"will of this connection", []wire.Presence{here("CP-j2", 1), will("CP-j2", 1)}, "CP-j2", false},
		{"late will of an older connection", []wire.Presence{here("CP-j2", 2), will("CP-j2", 1)}, "CP-j2", true},
		{"late will of the boot before", []wire.Presence{here("CP-j2", 1), will("CP-j1", 7)}, "CP-j2", true},
		{"repeated after its will", []wire.Presence{here("CP-j2", 1), will("CP-j2", 1), here("CP-j2", 1)}, "CP-j2", false},
		{"late, of the boot before", []wire.Presence{here("CP-j2", 1), here("CP-j1", 9)}, "CP-j2", true},
		{"of a boot whose records are to come", []wire.Presence{here("CP-j3", 1)}, "CP-j2", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
			bk.Apply(b.Boot())
			bk.Apply(b.Boot())
			for _, p := range tc.presences {
				bk.ApplyPresence(p)
			}
			if bk.CP.CurrentJournal != tc.current || bk.CP.Online != tc.online {
				t.Fatalf("current %s online %v, want %s %v", bk.CP.CurrentJournal, bk.CP.Online, tc.current, tc.online)
			}
		})
	}
}

// If this run of Central acknowledged the position, presence proves that the agent
// has nothing between it and the record it calls next. A position that another
// run acknowledged proves nothing.
func TestNextProvesAGap(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		central charge.Epoch
		want    ledger.Verdict
	}{{epoch(1), ledger.Applied}, {epoch(2), ledger.OutOfOrder}} {
		b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
		bk.Apply(b.Boot())
		for range 3 {
			b.Write(1, "", &wire.PluggedIn{})
		}
		p := b.Presence(wire.Position{Journal: b.Journal, Seq: 3}, tc.central)
		bk.ApplyPresence(p)
		if out, _ := bk.Apply(b.Log[3]); out.Verdict != tc.want {
			t.Fatalf("position of %s: got %s, want %s", tc.central, out.Verdict, tc.want)
		}
	}
}

// What an agent has deleted may still be in Kafka, in a partition that is read later.
// Nothing is passed before the log has been read, whichever Central acknowledged it:
// an agent that was set back behind what it deleted continues at the first record that
// it holds.
func TestNothingIsPassedBeforeTheLogIsRead(t *testing.T) {
	t.Parallel()
	for name, acknowledged := range map[string]charge.Epoch{"by another Central": epoch(2), "by this one": epoch(1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
			read := false
			bk.Env.LogRead = func() bool { return read }
			bk.Apply(b.Boot())
			for range 3 {
				b.Write(1, "", &wire.PluggedIn{})
			}
			b.Storage = b.Storage[3:] // records 1 to 3 are acknowledged and deleted
			bk.ApplyPresence(b.Presence(wire.Position{Journal: b.Journal, Seq: 3}, acknowledged))
			if out, _ := bk.Apply(b.Log[3]); out.Verdict != ledger.OutOfOrder || !out.AwaitsLog {
				t.Fatalf("record 4 is %s, awaits the log: %t; want it to wait", out.Verdict, out.AwaitsLog)
			}
			if _, err := ledger.PassNext(bk.CP, &bk.Env); !errors.Is(err, ledger.ErrLogUnread) {
				t.Errorf("an operator's pass: %v, want %v", err, ledger.ErrLogUnread)
			}
			bk.Apply(b.Log[1]) // from the other partition
			read = true
			out, _ := bk.Apply(b.Log[3])
			if gap := bk.Gaps["CP."+string(b.Journal)+".3"]; out.Verdict != ledger.Applied || len(bk.Gaps) != 1 || gap.Last != 3 {
				t.Errorf("record 4 is %s, gaps: %+v; want record 3 alone to be passed", out.Verdict, bk.Gaps)
			}
		})
	}
}

// A charging point that holds nothing unacknowledged is not blocked: passing its next
// record would make a gap of a record that does not exist yet.
func TestNothingIsPassedOfAnIdlePoint(t *testing.T) {
	t.Parallel()
	b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
	bk.Apply(b.Boot())
	acked := wire.Position{Journal: b.Journal, Seq: 1}
	bk.ApplyPresence(b.Presence(acked, epoch(1)))
	if _, err := ledger.PassNext(bk.CP, &bk.Env); err == nil || !strings.Contains(err.Error(), "holds no record") {
		t.Errorf("nothing is unacknowledged: %v, want a refusal that states it", err)
	}
	if len(bk.Gaps) != 0 || bk.CP.Journals[b.Journal].Last != 1 {
		t.Fatalf("gaps %+v, the journal ends at %d, want none and 1", bk.Gaps, bk.CP.Journals[b.Journal].Last)
	}
	b.Write(1, "", &wire.PluggedIn{}) // a message that cannot be read
	bk.ApplyPresence(b.Presence(acked, epoch(1)))
	changes, err := ledger.PassNext(bk.CP, &bk.Env)
	if err != nil {
		t.Fatalf("record 2 is unacknowledged: %v", err)
	}
	bk.Save(changes)
	if len(bk.Gaps) != 1 || bk.CP.Journals[b.Journal].Last != 2 {
		t.Errorf("gaps %+v, the journal ends at %d, want one and 2", bk.Gaps, bk.CP.Journals[b.Journal].Last)
	}
}

// The first records of a boot are in a gap. No session is taken for orphaned until
// the boot reports something about its connector.
func TestBeginningInAGap(t *testing.T) {
	t.Parallel()
	b, bk := ledgertest.NewChargingPoint("CP", 2, morning), ledgertest.NewBook("CP", morning)
	b.Boot()
	b.Plug(1)
	b.Grant(1, "s1", "ana", "")
	for _, r := range b.Log {
		bk.Apply(r)
	}
	b.Boot()
	b.Storage = b.Storage[len(b.Storage)-1:]
	last := b.Write(1, "", &wire.StatusChanged{Status: charge.StatusSuspendedEV})
	b.Storage = b.Storage[1:]
	bk.ApplyPresence(b.Presence(wire.Position{}, charge.Epoch{}))
	if out, _ := bk.Apply(last); out.Verdict != ledger.Applied || bk.CP.CurrentJournal != b.Journal {
		t.Fatalf("got %+v, current %s", out, bk.CP.CurrentJournal)
	}
	b.Grant(2, "s2", "eve", "")
	bk.Apply(b.Log[len(b.Log)-1])
	if s := bk.Sessions["s1"]; s.State != ledger.SessionOpen {
		t.Fatalf("session: %s, want open", s.State)
	}
	b.Flow(1, 70)
	b.Stop(1, charge.StopRemote)
	bk.Apply(b.Log[len(b.Log)-1])
	if got := bk.Tickets["t.s1"].Energy; got != 70 {
		t.Fatalf("ticket: %d Wh, want 70", got)
	}
}

func TestLivenessOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		contact ledger.Contact
		after   time.Duration
		want    ledger.Liveness
		since   charge.Time
	}{
		{"no message so far", ledger.Contact{}, 0, ledger.Offline, 0},
		{"a message just now", ledger.Contact{LastSeenAt: morning}, 0, ledger.Online, morning},
		{"5 s of silence", ledger.Contact{LastSeenAt: morning, Interval: time.Second}, 5 * time.Second, ledger.Online, morning},
		{"more than 5 s", ledger.Contact{LastSeenAt: morning, Interval: time.Second}, 5001 * time.Millisecond, ledger.Offline, morning + 5000},
		{"within 3 long intervals", ledger.Contact{LastSeenAt: morning, Interval: 10 * time.Second}, 30 * time.Second, ledger.Online, morning},
		{"beyond them", ledger.Contact{LastSeenAt: morning, Interval: 10 * time.Second}, 31 * time.Second, ledger.Offline, morning + 30_000},
		{"last will", ledger.Contact{LastSeenAt: morning, WillAt: morning + 1}, 0, ledger.Offline, morning + 1},
		{"stale pipeline", ledger.Contact{LastSeenAt: morning, PipelineStaleSince: morning + 2}, time.Hour, ledger.Unknown, morning + 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got, since := ledger.LivenessOf(tc.contact, morning.Add(tc.after)); got != tc.want || since != tc.since {
				t.Fatalf("got %s since %s, want %s since %s", got, since, tc.want, tc.since)
			}
		})
	}
}

func TestStatusIsComputed(t *testing.T) {
	t.Parallel()
	held := ledger.Held{ID: "r", Until: morning + 1000}
	for _, tc := range []struct {
		name string
		c    ledger.Connector
		at   charge.Time
		want charge.Status
	}{
		{"free", ledger.Connector{Available: true}, 0, charge.StatusAvailable},
		{"plugged", ledger.Connector{Available: true, Plugged: true}, 0, charge.StatusPreparing},
		{"after a session", ledger.Connector{Available: true, Plugged: true, Finishing: true}, 0, charge.StatusFinishing},
		{"held", ledger.Connector{Available: true, Held: held}, 999, charge.StatusReserved},
		{"held to its end", ledger.Connector{Available: true, Held: held}, 1000, charge.StatusAvailable},
		{"held to its end, and reported as reserved", ledger.Connector{Available: true, Held: held, Reported: charge.StatusReserved}, 1000, charge.StatusAvailable},
		{"in a session", ledger.Connector{Available: true, Held: held, Session: "s", Phase: charge.StatusCharging}, 0, charge.StatusCharging},
		{"out of service", ledger.Connector{Session: "s", Phase: charge.StatusCharging}, 0, charge.StatusUnavailable},
		{"reported as unavailable", ledger.Connector{Available: true, Reported: charge.StatusUnavailable}, 0, charge.StatusUnavailable},
		{"faulted", ledger.Connector{Faults: []charge.Fault{charge.FaultMeter}}, 0, charge.StatusFaulted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cp := ledger.NewCP("CP")
			cp.Connectors[1] = &tc.c
			if got := cp.Status(1, morning+tc.at); got != tc.want {
				t.Fatalf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// A third boot comes back, whose connectors are not stored any more. Sessions that
// were orphaned stay so: the database refuses two open ones at a connector.
func TestThirdBootComesBack(t *testing.T) {
	t.Parallel()
	b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
	bk.Apply(b.Boot())
	first := b.Journal
	for _, id := range []charge.SessionID{"s1", "s2"} {
		b.Lose(1000) // the storage is replaced
		bk.Apply(b.Boot())
		b.Plug(1)
		b.Grant(1, id, "u", "")
		for _, r := range b.Storage[1:] {
			bk.Apply(r)
		}
		b.Connectors[1].Session = ""
	}
	b.Lose(1000)
	bk.Apply(b.Boot())
	states := func() (open, orphaned int) {
		for _, s := range bk.CP.Sessions {
			switch s.State {
			case ledger.SessionOpen:
				open++
			case ledger.SessionOrphaned:
				orphaned++
			case ledger.SessionEnded:
			}
		}
		return open, orphaned
	}
	if open, orphaned := states(); open != 0 || orphaned != 2 {
		t.Fatalf("%d open, %d orphaned, want both orphaned", open, orphaned)
	}
	bk.ApplyPresence(here(first, 9))
	if bk.CP.CurrentJournal != first {
		t.Fatalf("current is %s, want %s", bk.CP.CurrentJournal, first)
	}
	if open, orphaned := states(); open != 0 || orphaned != 2 {
		t.Errorf("%d open, %d orphaned, want both orphaned still", open, orphaned)
	}
}

// epoch is the nth start of Central.
func epoch(n int) charge.Epoch { return charge.Epoch{Number: uint64(n), Run: fmt.Sprintf("%016x", n)} }
