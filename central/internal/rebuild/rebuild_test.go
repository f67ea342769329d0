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

// lab is a log of Kafka and the database that is made of it.
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

// receive puts records at the end of the log, received at a moment.
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
	told := wire.CentralEvent{EventID: ledger.TicketID("told"), EventType: wire.CentralTicket, Timestamp: 1}
	raw, err := told.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	r.Published([]rebuild.Delivered{{Value: raw}, {Value: []byte("?")}})
	if err := r.Presences(ctx, presences); err != nil {
		l.t.Fatal(err)
	}
	for again := true; again; {
		for i := range l.log { // each a batch of its own: the cut between them must not matter
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

// Two boxes with one identity are found by when their records came, as then:
// what the quarantine kept out stays out.
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

// A session that names no version is priced by the one of its day; only the
// tickets that nobody was told of are told.
func TestPricesAndPublishingOfThatDay(t *testing.T) {
	l := newLab(t)
	box := ledgertest.NewChargingPoint("CP_001", 1, morning-2*minute)
	box.Boot()
	said := 0
	session := func(id charge.SessionID, at charge.Time) {
		box.Now = at
		box.Plug(1)
		box.Grant(1, id, "ann", "")
		box.Begin(1)
		box.FlowRated(1, 1000)
		box.Unplug(1)
		l.receive(at, box.Log[said:]...)
		said = len(box.Log)
	}
	session("old", morning-minute)
	session("told", morning+minute)
	session("untold", morning+3*minute)
	sum := l.rebuild(rebuild.Settings{Tariffs: []rebuild.Tariff{
		{Version: "first", PerKWh: 10 * money.MinorUnit, Currency: "EUR", MadeAt: morning - 10*minute},
		{Version: "second", PerKWh: 20 * money.MinorUnit, Currency: "EUR", MadeAt: morning + 2*minute},
	}})
	tickets, err := l.s.Tickets(t.Context(), store.Query{})
	if err != nil || len(tickets) != 3 {
		t.Fatalf("tickets: %v %v", tickets, err)
	}
	for _, k := range tickets {
		want := money.Minor(10)
		if k.SessionID == "untold" {
			want = 20
		}
		if k.Cost.Minor != want {
			t.Errorf("ticket of %s: %d cents of version %s, want %d", k.SessionID, k.Cost.Minor, k.Tariff, want)
		}
	}
	rows, err := l.s.Outbox(t.Context(), 0, 10)
	if err != nil || sum.Published != 1 || len(rows) != 1 || !strings.Contains(string(rows[0].Value), `"t.untold"`) || rows[0].Key != "ann" || rows[0].Headers[wire.HeaderTrace] != "untold" {
		t.Errorf("to be told: %d, %v %v", sum.Published, rows, err)
	}
}

// Records that came before what they follow are taken when the log is read
// again, and what presence says is gone becomes a hole; nothing else does.
func TestPresenceMakesGaps(t *testing.T) {
	l := newLab(t)
	box, silent := ledgertest.NewChargingPoint("CP_001", 1, morning), ledgertest.NewChargingPoint("CP_002", 1, morning)
	for _, b := range []*ledgertest.ChargingPoint{box, silent} {
		b.Boot()
		b.Plug(1)
		b.Unplug(1)
		l.receive(morning, b.Log[2:]...) // what is before has expired
	}
	box.Storage = box.Storage[2:]
	p := box.Presence(wire.Position{}, charge.Epoch{})
	raw, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sum := l.rebuild(rebuild.Settings{}, rebuild.Delivered{Topic: "m", Key: "CP_001", Kind: wire.KindValuePresence, Value: raw})
	if sum.Applied != 1 || fmt.Sprint(sum.Waiting) != "[CP_002: what precedes record CP_002-j1/3 is not on Kafka]" {
		t.Errorf("summary: %+v", sum)
	}
	holes, err := l.s.GapsOf(t.Context(), "CP_001")
	if err != nil || len(holes) != 1 || holes[0].Last != 2 {
		t.Errorf("holes: %v %v", holes, err)
	}
	for topic, want := range map[string]int64{"e": int64(len(l.log)), "m": 1} {
		if next, _, known, err := l.s.Offset(t.Context(), topic, 0); err != nil || !known || next != want {
			t.Errorf("Central goes on in %s at %d (%t, %v), want %d", topic, next, known, err, want)
		}
	}
}

// A hole that was passed before the loss is passed again, whatever presence
// says today; a record that filled it fills it.
func TestGapsOfTheSettings(t *testing.T) {
	l := newLab(t)
	box := ledgertest.NewChargingPoint("CP_001", 1, morning)
	box.Boot()
	for range 3 {
		box.Plug(1)
		box.Unplug(1)
	}
	l.receive(morning, box.Log[0], box.Log[1]) // 3, 4 and 5 are missing
	l.receive(morning+minute, box.Log[5:]...)
	l.receive(morning+2*minute, box.Log[3]) // 4 turned up late
	sum := l.rebuild(rebuild.Settings{Gaps: []rebuild.Gap{{CPID: "CP_001", Journal: box.Journal, First: 3, Last: 5, Cause: ledger.GapForgotten}}})
	holes, err := l.s.GapsOf(t.Context(), "CP_001")
	if err != nil || sum.Applied != 5 || len(sum.Waiting) != 0 || len(holes) != 1 || fmt.Sprint(holes[0].Missing) != "[{3 3} {5 5}]" {
		t.Errorf("holes %+v of %+v (%v)", holes, sum, err)
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
