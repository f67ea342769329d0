package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

func open(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: path, BusyTimeout: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func write(t *testing.T, s *store.Store, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// fill sets every field of a struct to something that is not zero, so that a
// column that is forgotten or swapped is seen.
func fill(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[charge.Epoch]() {
			v.Set(reflect.ValueOf(nth(int(*n))))
			return
		}
		for _, f := range v.Fields() {
			fill(f, n)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("s%d", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(*n)
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(fmt.Appendf(nil, "{\"n\":%d}", *n))
			return
		}
		s := reflect.MakeSlice(v.Type(), 2, 2)
		fill(s.Index(0), n)
		fill(s.Index(1), n)
		v.Set(s)
	}
}

func filledValue[T any](n int64) T {
	var v T
	fill(reflect.ValueOf(&v).Elem(), &n)
	return v
}

func cpRows() (*ledger.CP, []ledger.Change) {
	cp := ledger.NewCP("CP_1")
	cp.Point = filledValue[ledger.Point](100)
	cp.ID = "CP_1"
	j := filledValue[ledger.Journal](200)
	j.ID = cp.CurrentJournal
	cp.KnownRecords = int64(j.Last)
	k := filledValue[ledger.Connector](300)
	k.ID, k.Journal = 1, cp.CurrentJournal
	w := filledValue[ledger.Connector](400)
	w.ID, w.Journal = 2, cp.PendingJournal
	m := filledValue[ledger.Meter](500)
	m.Connector = 1
	o := filledValue[ledger.Session](600)
	o.CPID, o.Connector, o.State = cp.ID, 1, ledger.SessionOpen
	e := filledValue[ledger.Session](700)
	e.CPID, e.Connector, e.State = cp.ID, 1, ledger.SessionEnded
	h := filledValue[ledger.Gap](800)
	h.CPID = cp.ID
	cp.Journals[j.ID], cp.Connectors[1], cp.PendingConnectors[2], cp.Meters[1], cp.Sessions[o.ID], cp.Gaps[h.ID] = &j, &k, &w, &m, &o, &h
	return cp, []ledger.Change{
		ledger.SessionChanged{Session: o},
		ledger.SessionChanged{Session: e},
		ledger.GapChanged{Gap: h},
		ledger.MeterChanged{CPID: cp.ID, Meter: m},
		ledger.ConnectorChanged{CPID: cp.ID, Connector: k},
		ledger.ConnectorChanged{CPID: cp.ID, Connector: w},
		ledger.JournalChanged{CPID: cp.ID, Journal: j},
		ledger.PointChanged{Point: cp.Point},
	}
}

func TestWhatTheLedgerKeepsComesBackAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	s := open(t, path)
	cp, changes := cpRows()
	for range 2 { // the second time replaces
		write(t, s, func(tx *store.Tx) error { return tx.Ledger(changes) })
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	got, err := s.CPs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := map[charge.CPID]*ledger.CP{cp.ID: cp}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got["CP_1"], cp)
	}
	ended := changes[1].(ledger.SessionChanged).Session
	if v, ok, err := s.Session(t.Context(), ended.ID); err != nil || !ok || !reflect.DeepEqual(v, ended) {
		t.Errorf("ended session: got %+v %v %v, want %+v", v, ok, err, ended)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTotalsAddUp(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	_, changes := cpRows()
	ended := changes[1].(ledger.SessionChanged).Session
	write(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.Ledger(append(changes,
			ledger.MeterChanged{CPID: "CP_1", Meter: ledger.Meter{Connector: 1, First: 100, Last: 1000, Carried: 50, Billed: 600, Running: 250}},
			ledger.TicketMade{Ticket: ledger.Ticket{ID: "t", SessionID: ended.ID, CPID: "CP_1", Energy: 600}})),
			tx.Orders([]orders.Effect{
				orders.SaveReservation{Reservation: orders.Reservation{ID: "r1", Connector: 1, Until: 10}},
				orders.SaveReservation{Reservation: orders.Reservation{ID: "r2", Connector: 1, EndedAt: 5, Reason: orders.EndUsed}},
				orders.SaveReservation{Reservation: orders.Reservation{ID: "r3", Connector: 1, EndedAt: 5, Reason: "expired"}},
				orders.SaveReservation{Reservation: orders.Reservation{ID: "r4", Connector: 2, Until: 1000}},
			}))
	})
	want := store.Totals{
		Sessions: 2, Tickets: 1, Metered: 950, Billed: 600, Running: 250, Unaccounted: 100, Reservations: 4, Used: 1, Ended: 1, Overdue: 1,
	}
	if got, err := s.Totals(t.Context(), 500); err != nil || got != want {
		t.Errorf("got %+v %v, want %+v", got, err, want)
	}
}

