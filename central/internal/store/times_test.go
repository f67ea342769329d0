package store_test

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
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

// TestAPeriodSelectsWhatIsShown: lists and totals select sessions and tickets by the
// times that they show, before and after a record of the boot has a better clock, and
// whatever is known first. A time that is not known stays as it was recorded.
func TestAPeriodSelectsWhatIsShown(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	const (
		booted charge.Time = 1_790_000_000_000 // in 2026
		day    charge.Time = 24 * 3600 * 1000
	)
	session := func(id charge.SessionID, at charge.Time, spans ...ledger.Span) []ledger.Change {
		end := at + 9000
		return []ledger.Change{
			ledger.SessionChanged{Session: ledger.Session{ID: id, CPID: "CP_1", Connector: 1, State: ledger.SessionEnded, AuthorizedAt: at, EndedAt: end, Spans: spans}},
			ledger.TicketMade{Ticket: ledger.Ticket{
				ID: "t." + string(id), SessionID: id, CPID: "CP_1", Connector: 1, EndedAt: end, Energy: 10, Cost: money.Amount{Minor: 1, Currency: "EUR"},
			}},
		}
	}
	unset := ledger.Span{Journal: "j1", GrantMS: 1000, StopMS: 10_000, Clock: charge.ClockUnset}
	wrong := ledger.Span{Journal: "j1", GrantMS: 2000, StopMS: 11_000, Clock: charge.ClockSet}
	over := unset // it ends in the next boot
	over.StopMS = 0
	write(t, s, func(tx *store.Tx) error {
		return tx.Ledger(slices.Concat(point(),
			[]ledger.Change{ledger.JournalChanged{CPID: "CP_1", Journal: ledger.Journal{ID: "j1"}}, ledger.JournalChanged{CPID: "CP_1", Journal: ledger.Journal{ID: "j2"}}},
			session("fine", booted+1000), session("unset", 1000, unset), session("wrong", booted-365*day, wrong),
			session("over", 2000, over, ledger.Span{Journal: "j2", StopMS: 5000, Clock: charge.ClockUnset})))
	})
	boot := func(id charge.JournalID, at charge.Time) {
		write(t, s, func(tx *store.Tx) error {
			return tx.Ledger([]ledger.Change{ledger.JournalChanged{CPID: "CP_1", Journal: ledger.Journal{ID: id, Boot: ledger.BootTime{At: at, Clock: charge.ClockSynced, Seq: 9}}}})
		})
	}
	check := func(what string, q view.Query, sessions, tickets []string, totals map[string]int64) {
		t.Helper()
		a := s.Archive()
		shown, err1 := a.Sessions(t.Context(), q)
		billed, err2 := a.Tickets(t.Context(), q)
		sums, err3 := a.SumTickets(t.Context(), q, view.PeriodYear)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		var gotSessions, gotTickets []string
		for i := range shown {
			gotSessions = append(gotSessions, string(shown[i].ID))
			if at := shown[i].AuthorizedAt; at != 0 && (q.From != 0 && at < q.From || q.To != 0 && at >= q.To) {
				t.Errorf("%s: %s is shown with %s", what, shown[i].ID, at)
			}
		}
		for i := range billed {
			gotTickets = append(gotTickets, string(billed[i].SessionID))
			if at := billed[i].StoppedAt; at != 0 && (q.From != 0 && at < q.From || q.To != 0 && at >= q.To) {
				t.Errorf("%s: the ticket of %s is shown with %s", what, billed[i].SessionID, at)
			}
		}
		gotTotals := map[string]int64{}
		for _, sum := range sums {
			gotTotals[sum.Period] = sum.Tickets
		}
		if !slices.Equal(gotSessions, sessions) || !slices.Equal(gotTickets, tickets) || !maps.Equal(gotTotals, totals) {
			t.Errorf("%s: sessions %q, tickets %q, totals %v; want %q, %q, %v", what, gotSessions, gotTickets, gotTotals, sessions, tickets, totals)
		}
	}
	early, year := view.Query{To: day}, view.Query{From: booted, To: booted + day}
	check("no clock: the first day of 1970", early, []string{"over", "unset"}, []string{"over", "unset"}, map[string]int64{"1970": 2})
	check("no clock: the day of the boot", year, []string{"fine"}, []string{"fine"}, map[string]int64{"2026": 1})
	boot("j1", booted)
	check("the first boot has a clock: 1970", early, nil, []string{"over"}, map[string]int64{"1970": 1})
	check("the first boot has a clock: its day", year, []string{"over", "wrong", "unset", "fine"}, []string{"wrong", "unset", "fine"}, map[string]int64{"2026": 3})
	boot("j2", booted+2*day)
	check("both have: 1970", early, nil, nil, map[string]int64{})
	check("both have: the second day", view.Query{From: booted + 2*day}, nil, []string{"over"}, map[string]int64{"2026": 1})
	write(t, s, func(tx *store.Tx) error { // a late session of a boot whose time is known, and more of one that is
		return tx.Ledger(append(session("late", 3000, unset), session("unset", 1000, unset)[0]))
	})
	check("a late one: the day", year, []string{"late", "over", "wrong", "unset", "fine"}, []string{"late", "wrong", "unset", "fine"}, map[string]int64{"2026": 4})
	check("without a period", view.Query{}, []string{"late", "over", "wrong", "unset", "fine"}, []string{"late", "over", "wrong", "unset", "fine"}, map[string]int64{"2026": 5})
}
