package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// paged reads a list to its end, a few rows at a time, and wants no empty page.
func paged[T any](t *testing.T, q view.Query, read func(view.Query) ([]T, error), key func(*T) string) (all []string) {
	t.Helper()
	q.Limit = 3
	for range 100 {
		page, err := read(q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page {
			all = append(all, key(&page[i]))
		}
		if len(page) < q.Limit {
			return all
		}
		q.After = all[len(all)-1]
	}
	t.Fatal("the list has no end")
	return nil
}

// numbered makes keys of a prefix and the numbers from first down to last.
func numbered(prefix string, first, last int) (all []string) {
	for n := first; n >= last; n-- {
		all = append(all, fmt.Sprint(prefix, n))
	}
	return all
}

// TestAFilterSelectsBeforeThePage: what is looked for is found however much else
// lies before it, in every state of every list.
func TestAFilterSelectsBeforeThePage(t *testing.T) {
	const now = 1000
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	write(t, s, func(tx *store.Tx) error {
		changes := point()
		var effects []orders.Effect
		for n := range 40 { // the first few are what is looked for
			v := ledger.Session{ID: charge.SessionID(fmt.Sprint("s", n)), CPID: "CP_1", Connector: 1, State: ledger.SessionEnded, Username: "eve", AuthorizedAt: charge.Time(n + 1)}
			r := orders.Reservation{ID: charge.ReservationID(fmt.Sprint("r", n)), CPID: "CP_1", Connector: 1, Username: "eve", MadeAt: charge.Time(n + 1), Until: 900, EndedAt: 900, Reason: "expired"}
			c := orders.Command{ID: charge.CommandID(fmt.Sprint("c", n)), CPID: "CP_1", State: orders.Done, IssuedAt: charge.Time(n + 1)}
			h := ledger.Gap{ID: fmt.Sprint("h", n), CPID: "CP_1", DetectedAt: charge.Time(n + 1)}
			a := ledger.Alarm{ID: fmt.Sprint("a", n), CPID: "CP_1", At: charge.Time(n + 1), Cleared: true}
			if n < 7 {
				v.Username, r.Username, c.State, a.Cleared = "ana", "ana", orders.Rejected, false
				v.State = ledger.SessionOrphaned
				h.Missing = []ledger.Range{{First: 1, Last: 2}}
				r.Connector, r.Until, r.EndedAt, r.Reason, r.ConfirmedAt = charge.ConnectorID(n+2), 2000, 0, "", 5
			}
			switch n {
			case 7:
				r.Connector, r.Until, r.EndedAt, r.Reason = 10, 2000, 0, "" // not confirmed
			case 8:
				r.Reason = orders.EndUsed
			case 9:
				r.Connector, r.EndedAt, r.Reason = 11, 0, "" // over, although that is not stored
			}
			changes = append(changes, ledger.SessionChanged{Session: v}, ledger.GapChanged{Gap: h}, ledger.AlarmRaised{Alarm: a},
				ledger.TicketMade{Ticket: ledger.Ticket{ID: fmt.Sprint("t", n), SessionID: v.ID, CPID: "CP_1", Username: v.Username, EndedAt: charge.Time(n + 1)}})
			effects = append(effects, orders.SaveReservation{Reservation: r}, orders.SaveCommand{Command: c})
		}
		return errors.Join(tx.Ledger(changes), tx.Orders(effects))
	})
	ctx := t.Context()
	lists := map[string]func(q view.Query) []string{
		"sessions": func(q view.Query) []string {
			return paged(t, q, func(q view.Query) ([]ledger.Session, error) { return s.Sessions(ctx, q) }, func(v *ledger.Session) string { return string(v.ID) })
		},
		"tickets": func(q view.Query) []string {
			return paged(t, q, func(q view.Query) ([]ledger.Ticket, error) { return s.Tickets(ctx, q) }, func(v *ledger.Ticket) string { return v.ID })
		},
		"reservations": func(q view.Query) []string {
			return paged(t, q, func(q view.Query) ([]orders.Reservation, error) { return s.Reservations(ctx, q) }, func(v *orders.Reservation) string { return string(v.ID) })
		},
		"commands": func(q view.Query) []string {
			return paged(t, q, func(q view.Query) ([]store.CommandLife, error) { return s.Commands(ctx, q) }, func(v *store.CommandLife) string { return string(v.ID) })
		},
		"gaps": func(q view.Query) []string {
			return paged(t, q, func(q view.Query) ([]store.GapRow, error) { return s.Gaps(ctx, q) }, func(v *store.GapRow) string { return fmt.Sprint(v.N) })
		},
		"alarms": func(q view.Query) []string {
			return paged(t, q, func(q view.Query) ([]store.AlarmRow, error) { return s.Alarms(ctx, q) }, func(v *store.AlarmRow) string { return fmt.Sprint(v.N) })
		},
	}
	for _, c := range []struct {
		list string
		q    view.Query
		want []string
	}{
		{"sessions", view.Query{}, numbered("s", 39, 0)},
		{"sessions", view.Query{State: "orphaned"}, numbered("s", 6, 0)},
		{"sessions", view.Query{State: "open"}, nil},
		{"sessions", view.Query{State: view.SessionClosed}, numbered("s", 39, 7)},
		{"sessions", view.Query{Username: "ana"}, numbered("s", 6, 0)},
		{"sessions", view.Query{From: 3, To: 6}, numbered("s", 4, 2)},
		{"sessions", view.Query{CPID: "CP_2"}, nil},
		{"tickets", view.Query{Username: "ana", To: 4}, numbered("t", 2, 0)},
		{"tickets", view.Query{From: 40}, []string{"t39"}},
		{"reservations", view.Query{State: "active"}, numbered("r", 6, 0)},
		{"reservations", view.Query{State: "pending"}, []string{"r7"}},
		{"reservations", view.Query{State: "used"}, []string{"r8"}},
		{"reservations", view.Query{State: "ended"}, append([]string{"r9"}, numbered("r", 39, 10)...)}, // r9 was written last
		{"reservations", view.Query{Username: "ana", From: 2, To: 5}, numbered("r", 3, 1)},
		{"commands", view.Query{State: "rejected"}, numbered("c", 6, 0)},
		{"commands", view.Query{State: "sent"}, nil},
		{"commands", view.Query{From: 39}, numbered("c", 39, 38)},
		{"gaps", view.Query{State: "open"}, numbered("", 7, 1)},
		{"gaps", view.Query{State: "filled"}, numbered("", 40, 8)},
		{"gaps", view.Query{To: 3}, numbered("", 2, 1)},
		{"alarms", view.Query{State: "open"}, numbered("", 7, 1)},
		{"alarms", view.Query{State: "cleared"}, numbered("", 40, 8)},
		{"alarms", view.Query{From: 20, To: 22}, numbered("", 21, 20)},
	} {
		c.q.Now = now
		if got := lists[c.list](c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s %+v: got %q, want %q", c.list, c.q, got, c.want)
		}
	}
	for name, list := range map[string]func(q view.Query) error{
		"sessions":     func(q view.Query) error { _, err := s.Sessions(ctx, q); return err },
		"tickets":      func(q view.Query) error { _, err := s.Tickets(ctx, q); return err },
		"reservations": func(q view.Query) error { _, err := s.Reservations(ctx, q); return err },
		"commands":     func(q view.Query) error { _, err := s.Commands(ctx, q); return err },
		"gaps":         func(q view.Query) error { _, err := s.Gaps(ctx, q); return err },
		"alarms":       func(q view.Query) error { _, err := s.Alarms(ctx, q); return err },
		"records":      func(q view.Query) error { _, err := s.Records(ctx, q); return err },
	} {
		if err := list(view.Query{After: "CP_1/j1/99"}); !errors.Is(err, view.ErrGone) {
			t.Errorf("%s after a row that is not there: got %v, want ErrGone", name, err)
		}
		if err := list(view.Query{State: "nonsense"}); err == nil && name != "records" {
			t.Errorf("%s of a state that is none: no error", name)
		}
	}
}

// TestRecordsOfAllEnd: a list of records over all charging points is read to its
// end, each record once, and is bounded by when they were received.
func TestRecordsOfAllEnd(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	var all, second, early []string
	write(t, s, func(tx *store.Tx) error {
		changes := point()
		changes = append(changes, ledger.PointChanged{Point: ledger.Point{ID: "CP_2"}},
			ledger.JournalChanged{CPID: "CP_2", Journal: ledger.Journal{ID: "k1", OpenedAt: 1}},
			ledger.JournalChanged{CPID: "CP_2", Journal: ledger.Journal{ID: "k2", OpenedAt: 9}})
		errs := []error{tx.Ledger(changes)}
		add := func(cp charge.CPID, j charge.JournalID, seq charge.Seq, at charge.Time) {
			in := record(j, seq)
			in.Record.CPID = cp
			errs = append(errs, tx.Record(in, fmt.Sprint(j, seq), at))
		}
		for n := range charge.Seq(20) { // two at each moment
			add("CP_1", "j1", n+1, charge.Time(n/2+1))
			add("CP_2", "k1", n+1, charge.Time(n/2+1))
		}
		add("CP_2", "k2", 1, 3) // a later boot that was received early
		return errors.Join(errs...)
	})
	for at := 10; at >= 1; at-- {
		if at == 3 {
			all = append(all, "CP_2/k2/1")
		}
		for _, p := range []string{"CP_2/k1/", "CP_1/j1/"} {
			all = append(all, fmt.Sprint(p, 2*at), fmt.Sprint(p, 2*at-1))
		}
		if at == 4 {
			early = slices.Clone(all)
		}
	}
	early = all[len(early):]
	second = append([]string{"CP_2/k2/1"}, numbered("CP_2/k1/", 20, 1)...)
	for _, c := range []struct {
		q    view.Query
		want []string
	}{
		{view.Query{}, all},
		{view.Query{To: 4}, early},
		{view.Query{CPID: "CP_2"}, second},
		{view.Query{CPID: "CP_2", From: 3, To: 4}, []string{"CP_2/k2/1", "CP_2/k1/6", "CP_2/k1/5"}},
	} {
		got := paged(t, c.q, func(q view.Query) ([]view.Record, error) { return s.Records(t.Context(), q) }, (*view.Record).Key)
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %q, want %q", c.q, got, c.want)
		}
	}
	if _, err := s.Records(t.Context(), view.Query{CPID: "CP_1", After: "CP_2/k1/3"}); !errors.Is(err, view.ErrGone) {
		t.Errorf("after a record of another charging point: got %v, want ErrGone", err)
	}
}