func TestWhatIsWantedComesBackWhileItIsWanted(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	r := filledValue[orders.Reservation](100)
	r.Connector = 1
	gone := r
	r.Released, r.ID = false, "r-active"
	w := filledValue[orders.Desired](200)
	w.EndedAt = 0
	c := filledValue[orders.Command](300)
	c.State = orders.Sent
	q := filledValue[orders.Request](400)
	q.Ignored, q.Answer = false, nil
	answered := filledValue[orders.Request](500)
	answered.Ignored = false
	answered.Answer = &wire.CentralEvent{EventID: "e", EventType: wire.CentralAuthorization, MessageID: answered.MessageID}
	save := []orders.Effect{
		orders.SaveReservation{Reservation: gone},
		orders.SaveReservation{Reservation: r},
		orders.SaveDesired{Desired: w},
		orders.SaveCommand{Command: c},
		orders.SaveRequest{Request: q},
		orders.SaveRequest{Request: answered},
		orders.SaveFence{By: nth(7)},
		orders.Reply{},
		orders.PublishEvent{},
		orders.SendCommand{},
	}
	for range 2 {
		write(t, s, func(tx *store.Tx) error { return tx.Orders(save) })
	}
	if v, ok, err := s.Reservation(t.Context(), r.ID); err != nil || !ok || v != r {
		t.Errorf("reservation: got %+v %v %v, want %+v", v, ok, err, r)
	}
	if v, ok, err := s.Reservation(t.Context(), gone.ID); err != nil || !ok || v != gone {
		t.Errorf("reservation that is gone: got %+v %v %v, want %+v", v, ok, err, gone)
	}
	if v, ok, err := s.CommandOf(t.Context(), "", c.ID); err != nil || !ok || !reflect.DeepEqual(v.Command, c) || v.SentAt != c.ChangedAt || v.EndedAt != 0 {
		t.Errorf("command: got %+v %v %v, want %+v", v, ok, err, c)
	}
	for _, want := range []orders.Request{q, answered} {
		if v, ok, err := s.Request(t.Context(), want.Key()); err != nil || !ok || !reflect.DeepEqual(v, want) {
			t.Errorf("request: got %+v %v %v, want %+v", v, ok, err, want)
		}
	}
	if err := s.LoadOrders(t.Context(), orders.New(orders.Config{}, nth(1), orders.Numbers{})); err != nil {
		t.Error(err)
	}
	write(t, s, func(tx *store.Tx) error { _, err := tx.ForgetRequests(charge.MaxTime, 10); return err })
	if _, ok, err := s.Request(t.Context(), answered.Key()); ok || err != nil {
		t.Errorf("an old answer: got ok %v err %v, want it forgotten", ok, err)
	}
	if _, ok, err := s.Request(t.Context(), q.Key()); !ok || err != nil {
		t.Errorf("a request that runs: got ok %v err %v, want it kept", ok, err)
	}
}

func TestACommandRemembersItsLife(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	c := filledValue[orders.Command](1)
	for i, st := range []orders.CommandState{orders.Written, orders.Sent, orders.Sent, orders.Accepted, orders.Done} {
		c.State, c.SendCount, c.ChangedAt = st, i, charge.Time(1000+i)
		write(t, s, func(tx *store.Tx) error { return tx.Orders([]orders.Effect{orders.SaveCommand{Command: c}}) })
	}
	got, _, err := s.CommandOf(t.Context(), "", c.ID)
	if err != nil || got.SentAt != 1001 || got.AcceptedAt != 1003 || got.EndedAt != 1004 {
		t.Errorf("got sent %d accepted %d ended %d err %v, want 1001 1003 1004", got.SentAt, got.AcceptedAt, got.EndedAt, err)
	}
}

func record(j charge.JournalID, seq charge.Seq) ledger.Input {
	raw := fmt.Appendf(nil, `{"cp_id":%q,"journal":%q,"seq":%d}`, "CP_1", j, seq)
	return ledger.Input{Raw: raw, Record: wire.Record{CPID: "CP_1", Journal: j, Seq: seq}}
}

