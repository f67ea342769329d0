package orders_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

func hashOf(n int) charge.TokenHash { return charge.IDToken(fmt.Sprintf("%08X", n)).Hash() }

// issueCard issues card n to a driver.
func (w *world) issueCard(n int, user charge.Username) cards.ID {
	w.t.Helper()
	r := w.operator(orders.OperatorIssueCard{Card: cards.Card{Hash: hashOf(n), Username: user, Offline: true}})
	if r.Refused != "" || r.CardID == "" {
		w.t.Fatalf("card %d: %+v", n, r)
	}
	return r.CardID
}

// tap presents card n at CP_1, and returns Central's answer; nil if there
// is none.
func (w *world) tap(n int, change ...func(*ledgerTap)) *wire.Authorize {
	w.t.Helper()
	w.ids++
	tap := ledgerTap{wire.AuthRequested{RequestID: fmt.Sprintf("tap-%d", w.ids), TokenHash: hashOf(n)}, 0}
	for _, f := range change {
		f(&tap)
	}
	a := w.agents["CP_1"]
	a.cp.Now = w.now - tap.ago
	a.cp.Write(0, "", &tap.AuthRequested)
	a.cp.Now = w.now
	before := len(w.ofType(wire.CommandAuthorize))
	w.sync()
	all := w.ofType(wire.CommandAuthorize)
	if len(all) == before {
		return nil
	}
	c := all[len(all)-1]
	if c.Life() != wire.AuthorizeLife {
		w.t.Fatalf("the answer lives %s", c.Life())
	}
	o := new(wire.Authorize)
	if err := json.Unmarshal(c.Data, o); err != nil {
		w.t.Fatalf("%s: %v", c.Data, err)
	}
	if o.RequestID != tap.RequestID {
		w.t.Fatalf("answers %s, want %s", o.RequestID, tap.RequestID)
	}
	return o
}

type ledgerTap struct {
	wire.AuthRequested
	ago charge.Time
}

func TestCardsAreAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{Tariff: "t1", Drivers: []charge.Username{"anna", "berta"}})
	w.issueCard(1, "anna")
	blocked := w.issueCard(2, "berta")
	expired := w.issueCard(3, "berta")
	w.issueCard(4, "carl")
	deleted := w.issueCard(5, "anna")
	yes := true
	soon := w.now.Add(time.Minute)
	w.operator(orders.OperatorChangeCard{ID: blocked, Blocked: &yes})
	w.operator(orders.OperatorChangeCard{ID: expired, ExpiresAt: &soon})
	w.operator(orders.OperatorChangeCard{ID: deleted, Delete: true})
	if got := w.tap(3); got == nil || !got.Allowed {
		t.Errorf("before its end: %+v", got)
	}
	w.pass(60_000)
	got := w.tap(1)
	if got == nil || !got.Allowed || got.Username != "anna" || got.SessionID == "" || got.Tariff != "t1" {
		t.Errorf("a card of anna: %+v", got)
	}
	for n, want := range map[int]string{2: cards.ReasonBlocked, 3: cards.ReasonExpired, 4: wire.RefusedUnknownDriver, 5: cards.ReasonUnknown, 6: cards.ReasonUnknown} {
		if got := w.tap(n); got == nil || got.Allowed || got.Reason != want || got.SessionID != "" || got.Username != "" {
			t.Errorf("card %d: %+v, want %s", n, got, want)
		}
	}
	if got := w.tap(1, func(p *ledgerTap) { p.Token, p.TokenHash = "00000001", "" }); got == nil || !got.Allowed {
		t.Errorf("named by its token: %+v", got)
	}
	if got := w.tap(1, func(p *ledgerTap) { p.Decided = wire.DecidedRefused }); got != nil {
		t.Errorf("decided by the charging point: %+v", got)
	}
	if got := w.tap(1, func(p *ledgerTap) { p.ago = 31_000 }); got != nil {
		t.Errorf("of long ago: %+v", got)
	}
	w.CP("CP_1").Admitted = false
	if got := w.tap(1); got == nil || got.Allowed {
		t.Errorf("not admitted: %+v", got)
	}
}

func TestCardsAreChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	id := w.issueCard(1, "anna")
	if r := w.operator(orders.OperatorIssueCard{Card: cards.Card{Hash: hashOf(1), Username: "berta"}}); r.Refused != orders.RefusedCardExists {
		t.Errorf("issued twice: %+v", r)
	}
	w.operator(orders.OperatorChangeCard{ID: id, Delete: true})
	if c := w.cards[id]; c.Username != "" || c.Hash != hashOf(1) || c.DeletedAt == 0 {
		t.Errorf("deleted: %+v", c)
	}
	if r := w.operator(orders.OperatorChangeCard{ID: id, Delete: true}); r.Refused != orders.RefusedUnknownCard {
		t.Errorf("deleted twice: %+v", r)
	}
	if again := w.issueCard(1, "berta"); again != id || w.cards[id].Username != "berta" || w.cards[id].DeletedAt != 0 {
		t.Errorf("issued again: %+v", w.cards[id])
	}
	for n := 2; n <= wire.MaxLocalList; n++ {
		w.issueCard(n, "anna")
	}
	c := cards.Card{Hash: hashOf(0), Username: "anna", Offline: true}
	if r := w.operator(orders.OperatorIssueCard{Card: c}); r.Refused != orders.RefusedManyCards {
		t.Errorf("one too many: %+v", r)
	}
	c.Offline = false
	if r := w.operator(orders.OperatorIssueCard{Card: c}); r.Refused != "" {
		t.Errorf("one that needs Central: %+v", r)
	}
}

// withList starts a charging point again as one that keeps a list.
func (w *world) withList(cp charge.CPID) *agent {
	a := w.agents[cp]
	a.cp.LocalList = &wire.ListState{}
	w.reboot(cp)
	return a
}

func (w *world) wantList(a *agent, want ...int) {
	w.t.Helper()
	if len(a.list) != len(want) {
		w.t.Fatalf("the list has %d cards, want %d", len(a.list), len(want))
	}
	for _, n := range want {
		if _, ok := a.list[hashOf(n)]; !ok {
			w.t.Fatalf("card %d is not in the list", n)
		}
	}
}

// The list follows at once where there is a connection, after it otherwise, and from
// its start where the charging point or Central lost something.
func TestLocalLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, orders.Config{})
	a := w.withList("CP_1")
	first := w.issueCard(1, "anna")
	w.issueCard(2, "berta")
	w.pass(2000)
	w.wantList(a, 1, 2)
	before := len(w.ofType(wire.CommandSetLocalList))
	w.pass(600_000)
	if got := len(w.ofType(wire.CommandSetLocalList)); got != before {
		t.Errorf("%d commands without a change: a list that is held, and a charging point that keeps none", got-before)
	}
	old := w.backup()

	w.live["CP_1"], w.noCommands["CP_1"], w.noRecords["CP_1"] = ledger.Offline, true, true
	yes := true
	w.operator(orders.OperatorChangeCard{ID: first, Blocked: &yes})
	w.pass(120_000)
	w.wantList(a, 1, 2)
	w.live["CP_1"], w.noCommands["CP_1"], w.noRecords["CP_1"] = ledger.Online, false, false
	w.back("CP_1")
	w.pass(2000)
	w.wantList(a, 2)

	// Central loses the block and issues another card: the version is one that the
	// charging point holds with other content.
	w.restore(old)
	w.issueCard(3, "carl")
	w.sync()
	w.pass(5000)
	w.wantList(a, 1, 2, 3)

	// The charging point loses its list.
	a.list, a.cp.LocalList = nil, &wire.ListState{}
	w.reboot("CP_1")
	w.pass(2000)
	w.wantList(a, 1, 2, 3)

	// It holds other content than it reported: the delta is refused.
	delete(a.list, hashOf(2))
	w.issueCard(4, "dora")
	w.pass(5000)
	w.wantList(a, 1, 2, 3, 4)

	// The answer to a command is lost, and Central starts again.
	w.noRecords["CP_1"] = true
	w.issueCard(5, "emil")
	w.restart()
	w.noRecords["CP_1"] = false
	w.sync()
	w.pass(70_000)
	w.wantList(a, 1, 2, 3, 4, 5)

	// Central loses a change of the list, and the charging point has deleted the records
	// about it: what it holds is not known behind the gap.
	old = w.backup()
	known := len(a.cp.Log)
	w.issueCard(6, "fred")
	w.pass(5000)
	w.wantList(a, 1, 2, 3, 4, 5, 6)
	w.restore(old)
	a.cp.Log = a.cp.Log[:known]
	a.cp.Plug(1)
	next := a.cp.Log[known]
	w.books["CP_1"].CP.First = wire.Position{Journal: next.Journal, Seq: next.Seq}
	w.sync()
	w.pass(5000)
	w.wantList(a, 1, 2, 3, 4, 5)
}