// TestOneRow: each row that a list shows can be read alone.
func TestOneRow(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	_, changes := cpRows()
	ended := changes[1].(ledger.SessionChanged).Session
	ticket := filledValue[ledger.Ticket](900)
	ticket.SessionID, ticket.CPID = ended.ID, "CP_1"
	alarm := filledValue[ledger.Alarm](1000)
	write(t, s, func(tx *store.Tx) error {
		return tx.Ledger(append(changes, ledger.TicketMade{Ticket: ticket}, ledger.AlarmRaised{Alarm: alarm}))
	})
	if got, ok, err := s.Ticket(t.Context(), ticket.ID); got != ticket || !ok || err != nil {
		t.Errorf("ticket: got %+v %v %v, want %+v", got, ok, err, ticket)
	}
	if got, ok, err := s.Alarm(t.Context(), 1); !reflect.DeepEqual(got, store.AlarmRow{N: 1, Alarm: alarm}) || !ok || err != nil {
		t.Errorf("alarm: got %+v %v %v, want %+v", got, ok, err, alarm)
	}
	if _, ok, err := s.Ticket(t.Context(), "none"); ok || err != nil {
		t.Errorf("no ticket: got %v %v", ok, err)
	}
	if _, ok, err := s.Alarm(t.Context(), 2); ok || err != nil {
		t.Errorf("no alarm: got %v %v", ok, err)
	}
}

