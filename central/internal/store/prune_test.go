package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/carga-ev/carga/central/internal/audit"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

const (
	hour  charge.Time = 3_600_000
	day               = 24 * hour
	epoch             = 1_795_341_600_000
)

// databaseOfAMonth returns a database with sixty days of n charging points: a record
// every two hours, a session every day, a boot every ten days, and a session of the
// first charging point that runs since a given day.
func databaseOfAMonth(t *testing.T, n, runningSince int) *store.Store {
	t.Helper()
	s := open(t, filepath.Join(t.TempDir(), "central.db"))
	tariff := ledger.Tariff{Version: "t1", StartFee: 50 * money.MinorUnit, PerKWh: 40 * money.MinorUnit, Currency: "EUR"}
	write(t, s, func(tx *store.Tx) error { return tx.Tariff(tariff, 1) })
	for i := range n {
		id := charge.CPID(fmt.Sprintf("CP_%03d", i))
		device, cp := ledgertest.NewChargingPoint(id, 1, epoch), ledger.NewCP(id)
		ended := map[charge.SessionID]ledger.Session{}
		published := 0
		publish := func() {
			write(t, s, func(tx *store.Tx) error {
				for ; published < len(device.Log); published++ {
					r := device.Log[published]
					in := ledger.Input{Raw: ledgertest.Raw(r), Record: r}
					out, changes := ledger.Apply(cp, &ledger.Env{
						Now: device.Now, Default: tariff, AdmitNew: true,
						Session: func(id charge.SessionID) (ledger.Session, bool) { v, ok := ended[id]; return v, ok },
					}, in)
					if out.Verdict != ledger.Applied {
						return fmt.Errorf("record %d: %s", published, out.Verdict)
					}
					for _, c := range changes {
						if c, ok := c.(ledger.SessionChanged); ok && c.Session.State == ledger.SessionEnded {
							ended[c.Session.ID] = c.Session
						}
					}
					if err := errors.Join(tx.Ledger(changes), tx.Record(in, out.Hash, device.Now)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		for d := range 60 {
			if d%10 == 0 {
				device.Boot()
			}
			if device.Connectors[1].Session == "" {
				device.Plug(1)
				device.Grant(1, charge.SessionID(fmt.Sprintf("%s-%d", id, d)), "ann", "t1")
				device.Begin(1)
			}
			for range 12 {
				device.Now += 2 * hour
				device.Flow(1, 10)
				device.Sample(1)
			}
			if i > 0 || d < runningSince {
				device.Unplug(1)
			}
			publish()
		}
	}
	return s
}

// prune goes on until all was looked at, and counts the calls.
func prune(t *testing.T, s *store.Store, before charge.Time) (calls int) {
	t.Helper()
	for more := true; more; calls++ {
		write(t, s, func(tx *store.Tx) (err error) {
			more, err = tx.Prune(before, 2000)
			return err
		})
		if calls > 1000 {
			t.Fatal("pruning does not end")
		}
	}
	return calls
}

func held(t *testing.T, s *store.Store, cp charge.CPID) (n int, oldest charge.Time) {
	t.Helper()
	err := s.RecordsOf(t.Context(), cp, func(_ charge.JournalID, _ charge.Seq, _ string, raw []byte) error {
		r, err := wire.DecodeRecord(raw)
		if n == 0 {
			oldest = r.At
		}
		n++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, oldest
}

func audited(t *testing.T, s *store.Store) *audit.Report {
	t.Helper()
	r, err := audit.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if r.Wrong() != 0 {
		t.Errorf("not sound: %+v", r.Checks)
	}
	return r
}

func TestPruningKeepsWhatTheBooksNeed(t *testing.T) {
	s := databaseOfAMonth(t, 2, 15) // a session runs since day 15
	before := audited(t, s)
	n0, _ := held(t, s, "CP_000")
	n1, _ := held(t, s, "CP_001")
	now := epoch + 60*day
	prune(t, s, now-35*day)
	if n, oldest := held(t, s, "CP_001"); n >= n1 || oldest < now-36*day || oldest > now-34*day {
		t.Errorf("held of CP_001: %d of %d from day %d on, want 35 days", n, n1, (oldest-epoch)/day)
	}
	// The records of the session that runs are needed to bill it.
	if n, oldest := held(t, s, "CP_000"); n >= n0 || oldest > epoch+15*day || oldest < epoch+13*day {
		t.Errorf("held of CP_000: %d of %d from day %d on, want them from day 14", n, n0, (oldest-epoch)/day)
	}
	after := audited(t, s)
	if after.Hash != before.Hash || after.Pruned != 2 {
		t.Errorf("pruning changed the ledger: %s, was %s; %d pruned", after.Hash, before.Hash, after.Pruned)
	}
	if calls := prune(t, s, now-35*day); calls != 1 {
		t.Errorf("nothing to do took %d calls, want 1", calls)
	}
	prune(t, s, now+day)
	if n, _ := held(t, s, "CP_001"); n != 0 || audited(t, s).Hash != before.Hash {
		t.Errorf("all is old: %d held", n)
	}
}

// Each call deletes at most its limit, whatever has gathered.
func TestPruningIsBounded(t *testing.T) {
	s := databaseOfAMonth(t, 2, 60)
	n0, _ := held(t, s, "CP_000")
	n1, _ := held(t, s, "CP_001")
	left := n0 + n1
	for more := true; more; {
		write(t, s, func(tx *store.Tx) (err error) {
			more, err = tx.Prune(epoch+100*day, 300)
			return err
		})
		n0, _ := held(t, s, "CP_000")
		n1, _ := held(t, s, "CP_001")
		if gone := left - n0 - n1; gone > 300 || gone == 0 && more {
			t.Fatalf("one call deleted %d", gone)
		}
		left = n0 + n1
	}
	if left != 0 {
		t.Errorf("%d are left", left)
	}
	audited(t, s)
}

func TestPruningDeletesWhatEnded(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "central.db"))
	write(t, s, func(tx *store.Tx) error {
		var errs []error
		for i, at := range []charge.Time{100, 900} {
			id := fmt.Sprint(i)
			open := orders.Command{ID: charge.CommandID("open" + id), State: orders.Accepted, ChangedAt: at}
			done := orders.Command{ID: charge.CommandID("done" + id), State: orders.Done, ChangedAt: at}
			errs = append(errs, tx.Orders([]orders.Effect{
				orders.SaveCommand{Command: open},
				orders.SaveCommand{Command: done},
				orders.SaveReservation{Reservation: orders.Reservation{ID: charge.ReservationID("gone" + id), CPID: "CP_1", EndedAt: at, Released: true}},
				orders.SaveReservation{Reservation: orders.Reservation{ID: charge.ReservationID("held" + id), CPID: "CP_1", EndedAt: at}},
				orders.SaveDesired{Desired: orders.Desired{Kind: "start", CPID: "CP_1", SessionID: charge.SessionID(id), EndedAt: at}},
			}))
			_, err := tx.DeadLetter(view.DeadLetter{Topic: "t", Offset: int64(i), At: at}, 1, nil)
			errs = append(errs, err, tx.Ledger([]ledger.Change{
				ledger.AlarmRaised{Alarm: ledger.Alarm{ID: "over" + id, At: at, Cleared: true}},
				ledger.AlarmRaised{Alarm: ledger.Alarm{ID: "open" + id, At: at}},
			}))
		}
		return errors.Join(errs...)
	})
	prune(t, s, 500)
	commands, err1 := s.Commands(t.Context(), view.Query{})
	reservations, err2 := s.Reservations(t.Context(), view.Query{})
	alarms, err3 := s.Alarms(t.Context(), view.Query{})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, c := range commands {
		left = append(left, string(c.ID))
	}
	for _, r := range reservations {
		left = append(left, string(r.ID))
	}
	for _, a := range alarms {
		left = append(left, a.ID)
	}
	if got, want := fmt.Sprint(left), "[done1 open1 open0 held1 gone1 held0 open1 over1 open0]"; got != want {
		t.Errorf("left: got %s, want %s", got, want)
	}
	for table, want := range map[string]int{"desired_states": 1, "dead_letters": 1} {
		if got := count(t, s.Path(), table); got != want {
			t.Errorf("%s: %d left, want %d", table, got, want)
		}
	}
}
