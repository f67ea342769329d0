package store_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

func openStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "c.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestTheAuditLogIsOnlyAddedTo: by no statement of this program or another one.
func TestTheAuditLogIsOnlyAddedTo(t *testing.T) {
	s := openStore(t)
	entry := access.Entry{At: 5, By: "root", Role: access.Admin, Operation: "stop", Target: "s1", From: "192.0.2.1", Result: access.Done, Commands: []charge.CommandID{"k1"}}
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.Entry(entry) }); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"UPDATE audit_log SET by='eve'", "DELETE FROM audit_log", "INSERT OR REPLACE INTO audit_log SELECT n,9,'eve',role,operation,target,origin,result,commands FROM audit_log"} {
		if err := store.Exec(t.Context(), s, statement); err == nil || !strings.Contains(err.Error(), "only added to") {
			t.Errorf("%s: got %v", statement, err)
		}
	}
	all, err := s.Entries(t.Context(), view.Query{})
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v %v", all, err)
	}
	if got := all[0]; got.N != 1 || got.By != "root" || got.At != 5 || len(got.Commands) != 1 || got.Commands[0] != "k1" {
		t.Errorf("got %+v", got)
	}
}

// TestEntriesAreFiltered and come newest first, page by page.
func TestEntriesAreFiltered(t *testing.T) {
	s := openStore(t)
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		for i, by := range []string{"ana", "ben", "ana", "ben", "ana"} {
			if err := tx.Entry(access.Entry{At: charge.Time(i + 1), By: by, Operation: []string{"stop", "start"}[i%2], Result: access.Done}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    view.Query
		want []int64
	}{
		{view.Query{}, []int64{5, 4, 3, 2, 1}},
		{view.Query{By: "ana"}, []int64{5, 3, 1}},
		{view.Query{By: "ana", Operation: "start"}, nil},
		{view.Query{Operation: "start", Limit: 1}, []int64{4}},
		{view.Query{After: "4", Limit: 2}, []int64{3, 2}},
		{view.Query{From: 2, To: 4}, []int64{3, 2}},
	} {
		all, err := s.Entries(t.Context(), c.q)
		var got []int64
		for _, e := range all {
			got = append(got, e.N)
		}
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%+v: got %v %v, want %v", c.q, got, err, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%+v: got %v, want %v", c.q, got, c.want)
			}
		}
	}
}

// TestOwners: what belongs to another driver is not there, in lists and by id.
func TestOwners(t *testing.T) {
	s := openStore(t)
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		cp := ledger.NewCP("CP")
		if err := tx.Ledger([]ledger.Change{
			ledger.PointChanged{Point: cp.Point},
			ledger.SessionChanged{Session: ledger.Session{ID: "s1", CPID: "CP", Connector: 1, State: ledger.SessionOpen, Username: "ana"}},
			ledger.SessionChanged{Session: ledger.Session{ID: "s2", CPID: "CP", Connector: 1, State: ledger.SessionEnded, Username: "ben"}},
			ledger.TicketMade{Ticket: ledger.Ticket{ID: "t.s1", SessionID: "s1", CPID: "CP", Connector: 1, Username: "ana"}},
			ledger.TicketMade{Ticket: ledger.Ticket{ID: "t.s2", SessionID: "s2", CPID: "CP", Connector: 1, Username: "ben"}},
		}); err != nil {
			return err
		}
		command := func(id string, r charge.ReservationID, session charge.SessionID, data string) orders.Effect {
			return orders.SaveCommand{Command: orders.Command{
				ID: charge.CommandID(id), CPID: "CP", Connector: 1, Type: "START", ReservationID: r, SessionID: session, Data: []byte(data), State: orders.Sent, IssuedAt: 1,
			}}
		}
		return tx.Orders([]orders.Effect{
			orders.SaveReservation{Reservation: orders.Reservation{ID: "r1", CPID: "CP", Connector: 1, Username: "ana", MadeAt: 1, Until: 9}},
			orders.SaveReservation{Reservation: orders.Reservation{ID: "r2", CPID: "CP", Connector: 2, Username: "ben", MadeAt: 1, Until: 9}},
			command("k1", "r1", "", ""), command("k2", "", "s1", "{}"), command("k3", "", "s9", `{"username":"ana"}`),
			command("k4", "r2", "s2", `{"username":"ben"}`), command("k5", "", "", "not JSON"),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	has := func(_ any, ok bool, err error) bool {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		return ok
	}
	for _, c := range []struct {
		owner  charge.Username
		own    string // the digits of what it has
		number int    // of items in each list
	}{{"ana", "1", 1}, {"ben", "2", 1}, {"Ana", "", 0}, {"", "12", 2}, {"' OR 1=1 --", "", 0}} {
		for _, n := range []string{"1", "2"} {
			s1, o1, e1 := s.SessionOf(t.Context(), c.owner, charge.SessionID("s"+n))
			t1, o2, e2 := s.TicketOf(t.Context(), c.owner, "t.s"+n)
			r1, o3, e3 := s.ReservationOf(t.Context(), c.owner, charge.ReservationID("r"+n))
			want := strings.Contains(c.own, n)
			if has(s1, o1, e1) != want || has(t1, o2, e2) != want || has(r1, o3, e3) != want {
				t.Errorf("%q, %s: %v %v %v, want %v", c.owner, n, o1, o2, o3, want)
			}
		}
		for id, owners := range map[charge.CommandID]string{"k1": "ana", "k2": "ana", "k3": "ana", "k4": "ben", "k5": ""} {
			k, ok, err := s.CommandOf(t.Context(), c.owner, id)
			if want := c.owner == "" || string(c.owner) == owners; has(k, ok, err) != want {
				t.Errorf("%q: %s: %v", c.owner, id, ok)
			}
		}
		sessions, e1 := s.Sessions(t.Context(), view.Query{Owner: c.owner})
		tickets, e2 := s.Tickets(t.Context(), view.Query{Owner: c.owner})
		reservations, e3 := s.Reservations(t.Context(), view.Query{Owner: c.owner})
		if e1 != nil || e2 != nil || e3 != nil || len(sessions) != c.number || len(tickets) != c.number || len(reservations) != c.number {
			t.Errorf("%q: %d sessions, %d tickets, %d reservations, want %d; %v %v %v", c.owner, len(sessions), len(tickets), len(reservations), c.number, e1, e2, e3)
		}
	}
	if all, err := s.Tickets(t.Context(), view.Query{Owner: "ana", Username: "ben"}); err != nil || len(all) != 0 {
		t.Errorf("a filter shows what is another driver's: %+v %v", all, err)
	}
	if _, err := s.Commands(t.Context(), view.Query{Owner: "ana"}); err == nil {
		t.Error("a list without owners was given to one")
	}
}
