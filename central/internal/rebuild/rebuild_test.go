package rebuild_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/internal/rebuild"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

const (
	morning charge.Time = 1_795_341_600_000
	minute  charge.Time = 60_000
)

type db struct{ *store.Store }

func (d db) Write(ctx context.Context, fn func(rebuild.Tx) error) error {
	return d.Store.Write(ctx, func(tx *store.Tx) error { return fn(tx) })
}

// lab is a log of Kafka and the database that is rebuilt from it.
type lab struct {
	t   *testing.T
	s   *store.Store
	log []rebuild.Delivered
}

func newLab(t *testing.T) *lab {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "c.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &lab{t: t, s: s}
}

// receive appends records to the log, received at a moment.
func (l *lab) receive(at charge.Time, records ...wire.Record) {
	for _, r := range records {
		l.log = append(l.log, rebuild.Delivered{
			Topic: "e", Offset: int64(len(l.log)), Key: string(r.CPID), Value: ledgertest.Raw(r), ReceivedAt: at,
		})
	}
}

func (l *lab) rebuild(settings rebuild.Settings, presences ...rebuild.Delivered) rebuild.Summary {
	l.t.Helper()
	ctx := l.t.Context()
	r, err := rebuild.New(ctx, rebuild.Config{
		Default: ledger.Tariff{Version: "now", StartFee: 9 * money.MinorUnit, PerKWh: 90 * money.MinorUnit, Currency: "EUR"}, Central: "central", PublishAfter: morning, Now: morning + 10*24*60*minute,
	}, db{l.s}, settings)
	if err != nil {
		l.t.Fatal(err)
	}
	published := wire.CentralEvent{EventID: ledger.TicketID("published"), EventType: wire.CentralTicket, Timestamp: 1}
	raw, err := published.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	r.Published([]rebuild.Delivered{{Value: raw}, {Value: []byte("?")}})
	if err := r.Presences(ctx, presences); err != nil {
		l.t.Fatal(err)
	}
	for again := true; again; {
		for i := range l.log { // each in a batch of its own: the boundaries of batches must not matter
			if err := r.Records(ctx, l.log[i:i+1]); err != nil {
				l.t.Fatal(err)
			}
		}
		if again, err = r.NextPass(ctx); err != nil {
			l.t.Fatal(err)
		}
	}
	sum, err := r.Finish(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	return sum
}

// Two devices with one identity are detected by the times at which their records
// were received: the same records are kept out as before the loss.
func TestQuarantineIsRebuilt(t *testing.T) {
	l := newLab(t)
	a := ledgertest.NewChargingPoint("CP_001", 1, morning)
	a.Boot()
	b := ledgertest.NewChargingPoint("CP_001", 1, morning+minute)
	b.Boots, b.Storage = 10, append(b.Storage, a.Storage...)
	l.receive(morning, a.Log...)
	b.Boot()
	l.receive(morning+minute, b.Log...)
	for i := range 30 {
		at := morning + charge.Time(i+2)*minute
		a.Now, b.Now = at, at
		l.receive(at, a.Write(1, "", &wire.PluggedIn{}), b.Write(1, "", &wire.PluggedIn{}))
	}
	if sum := l.rebuild(rebuild.Settings{}); sum.Forked < 20 || sum.Applied > 40 {
		t.Errorf("%d applied and %d kept out, want the first ten minutes of both", sum.Applied, sum.Forked)
	}
	cps, err := l.s.CPs(t.Context())
	if err != nil || !cps["CP_001"].Forked() {
		t.Errorf("not in quarantine (%v)", err)
	}
}

// A session without a tariff is priced by the tariff of its day; only tickets that
// were not published are published.
func TestPricesAndPublishingOfThatDay(t *testing.T) {
	l := newLab(t)
	cp := ledgertest.NewChargingPoint("CP_001", 1, morning-2*minute)
	cp.Boot()
	received := 0
	session := func(id charge.SessionID, at charge.Time) {
		cp.Now = at
		cp.Plug(1)
		cp.Grant(1, id, "ann", "")
		cp.Begin(1)
		cp.FlowRated(1, 1000)
		cp.Unplug(1)
		l.receive(at, cp.Log[received:]...)
		received = len(cp.Log)
	}
	session("old", morning-minute)
	session("published", morning+minute)
	session("pending", morning+3*minute)
	sum := l.rebuild(rebuild.Settings{Tariffs: []rebuild.Tariff{
		{Version: "first", PerKWh: 10 * money.MinorUnit, Currency: "EUR", MadeAt: morning - 10*minute},
		{Version: "second", PerKWh: 20 * money.MinorUnit, Currency: "EUR", MadeAt: morning + 2*minute},
	}})
	tickets, err := l.s.Tickets(t.Context(), view.Query{})
	if err != nil || len(tickets) != 3 {
		t.Fatalf("tickets: %v %v", tickets, err)
	}
	for _, k := range tickets {
		want := money.Minor(10)
		if k.SessionID == "pending" {
			want = 20
		}
		if k.Cost.Minor != want {
			t.Errorf("ticket of %s: %d cents of version %s, want %d", k.SessionID, k.Cost.Minor, k.Tariff, want)
		}
	}
	rows, err := l.s.Outbox(t.Context(), "central", 0, 10)
	if err != nil || sum.Published != 1 || len(rows) != 1 || !strings.Contains(string(rows[0].Value), `"t.pending"`) || rows[0].Key != "ann" || rows[0].Headers[wire.HeaderTrace] != "pending" {
		t.Errorf("to be published: %d, %v %v", sum.Published, rows, err)
	}
}

// Records that came before what they follow are applied in a second pass. Records
// that presence reports as lost become a gap; others are awaited.
func TestPresenceMakesGaps(t *testing.T) {
	l := newLab(t)
	cp, silent := ledgertest.NewChargingPoint("CP_001", 1, morning), ledgertest.NewChargingPoint("CP_002", 1, morning)
	for _, b := range []*ledgertest.ChargingPoint{cp, silent} {
		b.Boot()
		b.Plug(1)
		b.Unplug(1)
		l.receive(morning, b.Log[2:]...) // what is before has expired
	}
	cp.Storage = cp.Storage[2:]
	p := cp.Presence(wire.Position{}, charge.Epoch{})
	raw, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sum := l.rebuild(rebuild.Settings{}, rebuild.Delivered{Topic: "m", Key: "CP_001", Kind: wire.KindValuePresence, Value: raw})
	if sum.Applied != 1 || fmt.Sprint(sum.Waiting) != "[CP_002: what precedes record CP_002-j1/3 is not on Kafka]" {
		t.Errorf("summary: %+v", sum)
	}
	gaps, err := l.s.GapsOf(t.Context(), "CP_001")
	if err != nil || len(gaps) != 1 || gaps[0].Last != 2 {
		t.Errorf("gaps: %v %v", gaps, err)
	}
	for topic, want := range map[string]int64{"e": int64(len(l.log)), "m": 1} {
		if next, _, known, err := l.s.Offset(t.Context(), topic, 0); err != nil || !known || next != want {
			t.Errorf("Central goes on in %s at %d (%t, %v), want %d", topic, next, known, err, want)
		}
	}
}

// A gap that was passed before the loss is passed again, whatever presence reports
// today; a record that filled a part of it fills it again.
func TestGapsOfTheSettings(t *testing.T) {
	l := newLab(t)
	cp := ledgertest.NewChargingPoint("CP_001", 1, morning)
	cp.Boot()
	for range 3 {
		cp.Plug(1)
		cp.Unplug(1)
	}
	l.receive(morning, cp.Log[0], cp.Log[1]) // 3, 4 and 5 are missing
	l.receive(morning+minute, cp.Log[5:]...)
	l.receive(morning+2*minute, cp.Log[3]) // 4 turned up late
	sum := l.rebuild(rebuild.Settings{Gaps: []rebuild.Gap{{CPID: "CP_001", Journal: cp.Journal, First: 3, Last: 5, Cause: ledger.GapForgotten}}})
	gaps, err := l.s.GapsOf(t.Context(), "CP_001")
	if err != nil || sum.Applied != 5 || len(sum.Waiting) != 0 || len(gaps) != 1 || fmt.Sprint(gaps[0].Missing) != "[{3 3} {5 5}]" {
		t.Errorf("gaps %+v of %+v (%v)", gaps, sum, err)
	}
}

var errFull = errors.New("disk full")

type full struct{ db }

func (full) Write(context.Context, func(rebuild.Tx) error) error { return errFull }

func TestAnErrorOfTheDatabaseIsReturned(t *testing.T) {
	l := newLab(t)
	if _, err := rebuild.New(t.Context(), rebuild.Config{}, full{db{l.s}}, rebuild.Settings{}); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
}
