package orders_test

import (
	"slices"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// settle lets an operator settle a session at connector 1 of CP_1, which is silent.
func (w *world) settle(id charge.SessionID) {
	w.t.Helper()
	const cp, connector = charge.CPID("CP_1"), charge.ConnectorID(1)
	book := w.books[cp]
	book.Env.Now = w.now
	changes, err := ledger.Settle(book.CP, &book.Env, id, true)
	if err != nil {
		w.t.Fatalf("settle %s: %v", id, err)
	}
	book.Save(changes)
	w.step(orders.PresenceReceived{Now: w.moment(), CPID: cp, Changes: changes})
	w.operator(orders.OperatorSettled{Target: orders.Target{CPID: cp, Connector: connector}, SessionID: id})
}

// charging starts a session at CP_1 and cuts the charging point off.
func charging(t *testing.T) (*world, charge.SessionID) {
	t.Helper()
	w := newWorld(t, 1, 1, orders.Config{})
	r := w.operator(orders.OperatorStart{Target: one, Username: "bob"})
	w.agents["CP_1"].plug(1, w.now)
	w.pass(2000)
	if s, ok := w.Session(r.SessionID); !ok || s.State != ledger.SessionOpen {
		t.Fatalf("session %s does not run: %+v", r.SessionID, s)
	}
	w.noCommands["CP_1"], w.noRecords["CP_1"], w.live["CP_1"] = true, true, ledger.Offline
	return w, r.SessionID
}

func (w *world) open(kind orders.DesiredKind) (n int) {
	for _, x := range w.desired {
		if x.Kind == kind && x.EndedAt == 0 {
			n++
		}
	}
	return n
}

// A stop stays desired while the charging point is silent, for days if need be.
// Settling the session ends it, with a ticket that is published, and nothing more
// is sent.
func TestSettlingEndsDesiredStates(t *testing.T) {
	t.Parallel()
	w, id := charging(t)
	w.operator(orders.OperatorStop{SessionID: id})
	w.pass(2 * 24 * 3600 * 1000)
	if n := w.open(orders.DesiredStop); n != 1 {
		t.Fatalf("stops wanted after two days of silence: %d, want 1", n)
	}
	w.settle(id)
	if n := w.open(orders.DesiredStop) + w.open(orders.DesiredStart); n != 0 {
		t.Errorf("still wanted of the connector: %d, want nothing", n)
	}
	if !slices.ContainsFunc(w.published, func(e wire.CentralEvent) bool { return e.EventType == wire.CentralTicket && e.SessionID == id }) {
		t.Error("the ticket was not published")
	}
	sent := len(w.sent)
	w.pass(3600 * 1000)
	if len(w.sent) != sent {
		t.Errorf("sent to a charging point that is gone: %+v", w.sent[sent:])
	}
}

// A silent charging point comes back, and the session that was settled still runs:
// it is stopped, and one correction is published.
func TestASettledSessionThatStillRunsIsStopped(t *testing.T) {
	t.Parallel()
	w, id := charging(t)
	w.settle(id)
	w.agents["CP_1"].cp.Flow(1, 700)
	w.pass(60_000)
	w.noCommands["CP_1"], w.noRecords["CP_1"], w.live["CP_1"] = false, false, ledger.Online
	w.step(orders.PresenceReceived{Now: w.moment(), CPID: "CP_1"})
	w.pass(30_000)
	if o := w.outlet("CP_1", 1); o.Session != "" {
		t.Fatalf("session %s still runs", o.Session)
	}
	var tickets []wire.CentralEvent
	for _, e := range w.published {
		if e.EventType == wire.CentralTicket {
			tickets = append(tickets, e)
		}
	}
	if len(tickets) != 2 || *tickets[0].EnergyKWh+*tickets[1].EnergyKWh != 700 || tickets[1].Corrects != tickets[0].EventID {
		t.Errorf("tickets published: %+v; want one of the settlement and one that corrects it, together 700 Wh", tickets)
	}
	if n := len(w.ofType(wire.CommandStop)); n != 1 {
		t.Errorf("STOP was sent %d times, want once", n)
	}
}
