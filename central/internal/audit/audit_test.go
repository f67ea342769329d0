package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/internal/audit"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/internal/store/storetest"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

const morning charge.Time = 1_795_341_600_000

// standardTariff is the tariff of sessions that name no known one.
func standardTariff() ledger.Tariff {
	return ledger.Tariff{Version: "t1", StartFee: 50 * money.MinorUnit, PerKWh: 40 * money.MinorUnit, Currency: "EUR"}
}

// fixture writes what charging points publish into a database, as Central does.
type fixture struct {
	t     *testing.T
	s     *store.Store
	now   charge.Time
	cps   map[charge.CPID]*ledger.CP
	ended map[charge.SessionID]ledger.Session
	bills map[string]ledger.Ticket
}

func newFixture(t *testing.T, path string) *fixture {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	b := &fixture{t: t, s: s, now: morning, cps: map[charge.CPID]*ledger.CP{}, ended: map[charge.SessionID]ledger.Session{}, bills: map[string]ledger.Ticket{}}
	b.write(func(tx *store.Tx) error {
		return errors.Join(tx.Epoch(epoch(1), morning), tx.Tariff(standardTariff(), morning),
			tx.Tariff(ledger.Tariff{Version: "2026-1", StartFee: 10 * money.MinorUnit, PerKWh: 33 * money.MinorUnit, Currency: "EUR"}, morning))
	})
	return b
}