// TestSums: tickets are added by period and currency, a correction to the period in
// which its session ended, and a filter selects before.
func TestSums(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	write(t, s, func(tx *store.Tx) error {
		changes := point()
		for i, v := range []struct {
			at       charge.Time
			minor    money.Minor
			currency money.Currency
			username charge.Username
			corrects string
		}{
			{1767225599999, 100, "EUR", "ann", ""}, {1767225600000, 200, "EUR", "ann", ""}, {1767225600001, 30, "JPY", "bob", ""}, {1767312000000, -50, "EUR", "bob", "x"},
		} {
			id := charge.SessionID(fmt.Sprint("s", i))
			changes = append(changes, ledger.SessionChanged{Session: ledger.Session{ID: id, CPID: "CP_1", Connector: 1, State: ledger.SessionEnded}},
				ledger.TicketMade{Ticket: ledger.Ticket{
					ID: fmt.Sprint("t", i), SessionID: id, CPID: "CP_1", Connector: 1, Username: v.username, EndedAt: v.at, Energy: 10, Corrects: v.corrects,
					Cost: money.Amount{Minor: v.minor, Currency: v.currency},
				}})
		}
		return tx.Ledger(changes)
	})
	for _, c := range []struct {
		q    view.Query
		p    view.Period
		want []view.TicketTotal
	}{
		{view.Query{}, view.PeriodAll, []view.TicketTotal{{Currency: "EUR", Tickets: 2, Energy: 30, Cost: "2.50"}, {Currency: "JPY", Tickets: 1, Energy: 10, Cost: "30"}}},
		{view.Query{}, view.PeriodYear, []view.TicketTotal{
			{Period: "2026", Currency: "EUR", Tickets: 1, Energy: 20, Cost: "1.50"}, {Period: "2026", Currency: "JPY", Tickets: 1, Energy: 10, Cost: "30"}, {Period: "2025", Currency: "EUR", Tickets: 1, Energy: 10, Cost: "1.00"},
		}},
		{view.Query{Username: "ann", CPID: "CP_1"}, view.PeriodMonth, []view.TicketTotal{{Period: "2026-01", Currency: "EUR", Tickets: 1, Energy: 10, Cost: "2.00"}, {Period: "2025-12", Currency: "EUR", Tickets: 1, Energy: 10, Cost: "1.00"}}},
		{view.Query{From: 1767312000000}, view.PeriodDay, []view.TicketTotal{{Period: "2026-01-02", Currency: "EUR", Energy: 10, Cost: "-0.50"}}},
		{view.Query{Username: "none"}, view.PeriodDay, nil},
	} {
		got, err := s.Archive().SumTickets(t.Context(), c.q, c.p)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v by %s: got %+v %v, want %+v", c.q, c.p, got, err, c.want)
		}
	}
}