func point() []ledger.Change {
	return []ledger.Change{
		ledger.PointChanged{Point: ledger.Point{ID: "CP_1"}},
		ledger.JournalChanged{CPID: "CP_1", Journal: ledger.Journal{ID: "j1", Last: 40, OpenedAt: 5}},
	}
}

func TestRecordsAreKeptOnce(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	write(t, s, func(tx *store.Tx) error {
		errs := []error{tx.Ledger(point())}
		for seq := range charge.Seq(40) {
			errs = append(errs, tx.Record(record("j1", seq+1), fmt.Sprint("h", seq+1), charge.Time(seq)))
		}
		return errors.Join(errs...)
	})
	if h, ok, err := s.HashOf(t.Context(), "CP_1", "j1", 40); h != "h40" || !ok || err != nil {
		t.Errorf("hash: got %q %v %v, want h40", h, ok, err)
	}
	if _, ok, err := s.HashOf(t.Context(), "CP_1", "j1", 41); ok || err != nil {
		t.Errorf("hash of a record that is not there: got ok %v err %v", ok, err)
	}
	err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.Record(record("j1", 7), "h7", 0) })
	if err == nil || !strings.Contains(err.Error(), "UNIQUE") {
		t.Errorf("a record applied twice: got %v, want a refusal", err)
	}
	if _, r := store.Diagnose(err); r != store.RemedyRow {
		t.Errorf("a refusal is the row's fault, not %q: %v", r, err)
	}
	page, err := s.Records(t.Context(), view.Query{CPID: "CP_1", After: "CP_1/j1/11", Limit: 3})
	if err != nil || len(page) != 3 || page[0].Seq != 10 {
		t.Errorf("page: got %+v %v, want records 10 9 8", page, err)
	}
	if all, err := s.Records(t.Context(), view.Query{Limit: 5}); err != nil || len(all) != 5 || all[0].Seq != 40 {
		t.Errorf("latest of all: got %d %v, want 5 from 40", len(all), err)
	}
}

func TestTicketsNeverChange(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	_, changes := cpRows()
	ended := changes[1].(ledger.SessionChanged).Session
	ticket := filledValue[ledger.Ticket](900)
	ticket.SessionID, ticket.CPID = ended.ID, "CP_1"
	write(t, s, func(tx *store.Tx) error { return tx.Ledger(append(changes, ledger.TicketMade{Ticket: ticket})) })
	page, err := s.Tickets(t.Context(), view.Query{})
	if err != nil || len(page) != 1 || page[0] != ticket {
		t.Errorf("got %+v %v, want %+v", page, err, ticket)
	}
	second := ticket
	second.ID = "t.other"
	for _, again := range []ledger.Ticket{ticket, second} {
		if err := s.Write(t.Context(), func(tx *store.Tx) error {
			return tx.Ledger([]ledger.Change{ledger.TicketMade{Ticket: again}})
		}); err == nil {
			t.Errorf("a second ticket %s of one session was taken", again.ID)
		}
	}
	db, err := sql.Open("sqlite3", s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, q := range []string{"UPDATE tickets SET cost_minor=0", "DELETE FROM tickets"} {
		if _, err := db.ExecContext(t.Context(), q); err == nil {
			t.Errorf("%s was allowed", q)
		}
	}
}

func TestOneOpenSessionAndOneActiveReservationPerConnector(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	open := func(id charge.SessionID) ledger.Change {
		return ledger.SessionChanged{Session: ledger.Session{ID: id, CPID: "CP_1", Connector: 1, State: ledger.SessionOpen}}
	}
	write(t, s, func(tx *store.Tx) error { return tx.Ledger(append(point(), open("s1"))) })
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.Ledger([]ledger.Change{open("s2")}) }); err == nil {
		t.Error("a second open session was taken")
	}
	// What ends first is written first, whatever the order of the changes.
	write(t, s, func(tx *store.Tx) error {
		return tx.Ledger([]ledger.Change{open("s2"), ledger.SessionChanged{Session: ledger.Session{
			ID: "s1", CPID: "CP_1", Connector: 1, State: ledger.SessionOrphaned,
		}}})
	})
	reserve := func(id charge.ReservationID, end charge.Time) orders.Effect {
		return orders.SaveReservation{Reservation: orders.Reservation{ID: id, CPID: "CP_1", Connector: 1, EndedAt: end}}
	}
	write(t, s, func(tx *store.Tx) error { return tx.Orders([]orders.Effect{reserve("r1", 0)}) })
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.Orders([]orders.Effect{reserve("r2", 0)}) }); err == nil {
		t.Error("a second active reservation was taken")
	}
	write(t, s, func(tx *store.Tx) error { return tx.Orders([]orders.Effect{reserve("r2", 0), reserve("r1", 9)}) })
}

func TestAFailedTransactionLeavesNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	wrong := errors.New("no")
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.Offset("cp-events", 0, 7, 1), tx.Count("applied", 3),
			tx.Outbox("central-events", "k", nil, []byte("v"), 1), tx.Ledger(point()),
			tx.Record(record("j1", 1), "h", 1), wrong)
	})
	if !errors.Is(err, wrong) {
		t.Fatalf("got %v, want the error of the function", err)
	}
	_, _, known, err := s.Offset(t.Context(), "cp-events", 0)
	cps, err2 := s.CPs(t.Context())
	out, err3 := s.Outbox(t.Context(), "central-events", 0, 10)
	counters, err4 := s.Counters(t.Context())
	if err := errors.Join(err, err2, err3, err4); err != nil || known || len(cps)+len(out)+len(counters) > 0 {
		t.Errorf("something is left: offset %v, %d points, %d rows to send, counters %v, err %v", known, len(cps), len(out), counters, err)
	}
	write(t, s, func(tx *store.Tx) error { return tx.Ledger(point()) })
}

func TestOutboxKeepsItsOrderAndIsDrainedInPages(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	write(t, s, func(tx *store.Tx) error {
		var errs []error
		for i := range 5 {
			errs = append(errs, tx.Outbox("t", fmt.Sprint(i), map[string]string{"reason": "r"}, []byte{byte(i)}, 1), tx.Outbox("u", "k", nil, nil, 1))
		}
		return errors.Join(errs...)
	})
	page, err := s.Outbox(t.Context(), "t", 0, 3)
	if err != nil || len(page) != 3 || page[2].Key != "2" || page[0].Headers["reason"] != "r" {
		t.Fatalf("first page: %+v %v", page, err)
	}
	write(t, s, func(tx *store.Tx) error { return tx.OutboxSent([]int64{page[0].ID, page[2].ID}) })
	rest, err := s.Outbox(t.Context(), "t", 0, 10)
	if err != nil || len(rest) != 3 || rest[0].Key != "1" || rest[1].Key != "3" {
		t.Errorf("rest: %+v %v, want 1 3 4", rest, err)
	}
	if topics, err := s.OutboxTopics(t.Context()); err != nil || !slices.Equal(topics, []string{"t", "u"}) {
		t.Errorf("topics: %q %v, want t and u", topics, err)
	}
}

func TestDeadLettersAreNotedOnce(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	var first, again bool
	write(t, s, func(tx *store.Tx) (err error) {
		if first, err = tx.DeadLetter(view.DeadLetter{Topic: "cp-events", Partition: 1, Offset: 7, Key: "k", Reason: "why", At: 1, Size: 3}, 1<<31, []byte("a\x00\xff")); err != nil {
			return err
		}
		again, err = tx.DeadLetter(view.DeadLetter{Topic: "cp-events", Partition: 1, Offset: 7, Key: "k", Reason: "why", At: 2}, 1<<31, nil)
		return err
	})
	if !first || again {
		t.Errorf("got fresh %v then %v, want true then false", first, again)
	}
}

func TestATariffVersionNeverChanges(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	a := ledger.Tariff{Version: "v1", StartFee: 100 * money.MinorUnit, PerKWh: 427_500, Currency: "EUR"}
	for range 2 {
		write(t, s, func(tx *store.Tx) error { return tx.Tariff(a, 1) })
	}
	b := a
	b.PerKWh++
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.Tariff(b, 1) }); err == nil || !strings.Contains(err.Error(), "new version") {
		t.Errorf("got %v, want a refusal with a remedy", err)
	}
}

func TestASecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	open(t, path)
	if _, err := store.Open(t.Context(), store.Options{Path: path}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
}

func TestAFileOfANewerProgramIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	s := open(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", path)
	if err == nil {
		_, err = db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id,is_applied) VALUES (99,1)")
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Options{Path: path}); err == nil || !strings.Contains(err.Error(), "99") {
		t.Errorf("got %v, want a refusal that names version 99", err)
	}
}