func (b *fixture) write(fn func(tx *store.Tx) error) {
	b.t.Helper()
	if err := b.s.Write(b.t.Context(), fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *fixture) env() *ledger.Env {
	return &ledger.Env{
		Now: b.now, Central: epoch(1), Default: standardTariff(), AdmitNew: true,
		Session: func(id charge.SessionID) (ledger.Session, bool) { s, ok := b.ended[id]; return s, ok },
		Ticket:  func(id string) (ledger.Ticket, bool) { t, ok := b.bills[id]; return t, ok },
		Tariff: func(v charge.TariffVersion) (ledger.Tariff, bool) {
			return ledger.Tariff{Version: "2026-1", StartFee: 10 * money.MinorUnit, PerKWh: 33 * money.MinorUnit, Currency: "EUR"}, v == "2026-1"
		},
	}
}

func (b *fixture) point(id charge.CPID) *ledger.CP {
	if b.cps[id] == nil {
		b.cps[id] = ledger.NewCP(id)
	}
	return b.cps[id]
}

// keep writes changes, with the record that made them.
func (b *fixture) keep(in *ledger.Input, hash string, changes []ledger.Change) {
	b.t.Helper()
	for _, c := range changes {
		if c, ok := c.(ledger.SessionChanged); ok && c.Session.State == ledger.SessionEnded {
			b.ended[c.Session.ID] = c.Session
		}
		if c, ok := c.(ledger.TicketMade); ok {
			b.bills[c.Ticket.ID] = c.Ticket
		}
	}
	b.write(func(tx *store.Tx) error {
		err := tx.Ledger(changes)
		if in != nil {
			err = errors.Join(err, tx.Record(*in, hash, b.now))
		}
		return err
	})
}

// apply delivers records; each must be applied.
func (b *fixture) apply(records ...wire.Record) {
	b.t.Helper()
	for _, r := range records {
		b.now += 1000
		in := ledger.Input{Raw: ledgertest.Raw(r), Record: r}
		out, changes := ledger.Apply(b.point(r.CPID), b.env(), in)
		if out.Verdict != ledger.Applied {
			b.t.Fatalf("record %s/%d of %s: %s", r.Journal, r.Seq, r.CPID, out.Verdict)
		}
		b.keep(&in, out.Hash, changes)
	}
}

func (b *fixture) presence(p wire.Presence, cp charge.CPID) {
	b.t.Helper()
	_, changes := ledger.ApplyPresence(b.point(cp), b.env(), p)
	b.keep(nil, "", changes)
}

// aWeek is a network with all that a ledger can hold, in order: tickets of
// known and unknown tariffs, boots, a running session, an orphaned one that was
// settled, a gap, one that was filled, a lost branch that came late, a settled
// session whose start became known later.
func aWeek(t *testing.T, path string) {
	t.Helper()
	b := newFixture(t, path)
	cp := ledgertest.NewChargingPoint("CP_001", 2, morning)
	cp.Boot()
	for n, tariff := range []charge.TariffVersion{"2026-1", "unknown", ""} {
		cp.Plug(1)
		cp.Grant(1, charge.SessionID(fmt.Sprintf("a%d", n)), "ann", tariff)
		cp.Begin(1)
		cp.Now += 60_000
		cp.FlowRated(1, charge.WattHours(1000+n))
		cp.Sample(1)
		cp.Unplug(1)
	}
	cp.Flow(1, 7)
	cp.Boot()
	cp.Plug(2)
	cp.Grant(2, "running", "bob", "2026-1")
	cp.Begin(2)
	cp.Flow(2, 500)
	cp.Sample(2)
	b.apply(cp.Log...)

	lossy := ledgertest.NewChargingPoint("CP_002", 1, morning)
	lossy.Boot()
	lossy.Plug(1)
	lossy.Grant(1, "lost", "cleo", "2026-1")
	lossy.Begin(1)
	lossy.Flow(1, 900)
	lossy.Sample(1)
	b.apply(lossy.Log...)
	branch := len(lossy.Log)
	lossy.Sample(1)
	lossy.Lose(1000) // its storage is replaced in mid-session
	lossy.Boot()
	b.apply(lossy.Log[branch+1:]...)
	changes, err := ledger.Settle(b.cps["CP_002"], b.env(), "lost", false)
	if err != nil {
		t.Fatal(err)
	}
	b.keep(nil, "", changes)

	holed := ledgertest.NewChargingPoint("CP_003", 1, morning)
	holed.Boot()
	holed.Plug(1)
	first := len(holed.Log)
	holed.Unplug(1)
	holed.Plug(1)
	holed.Flow(1, 5)
	filled := len(holed.Log)
	holed.Unplug(1)
	known := len(holed.Log)
	b.apply(holed.Log[:first]...)
	holed.Storage = holed.Storage[known-1:]
	b.presence(holed.Presence(wire.Position{}, charge.Epoch{}), "CP_003")
	b.apply(holed.Log[known-1:]...)
	b.apply(holed.Log[filled-1]) // one of three turned up late
	holed.Boot()
	holed.Plug(1)
	holed.Grant(1, "after", "dan", "2026-1")
	holed.Begin(1)
	holed.Flow(1, 800)
	holed.Unplug(1)
	b.apply(holed.Log[known:]...)

	// A session that a boot lists, settled before anything else of it is known.
	listed := ledgertest.NewChargingPoint("CP_004", 1, morning)
	listed.Journal = "CP_004-j1"
	b.apply(listed.Write(0, "", &wire.Registered{Agent: "1.0", Connectors: []wire.ConnectorState{
		{Connector: 1, Status: charge.StatusCharging, SessionID: "listed", Plugged: true, Available: true, Rated: 22_000},
	}}))
	changes, err = ledger.Settle(b.cps["CP_004"], b.env(), "listed", true)
	if err != nil {
		t.Fatal(err)
	}
	b.keep(nil, "", changes)
	b.apply(
		listed.Write(1, "listed", &wire.ChargingStopped{Reason: charge.StopLocal, Start: 1003, Register: 2622}),
		listed.Write(1, "next", &wire.Authorized{By: wire.GrantFreeVend, Register: 2622}),
	)
	b.write(func(tx *store.Tx) error {
		return tx.Orders([]orders.Effect{
			orders.SaveReservation{Reservation: orders.Reservation{
				ID: "r1", CPID: "CP_001", Connector: 1, Username: "ann", MadeAt: b.now, Until: b.now + 600_000,
			}},
			orders.SaveCommand{Command: orders.Command{
				ID: "k1", CPID: "CP_001", Connector: 1, Journal: cp.Journal, Type: wire.CommandReserve, State: orders.Sent,
				IssuedAt: b.now, ExpiresAt: b.now + 5000, ChangedAt: b.now, Data: []byte("{}"),
			}},
			orders.SaveRequest{Request: orders.Request{MessageID: "m1", Username: "ann", ReadAt: b.now, AnswerBy: b.now + 5000}},
		})
	})
	if err := b.s.Close(); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, path string) *audit.Report {
	t.Helper()
	s, err := store.OpenSnapshot(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	r, err := audit.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func shown(t *testing.T, r *audit.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDatabaseWithoutErrorsPasses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "central.db")
	aWeek(t, path)
	r := run(t, path)
	if r.Wrong() != 0 {
		t.Errorf("got\n%s", shown(t, r))
	}
	for _, c := range r.Checks {
		if c.Checked == 0 {
			t.Errorf("check %s looked at nothing", c.Name)
		}
	}
	s, err := store.OpenSnapshot(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if want := wholeHash(t, s); r.Hash != want || r.Points != 4 {
		t.Errorf("hash %s of %d points, want %s of 4", r.Hash, r.Points, want)
	}
}

func wholeHash(t *testing.T, s *store.Store) string {
	t.Helper()
	cps, err1 := s.CPs(t.Context())
	sessions, err2 := s.Sessions(t.Context(), view.Query{Limit: 1000})
	tickets, err3 := s.Tickets(t.Context(), view.Query{Limit: 1000})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	all := make([]*ledger.CP, 0, len(cps))
	for _, cp := range cps {
		all = append(all, cp)
	}
	return ledger.Hash(all, sessions, tickets)
}

// Each kind of corruption is seen by the check that is there for it.
func TestCorruptionIsNamed(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "central.db")
	aWeek(t, whole)
	const one = "cp_id='CP_001' AND journal='CP_001-j1'"
	for name, tc := range map[string]struct {
		sql   []string
		check string
		words string
	}{
		"an index lost a row": {
			[]string{storetest.WriteSchema, "UPDATE sqlite_schema SET sql=replace(sql,'username','cp_id') WHERE name='tickets_of_driver'"},
			audit.CheckFile, "tickets_of_driver",
		},
		"a session of no charging point": {[]string{"UPDATE sessions SET cp_id='CP_009' WHERE session_id='a0'"}, audit.CheckReferences, "of sessions names what is not in cps"},
		"a ticket is gone":               {[]string{"DELETE FROM tickets WHERE session_id='a1'"}, audit.CheckReferences, "session a1 of CP_001 has ended and has no ticket"},
		"a ticket of a running session": {
			[]string{"UPDATE sessions SET state='open' WHERE session_id='a0'"}, audit.CheckReferences, "session a0 of CP_001 is open and has ticket t.a0",
		},
		"a ticket of no session": {[]string{"DELETE FROM sessions WHERE session_id='a0'"}, audit.CheckReferences, "ticket t.a0 of CP_001 is of session a0"},
		"other bytes":            {[]string{"UPDATE records SET raw=CAST(replace(CAST(raw AS TEXT),'1000','1001') AS BLOB) WHERE " + one + " AND seq=1"}, audit.CheckChain, "record CP_001-j1/1 of CP_001: its bytes have hash"},
		"other bytes with their hash": {
			[]string{"UPDATE records SET hash='00' WHERE " + one + " AND seq=3"}, audit.CheckChain, "record CP_001-j1/4 of CP_001 follows",
		},
		"another journal's end": {
			[]string{"UPDATE records SET hash='00' WHERE " + one + " AND seq=(SELECT last FROM journals WHERE " + one + ")"},
			audit.CheckChain, "record CP_001-j2/1 of CP_001 follows",
		},
		"a position's hash":    {[]string{"UPDATE journals SET hash='00' WHERE " + one}, audit.CheckChain, "journal CP_001-j1 of CP_001 ends with"},
		"unreadable bytes":     {[]string{"UPDATE records SET raw=x'7b' WHERE " + one + " AND seq=5"}, audit.CheckChain, "record CP_001-j1/5 of CP_001 cannot be decoded"},
		"another's bytes":      {[]string{"UPDATE records SET raw=(SELECT raw FROM records WHERE cp_id='CP_002' AND seq=1 LIMIT 1) WHERE " + one + " AND seq=1"}, audit.CheckChain, "calls itself"},
		"a record is gone":     {[]string{"DELETE FROM records WHERE " + one + " AND seq=4"}, audit.CheckGaps, "record 4 of journal CP_001-j1 of CP_001 is neither held nor in a gap"},
		"the oldest are gone":  {[]string{"DELETE FROM records WHERE " + one + " AND seq<4"}, audit.CheckGaps, "records 1 to 3 of journal CP_001-j1 of CP_001 are neither"},
		"the newest are gone":  {[]string{"DELETE FROM records WHERE " + one + " AND seq>9"}, audit.CheckGaps, "records 10 to"},
		"a position went back": {[]string{"UPDATE journals SET last=last-1 WHERE " + one}, audit.CheckGaps, "is held, and the position is"},
		"a gap is gone":        {[]string{"DELETE FROM gaps WHERE cp_id='CP_003'"}, audit.CheckGaps, "of journal CP_003-j1 of CP_003"},
		"a gap too many": {
			[]string{`UPDATE gaps SET missing='[{"First":1,"Last":4}]' WHERE cp_id='CP_003'`}, audit.CheckGaps, "is held, and a gap misses it",
		},
		"billed energy":   {[]string{"UPDATE meters SET billed_wh=billed_wh+1 WHERE cp_id='CP_001' AND connector=1"}, audit.CheckEnergy, "meter CP_001/1 has"},
		"running energy":  {[]string{"UPDATE meters SET running_wh=0 WHERE cp_id='CP_001' AND connector=2"}, audit.CheckEnergy, "meter CP_001/2 has 0 Wh running"},
		"a meter is gone": {[]string{"DELETE FROM meters WHERE cp_id='CP_001' AND connector=1"}, audit.CheckEnergy, "there is no meter"},
		"more billed than metered": {
			[]string{"UPDATE meters SET last_wh=first_wh WHERE cp_id='CP_001' AND connector=1"}, audit.CheckEnergy, "more than went through it",
		},
		"one Wh twice":     {[]string{"UPDATE tickets SET start_wh=start_wh-10 WHERE ticket_id='t.a1'"}, audit.CheckEnergy, "tickets t.a0 and t.a1 at CP_001/1 share 10 Wh"},
		"a cost":           {[]string{"UPDATE tickets SET cost_minor=cost_minor+1 WHERE ticket_id='t.a0'"}, audit.CheckTickets, "cost 0.44 EUR instead of 0.43 EUR"},
		"a driver":         {[]string{"UPDATE tickets SET username='eve' WHERE ticket_id='t.a0'"}, audit.CheckTickets, "driver eve instead of ann"},
		"a tariff is gone": {[]string{"DROP TRIGGER tariff_is_not_deleted", "DELETE FROM tariffs WHERE version='2026-1'"}, audit.CheckTickets, `names tariff "2026-1", which is not known`},
		"session and ticket alike": {
			[]string{
				"UPDATE sessions SET username='eve' WHERE session_id='a0'", "UPDATE tickets SET username='eve' WHERE ticket_id='t.a0'",
			}, audit.CheckReplay, `from the records and not in the rows: ticket t.a0`,
		},
		"a meter's end":     {[]string{"UPDATE meters SET last_wh=last_wh+5 WHERE cp_id='CP_001' AND connector=1"}, audit.CheckReplay, "meter 1"},
		"a running session": {[]string{"UPDATE sessions SET username='eve' WHERE session_id='running'"}, audit.CheckReplay, "session running"},
		"a reservation for ever": {
			[]string{"UPDATE reservations SET until=1"}, audit.CheckOrders, "reservation r1 at CP_001/1 is past its end and still open",
		},
		"a reservation of an unknown charging point": {[]string{"UPDATE reservations SET cp_id='CP_009'"}, audit.CheckOrders, "which is not known"},
		"used by nothing":    {[]string{"UPDATE reservations SET reason='used', ended_at=1"}, audit.CheckOrders, "used by no session"},
		"a command for ever": {[]string{"UPDATE commands SET expires_at=1"}, audit.CheckOrders, "command k1 (RESERVE) has expired and is still sent"},
		"a command of a past boot": {
			[]string{"UPDATE commands SET journal='CP_001-j1', state='accepted'"}, audit.CheckOrders, "is accepted at a boot of CP_001 that is over",
		},
		"a driver unanswered": {[]string{"UPDATE requests SET answer_by=1"}, audit.CheckOrders, "request m1 of ann was never answered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, storetest.DamagedCopy(t, whole, tc.sql...))
			for _, c := range r.Checks {
				if c.Name == tc.check {
					for _, line := range c.Findings {
						if strings.Contains(line, tc.words) {
							return
						}
					}
				}
			}
			t.Errorf("want %s to report %q, got\n%s", tc.check, tc.words, shown(t, r))
		})
	}
}

// What is not kept any more is no corruption; what is held is still checked.
func TestPrunedRecordsAreNoCorruption(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "central.db")
	aWeek(t, whole)
	pruned := []string{
		"DELETE FROM records WHERE cp_id='CP_001' AND journal='CP_001-j1' AND seq<=10",
		"INSERT INTO pruned VALUES ('CP_001','CP_001-j1',10)",
	}
	r := run(t, storetest.DamagedCopy(t, whole, pruned...))
	if r.Wrong() != 0 || r.Pruned != 1 {
		t.Errorf("pruned: got\n%s", shown(t, r))
	}
	for name, tc := range map[string]struct{ sql, words string }{
		"a gap behind":    {"DELETE FROM records WHERE cp_id='CP_001' AND journal='CP_001-j1' AND seq=12", "record 12 of journal CP_001-j1"},
		"a later session": {"UPDATE sessions SET username='eve' WHERE session_id='running'", "session running"},
	} {
		if got := shown(t, run(t, storetest.DamagedCopy(t, whole, append(pruned, tc.sql)...))); !strings.Contains(got, tc.words) {
			t.Errorf("%s: want %q reported, got\n%s", name, tc.words, got)
		}
	}
}

func TestAnEndedContextEndsTheAudit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "central.db")
	aWeek(t, path)
	s, err := store.OpenSnapshot(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := audit.Run(ctx, s); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it ended", err)
	}
}

// epoch is the nth start of Central.
func epoch(n int) charge.Epoch { return charge.Epoch{Number: uint64(n), Run: fmt.Sprintf("%016x", n)} }