// A command for the list expires before its answer arrives, and is issued again: the
// charging point holds the list already, and refuses the second one. The whole list
// follows once, and not forever.
func TestALateAnswerAboutAListEndsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	a := w.withList("CP_1")
	w.issueCard(1, "anna")
	w.pass(5000)
	w.noRecords["CP_1"] = true
	w.issueCard(2, "berta")
	w.pass(130_000)
	w.noRecords["CP_1"] = false
	w.sync()
	w.pass(130_000)
	w.wantList(a, 1, 2)
	before := len(w.ofType(wire.CommandSetLocalList))
	w.pass(600_000)
	if got := len(w.ofType(wire.CommandSetLocalList)) - before; got != 0 {
		t.Errorf("%d commands without a change", got)
	}
}

// TestABlockedCardEndsItsSession: whether the card is blocked before or after Central
// learns of the session, before a restart of Central or while the charging point is away,
// the session ends, and no other one of the same driver.
func TestABlockedCardEndsItsSession(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	block := func(id cards.ID) orders.OperatorChangeCard { return orders.OperatorChangeCard{ID: id, Blocked: &yes} }
	for name, c := range map[string]struct {
		change func(cards.ID) orders.OperatorChangeCard
		before bool // the change comes before the record of the session
		away   bool // the charging point is not connected at the change
		again  bool // Central starts again, before a command arrived
		ends   bool
	}{
		"blocked":              {change: block, ends: true},
		"deleted":              {change: func(id cards.ID) orders.OperatorChangeCard { return orders.OperatorChangeCard{ID: id, Delete: true} }, ends: true},
		"blocked before":       {change: block, before: true, ends: true},
		"while away":           {change: block, away: true, ends: true},
		"a restart of Central": {change: block, again: true, ends: true},
		"not in the list":      {change: func(id cards.ID) orders.OperatorChangeCard { return orders.OperatorChangeCard{ID: id, Offline: &no} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 2, orders.Config{})
			id := w.issueCard(1, "ana")
			a := w.agents["CP_1"]
			begin := func() {
				for k, session := range map[charge.ConnectorID]charge.SessionID{1: "s1", 2: "s2"} {
					a.cp.Now = w.now
					if k == 1 {
						a.cp.Connectors[k].Card = hashOf(1)
					}
					a.cp.Plug(k)
					a.cp.Grant(k, session, "ana", "")
					a.cp.Begin(k)
				}
				w.sync()
			}
			if !c.before {
				begin()
			}
			if c.away {
				w.live["CP_1"] = ledger.Offline
			}
			w.noCommands["CP_1"] = c.again
			w.operator(c.change(id))
			if c.again {
				w.restart()
				w.noCommands["CP_1"] = false
			}
			if c.before {
				begin()
			}
			w.pass(5000)
			if c.away {
				if s, _ := w.Session("s1"); s.State != ledger.SessionOpen {
					t.Fatal("ended without a connection")
				}
				w.live["CP_1"] = ledger.Online
				w.back("CP_1")
			}
			w.pass(70_000)
			s1, _ := w.Session("s1")
			s2, _ := w.Session("s2")
			if ended := s1.State == ledger.SessionEnded && s1.Reason == charge.StopDeauthorized; ended != c.ends || s2.State != ledger.SessionOpen {
				t.Errorf("of the card: %s %q; of the driver without it: %s", s1.State, s1.Reason, s2.State)
			}
			if n := len(w.ofType(wire.CommandStop)); n > 12 || (n > 0) != c.ends {
				t.Errorf("%d sendings of STOP", n)
			}
		})
	}
}
