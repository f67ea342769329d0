package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// evidence is what journal, board and database contain about one session.
type evidence struct {
	records  []journalRecord
	books    books
	board    sim.Snapshot
	point    *Point
	sessions map[charge.SessionID]*journalSession
}

const start = 1_000_000 // ms: when the session was authorized

// consistentEvidence returns evidence without a difference.
func consistentEvidence() *evidence {
	e := &evidence{
		board: sim.Snapshot{
			Mono: time.Minute, At: time.UnixMilli(start + 40_000),
			Connectors: []sim.Outlet{{Connector: 1, Register: 1500}},
			Trace: []sim.Switch{
				{Mono: 21 * time.Second, Connector: 1, Closed: true}, // 1 s after the grant
				{Mono: 30 * time.Second, Connector: 1, Closed: false},
			},
		},
		point: &Point{ID: "CP_1", initial: sim.Snapshot{Connectors: []sim.Outlet{{Connector: 1, Register: 1000}}}},
		sessions: map[charge.SessionID]*journalSession{"s": {
			id: "s", cp: "CP_1", connector: 1, authorizedAt: start, startRegister: 1000, authorizations: 1, stops: 1, stoppedAt: start + 9_950, endRegister: 1500,
		}},
		books: books{
			applied: map[recordKey]string{}, integrity: "ok",
			tickets: []ticket{{connectorKey{"CP_1", 1}, "s", 500}},
			meters:  map[connectorKey]meter{{"CP_1", 1}: {metered: 500, billed: 500}},
		},
	}
	for seq := charge.Seq(1); seq <= 3; seq++ {
		w := journalRecord{recordKey: recordKey{"CP_1", "j", seq}, hash: fmt.Sprint("hash ", seq), Record: wire.Record{Type: wire.TypeMeterRead}}
		e.records = append(e.records, w)
		e.books.applied[w.recordKey] = w.hash
		e.books.appliedCounter++
	}
	return e
}

func (e *evidence) reconcile(t *testing.T) Account {
	t.Helper()
	var a Account
	a.checkRest(&e.books)
	a.checkRecords(e.records, &e.books)
	a.checkTickets("CP_1", e.sessions, &e.books)
	a.checkEnergy(e.point, &e.board, &e.books)
	if err := a.checkRelays(e.point, &e.board, e.sessions); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestReconciliationFindsEachDifference falsifies one thing at a time.
func TestReconciliationFindsEachDifference(t *testing.T) {
	if a := consistentEvidence().reconcile(t); len(a.Violations) > 0 || a.Applied != 3 || a.Metered != 500 {
		t.Fatalf("consistent evidence: %+v", a)
	}
	for name, c := range map[string]struct {
		spoil func(*evidence)
		word  string
	}{
		"lost record":         {func(e *evidence) { delete(e.books.applied, e.records[1].recordKey); e.books.appliedCounter-- }, "not applied"},
		"other bytes":         {func(e *evidence) { e.books.applied[e.records[1].recordKey] = "other" }, "other bytes"},
		"counted twice":       {func(e *evidence) { e.books.appliedCounter++ }, "twice"},
		"no ticket":           {func(e *evidence) { e.books.tickets = nil }, "0 tickets"},
		"two tickets":         {func(e *evidence) { e.books.tickets = append(e.books.tickets, e.books.tickets[0]) }, "2 tickets"},
		"unknown session":     {func(e *evidence) { delete(e.sessions, "s") }, "not in the journal"},
		"ticket too high":     {func(e *evidence) { e.books.tickets[0].energy++ }, "the journal has"},
		"open for ever":       {func(e *evidence) { e.sessions["s"].stops = 0 }, "ended 0 times"},
		"energy not shown":    {func(e *evidence) { e.board.Connectors[0].Register++ }, "the register counted 501 Wh"},
		"reservation left":    {func(e *evidence) { e.books.reserved = []string{"r of CP_1"} }, "has not ended"},
		"session left":        {func(e *evidence) { e.books.openSessions = 1 }, "still open"},
		"gap":                 {func(e *evidence) { e.books.gaps = 1 }, "gaps"},
		"database":            {func(e *evidence) { e.books.integrity = "row 3 missing" }, "row 3 missing"},
		"closed before grant": {func(e *evidence) { e.board.Trace[0].Mono = 19 * time.Second }, "without a grant"},
		"open too late":       {func(e *evidence) { e.board.Trace[1].Mono = 31 * time.Second }, "without a grant"},
		"closed after":        {func(e *evidence) { e.sessions["s"].stoppedAt = start + 500 }, "without a grant"},
		"other connector":     {func(e *evidence) { e.sessions["s"].connector = 2 }, "without a grant"},
		"closed at the end":   {func(e *evidence) { e.board.Connectors[0].Closed = true }, "is closed at the end"},
		"dead and closed": {func(e *evidence) {
			e.point.deaths = []agentDeath{{time.UnixMilli(start + 8_900), "killed"}}
		}, "open only 1.1s after its agent was killed"},
	} {
		t.Run(name, func(t *testing.T) {
			e := consistentEvidence()
			c.spoil(e)
			if got := strings.Join(e.reconcile(t).Violations, "\n"); !strings.Contains(got, c.word) {
				t.Errorf("got %q, want %q in it", got, c.word)
			}
		})
	}
}

// TestContactorMayOpenWithinASecond: the keeper has a second after the agent's
// death.
func TestContactorMayOpenWithinASecond(t *testing.T) {
	e := consistentEvidence()
	e.point.deaths = []agentDeath{{time.UnixMilli(start + 9_100), "killed"}, {time.UnixMilli(start + 20_000), "frozen"}}
	if a := e.reconcile(t); len(a.Violations) > 0 {
		t.Errorf("%+v", a)
	}
}

// TestAnIncompleteTraceIsAnError: a trace that lost its beginning proves
// nothing.
func TestAnIncompleteTraceIsAnError(t *testing.T) {
	e := consistentEvidence()
	e.board.TraceGone = 1
	if err := new(Account).checkRelays(e.point, &e.board, e.sessions); err == nil {
		t.Error("a trace whose beginning is lost is accepted")
	}
}