// TestAReservationShowsWhyItsSessionDidNotStart: the last start of it decides; none that
// is desired, done, or ended with the reservation is shown.
func TestAReservationShowsWhyItsSessionDidNotStart(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	write(t, s, func(tx *store.Tx) error {
		effects := []orders.Effect{}
		for i, c := range []struct {
			id      charge.ReservationID
			outcome string
			ended   charge.Time
		}{
			{"none", "", 0}, {"wanted", "occupied", 5}, {"wanted", "", 0}, {"refused", "meter_failed", 5}, {"done", "done", 5}, {"over", "reservation_ended", 5},
		} {
			effects = append(effects, orders.SaveReservation{Reservation: orders.Reservation{ID: c.id, CPID: "CP_1", Connector: 1, Username: "ana", Until: 1000, EndedAt: 9}})
			if c.id != "none" {
				effects = append(effects, orders.SaveDesired{Desired: orders.Desired{
					Kind: orders.DesiredStart, CPID: "CP_1", Connector: 1, SessionID: charge.SessionID(fmt.Sprint("s", i)), ReservationID: c.id, EndedAt: c.ended,
					Outcome: c.outcome, Limit: charge.SessionLimit{Energy: 7000, Amount: 350},
				}})
			}
		}
		return tx.Orders(effects)
	})
	for id, want := range map[charge.ReservationID]string{"none": "", "wanted": "", "refused": "meter_failed", "done": "", "over": ""} {
		v, err := s.Archive().Reservation(t.Context(), "ana", id)
		if err != nil || v == nil || v.NotStarted != want {
			t.Errorf("%s: got %+v, %v; want %q", id, v, err, want)
		}
	}
}
