package store_test

import (
	"path/filepath"
	"testing"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// TestTimesAreShownAsTheyAreKnownNow: a session and its ticket of a clock that was
// not set have no times, until a record of the same boot has a synchronised clock;
// the rows stay as they are.
func TestTimesAreShownAsTheyAreKnownNow(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	const booted charge.Time = 1_790_000_000_000
	v := ledger.Session{
		ID: "s1", CPID: "CP_1", Connector: 1, State: ledger.SessionEnded, AuthorizedAt: 1000, EndedAt: 9000,
		Spans: []ledger.Span{{Journal: "j1", FirstMS: 1000, LastMS: 9000, GrantMS: 1000, StopMS: 9000, Clock: charge.ClockUnset}},
	}
	fine := ledger.Session{ID: "s2", CPID: "CP_1", Connector: 1, State: ledger.SessionEnded, AuthorizedAt: booted, EndedAt: booted + 1}
	j := ledger.Journal{ID: "j1", Last: 3}
	write(t, s, func(tx *store.Tx) error {
		return tx.Ledger(append(point(), ledger.JournalChanged{CPID: "CP_1", Journal: j},
			ledger.SessionChanged{Session: v}, ledger.TicketMade{Ticket: ledger.Ticket{ID: "t.s1", SessionID: "s1", CPID: "CP_1", Connector: 1, EndedAt: 9000}},
			ledger.SessionChanged{Session: fine}, ledger.TicketMade{Ticket: ledger.Ticket{ID: "t.s2", SessionID: "s2", CPID: "CP_1", Connector: 1, EndedAt: booted + 1}}))
	})
	shown := func(note ledger.ClockNote, granted, stopped charge.Time) {
		t.Helper()
		a := s.Archive()
		sessions, err := a.Sessions(t.Context(), view.Query{})
		if err != nil || len(sessions) != 2 {
			t.Fatal(sessions, err)
		}
		one, err := a.Session(t.Context(), "", "s1")
		if err != nil || *one != sessions[1] || one.Clock != note || one.AuthorizedAt != granted || one.StoppedAt != stopped {
			t.Errorf("session %+v and %+v, %v; want %q, %d to %d", one, sessions[1], err, note, granted, stopped)
		}
		tickets, err := a.Tickets(t.Context(), view.Query{})
		if err != nil || len(tickets) != 2 {
			t.Fatal(tickets, err)
		}
		if k := tickets[1]; k.Clock != note || k.StoppedAt != stopped {
			t.Errorf("ticket %+v, want %q, %d", k, note, stopped)
		}
		if o := sessions[0]; o.Clock != "" || o.StoppedAt != booted+1 || tickets[0].Clock != "" || tickets[0].StoppedAt != booted+1 {
			t.Errorf("a session with a good clock is shown as %+v", o)
		}
		if row, _, err := s.SessionOf(t.Context(), "", "s1"); err != nil || row.EndedAt != 9000 {
			t.Errorf("the row has changed: %+v %v", row, err)
		}
	}
	shown(ledger.ClockUnknown, 0, 0)
	j.Boot = ledger.BootTime{At: booted, Clock: charge.ClockSynced, Seq: 3}
	write(t, s, func(tx *store.Tx) error {
		return tx.Ledger([]ledger.Change{ledger.JournalChanged{CPID: "CP_1", Journal: j}})
	})
	shown(ledger.ClockCorrected, booted+1000, booted+9000)
}