func TestAFullDiskRollsBackAndHeals(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "c.db"), MaxPages: 120})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	write(t, s, func(tx *store.Tx) error { return tx.Offset("t", 0, 0, 0) })
	n, err := int64(0), error(nil)
	for err == nil && n < 1000 {
		n++
		err = s.Write(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.Outbox("t", "k", nil, make([]byte, 4000), 1), tx.Offset("t", 0, n, 0))
		})
	}
	why, r := store.Diagnose(err)
	if r != store.RemedyWait || !strings.Contains(why.String(), "full") {
		t.Fatalf("got %v (%s), want a full disk", err, why)
	}
	if next, _, _, err := s.Offset(t.Context(), "t", 0); err != nil || next != n-1 {
		t.Errorf("offset: got %d %v, want %d: the last commit", next, err, n-1)
	}
	page, err := s.Outbox(t.Context(), "t", 0, 20)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, o := range page {
		ids = append(ids, o.ID)
	}
	write(t, s, func(tx *store.Tx) error { return tx.OutboxSent(ids) })
	write(t, s, func(tx *store.Tx) error { return tx.Outbox("t", "k", nil, make([]byte, 4000), 1) })
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestALockHeldByAnotherProgramIsTransient(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	other, err := sql.Open("sqlite3", "file:"+s.Path()+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	fn := func(tx *store.Tx) error { return tx.Count("n", 1) }
	err = s.Write(t.Context(), fn)
	if why, r := store.Diagnose(err); r != store.RemedyWait || !strings.Contains(why.String(), "locked") {
		t.Errorf("got %v (%s), want a lock", err, why)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	write(t, s, fn)
}

func TestAnEndedContextStartsNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, func(*store.Tx) error { t.Error("was run"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

// A reader that takes its time lets the write-ahead log grow; when it has ended
// the log is cut to its limit.
func TestTheWriteAheadLogShrinksAgain(t *testing.T) {
	const limit = 8 << 20
	path := filepath.Join(t.TempDir(), "c.db")
	s := open(t, path)
	log := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	fill := func(n int) {
		for i := range n { // not twice the same: equal pages are not written
			write(t, s, func(tx *store.Tx) error {
				return tx.Setting("filler", strings.Repeat(fmt.Sprint(i%10), 1<<20))
			})
		}
	}
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reader.QueryRowContext(t.Context(), "SELECT count(*) FROM cps").Scan(&n); err != nil {
		t.Fatal(err)
	}
	fill(20)
	if log() <= limit {
		t.Fatalf("the log has %d bytes beside a reader: the test shows nothing", log())
	}
	if err := errors.Join(reader.Rollback(), db.Close()); err != nil {
		t.Fatal(err)
	}
	fill(3)
	if log() > limit {
		t.Errorf("the log still has %d bytes, want at most %d", log(), limit)
	}
}

func TestRecentLoadsTheJournalsThatGrewLast(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	cp := ledger.Point{ID: "CP_1", CurrentJournal: "j9"}
	changes := []ledger.Change{ledger.PointChanged{Point: cp}, ledger.PointChanged{Point: ledger.Point{ID: "CP_2"}}}
	for i := range 10 {
		changes = append(changes, ledger.JournalChanged{CPID: "CP_1", Journal: ledger.Journal{
			ID: charge.JournalID(fmt.Sprint("j", i)), Last: charge.Seq(i + 1), Hash: fmt.Sprint("h", i), GrownAt: charge.Time(100 + i), OpenedAt: 1,
		}})
	}
	changes = append(changes, ledger.JournalChanged{CPID: "CP_2", Journal: ledger.Journal{ID: "k", Last: 7, GrownAt: 1}})
	write(t, s, func(tx *store.Tx) error { return tx.Ledger(changes) })
	for _, ids := range [][]charge.CPID{nil, {"CP_1"}, {"CP_1", "CP_9"}} {
		cps, err := s.Recent(t.Context(), 3, ids...)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.Sorted(maps.Keys(cps["CP_1"].Journals))
		if want := []charge.JournalID{"j7", "j8", "j9"}; !slices.Equal(got, want) || cps["CP_1"].KnownRecords != 55 {
			t.Errorf("of %v: got journals %v and %d records known, want %v and 55", ids, got, cps["CP_1"].KnownRecords, want)
		}
		if _, other := cps["CP_2"]; other != (ids == nil) || cps["CP_9"] != nil {
			t.Errorf("of %v: got %v", ids, slices.Sorted(maps.Keys(cps)))
		}
	}
	if j, ok, err := s.Journal(t.Context(), "CP_1", "j2"); err != nil || !ok || j.Last != 3 {
		t.Errorf("got %+v %v %v, want journal j2", j, ok, err)
	}
	if _, ok, err := s.Journal(t.Context(), "CP_2", "j2"); err != nil || ok {
		t.Errorf("got a journal of another charging point: %v", err)
	}
	if id, ok, err := s.JournalEnding(t.Context(), "CP_1", "h4"); err != nil || !ok || id != "j4" {
		t.Errorf("got %q %v %v, want j4", id, ok, err)
	}
}

// nth is the epoch of the nth start of Central.
func nth(n int) charge.Epoch { return charge.Epoch{Number: uint64(n), Run: fmt.Sprintf("%016x", n)} }

// A boot that is forgotten and comes back in one transaction keeps the
// connectors it came back with.
func TestABootThatComesBackKeepsItsConnectors(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	connector := func(id charge.ConnectorID, register charge.WattHours) ledger.Change {
		return ledger.ConnectorChanged{CPID: "CP_1", Connector: ledger.Connector{Journal: "j", ID: id, Register: register}}
	}
	write(t, s, func(tx *store.Tx) error {
		return tx.Ledger([]ledger.Change{
			ledger.PointChanged{Point: ledger.Point{ID: "CP_1", CurrentJournal: "j"}},
			connector(1, 1), connector(2, 1),
			ledger.BootDeleted{CPID: "CP_1", Journal: "j"},
			connector(1, 7),
		})
	})
	cps, err := s.CPs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c := cps["CP_1"].Connectors; len(c) != 1 || c[1].Register != 7 {
		t.Errorf("got %+v, want connector 1 as it came back", c)
	}
}

// TestSeries: the points of a connector come from its meter_read records, by their
// own time, and a long time is thinned without reading it all.
func TestSeries(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	const records = 20_000
	write(t, s, func(tx *store.Tx) error {
		changes := append(point(), ledger.JournalChanged{CPID: "CP_1", Journal: ledger.Journal{ID: "j1", Last: records, OpenedAt: 1, GrownAt: 1000 * records}})
		if err := tx.Ledger(changes); err != nil {
			return err
		}
		for n := range records {
			r := wire.Record{
				V: wire.Version, CPID: "CP_1", Journal: "j1", Seq: charge.Seq(n + 1), Prev: "", Connector: charge.ConnectorID(1 + n%2), At: charge.Time(1000 * (n + 1)),
				Clock: charge.ClockSynced, Type: wire.TypeMeterRead, Data: fmt.Appendf(nil, `{"register_wh":%d,"power_w":%d}`, n, 7000+n%2),
			}
			if n%10 == 0 {
				r.Type, r.Data = wire.TypePluggedIn, []byte(`{}`)
			}
			if err := tx.Record(ledger.Input{Raw: ledgertest.Raw(r), Record: r}, "h", 1000*records); err != nil {
				return err
			}
		}
		return nil
	})
	began := time.Now()
	for _, c := range []struct {
		from, to    charge.Time
		limit       int
		least, most int
	}{
		{1, charge.MaxTime, 100, 90, 100},
		{10_000, 20_000, 100, 4, 5},
		{10_000, 20_000, 2, 1, 2},
		{0, 1000, 10, 0, 0},
		{1000*records + 1, charge.MaxTime, 10, 0, 0},
		{1000 * (records - 4), charge.MaxTime, 10, 2, 3},
	} {
		got, err := s.Series(t.Context(), "CP_1", 2, c.from, c.to, c.limit)
		if err != nil || len(got) < c.least || len(got) > c.most {
			t.Errorf("%+v: %d points, %v", c, len(got), err)
		}
		for i, p := range got {
			if p.At < c.from || p.At >= c.to || p.Power != 7001 || int64(p.Register) != int64(p.At)/1000-1 || i > 0 && p.At <= got[i-1].At {
				t.Errorf("%+v: point %+v", c, p)
			}
		}
	}
	t.Logf("read in %s", time.Since(began))
	if got, err := s.Series(t.Context(), "CP_9", 1, 1, charge.MaxTime, 10); err != nil || len(got) != 0 {
		t.Errorf("of an unknown charging point: %v %v", got, err)
	}
}
