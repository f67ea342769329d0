package orders_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// prices are 1.00 to begin, 0.40 per kWh and 0.06 per minute.
func prices() ledger.Tariff {
	return ledger.Tariff{
		Version: "t", StartFee: 100 * money.MinorUnit, PerKWh: 40 * money.MinorUnit, PerMinute: 6 * money.MinorUnit, Currency: "EUR",
	}
}

func theStart(t *testing.T, w *world) wire.Start {
	t.Helper()
	all := w.ofType(wire.CommandStart)
	if len(all) == 0 {
		t.Fatal("there is no START")
	}
	o, err := all[len(all)-1].Order()
	start, ok := o.(*wire.Start)
	if err != nil || !ok {
		t.Fatalf("got %+v, %v", o, err)
	}
	return *start
}

// START names the energy that the charging point may give, and the amount. It is the
// same after a restart of Central.
func TestStartHasTheLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tariff ledger.Tariff
		limit  charge.SessionLimit
		want   charge.SessionLimit
	}{
		"none":             {prices(), charge.SessionLimit{}, charge.SessionLimit{}},
		"energy":           {prices(), charge.SessionLimit{Energy: 7000}, charge.SessionLimit{Energy: 7000}},
		"money":            {prices(), charge.SessionLimit{Amount: 500}, charge.SessionLimit{Energy: 10_012, Amount: 500}}, // 5.0048 is rounded to 5.00
		"both, less Wh":    {prices(), charge.SessionLimit{Energy: 10, Amount: 500}, charge.SessionLimit{Energy: 10, Amount: 500}},
		"both, less money": {prices(), charge.SessionLimit{Energy: 20_000, Amount: 140}, charge.SessionLimit{Energy: 1012, Amount: 140}},
		"energy is free":   {ledger.Tariff{PerMinute: 1}, charge.SessionLimit{Amount: 140}, charge.SessionLimit{Amount: 140}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, orders.Config{})
			w.tariff = c.tariff
			if r := w.operator(orders.OperatorCharge{Username: "ana", Limit: c.limit}); r.Refused != "" {
				t.Fatal(r.Refused)
			}
			w.restart()
			w.pass(3000)
			if o := theStart(t, w); (charge.SessionLimit{Energy: o.Limit, Amount: o.LimitAmount}) != c.want {
				t.Errorf("START has %+v, want %+v", o, c.want)
			}
		})
	}
}

// An amount that buys nothing is refused before anything is reserved, and so is
// another limit for a session that is desired already.
func TestLimitsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, orders.Config{})
	w.tariff = prices()
	one := orders.Target{CPID: "CP_1", Connector: 1}
	small := charge.SessionLimit{Amount: 99}
	for _, a := range []orders.OperatorRequest{
		orders.OperatorCharge{Username: "ana", Limit: small}, orders.OperatorStart{Target: one, Username: "ana", Limit: small},
	} {
		if r := w.operator(a); r.Refused != orders.RefusedLimitTooSmall {
			t.Errorf("%+v: got %+v", a, r)
		}
	}
	if len(w.reservations) != 0 {
		t.Errorf("reserved: %+v", w.reservations)
	}
	ask := orders.OperatorCharge{Username: "ana", Limit: charge.SessionLimit{Amount: 500}}
	first := w.operator(ask)
	if again := w.operator(ask); again != first || first.Refused != "" {
		t.Errorf("again: got %+v, want %+v", again, first)
	}
	ask.Limit.Amount = 600
	if r := w.operator(ask); r.Refused != orders.RefusedLimitDiffers {
		t.Errorf("another limit: got %+v", r)
	}
}

// Central stops a session when its cost reaches the amount: with a price per minute
// that is before the energy. It does so after a restart too.
func TestCentralStopsAtTheAmount(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		w := newWorld(t, 1, 1, orders.Config{})
		w.tariff = prices()
		reply := w.operator(orders.OperatorCharge{Username: "ana", Limit: charge.SessionLimit{Amount: 200}})
		w.agents["CP_1"].plug(1, w.now)
		w.pass(5000)
		s, ok := w.Session(reply.SessionID)
		if !ok || s.Limit != (charge.SessionLimit{Energy: 2512, Amount: 200}) {
			t.Fatalf("got %+v, %v", s, ok)
		}
		if restart {
			w.restart()
		}
		w.pass(60_000)
		if got := w.ofType(wire.CommandStop); len(got) != 0 {
			t.Fatalf("STOP after a minute: %+v", got)
		}
		w.usage = &ledger.Usage{Energy: 1000, Seconds: 600, Started: true} // 1.00 + 0.40 + 0.60
		w.pass(5000)
		stops := w.ofType(wire.CommandStop)
		if len(stops) != 1 {
			t.Fatalf("restart %v: %d STOP, want one", restart, len(stops))
		}
		o, err := stops[0].Order()
		if stop, ok := o.(*wire.Stop); !ok || err != nil || stop.Reason != charge.StopLimitReached || stop.SessionID != reply.SessionID {
			t.Errorf("got %+v, %v", o, err)
		}
		if ended, _ := w.Session(reply.SessionID); ended.Reason != charge.StopLimitReached {
			t.Errorf("the session ended as %+v", ended)
		}
	}
}

// A card has a limit: its AUTHORIZE has it with the energy that the amount buys, by the
// present prices and by those of a reservation of its driver; and one that buys nothing
// is refused.
func TestTheLimitOfACard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.tariff = prices()
	id := w.issueCard(1, "anna")
	energy, amount := charge.WattHours(20_000), int64(500)
	if r := w.operator(orders.OperatorChangeCard{ID: id, LimitEnergy: &energy, LimitAmount: &amount}); r.Refused != "" {
		t.Fatal(r.Refused)
	}
	want := func(l charge.SessionLimit) {
		t.Helper()
		got := w.tap(1)
		if got == nil || !got.Allowed || got.Limit != l.Energy || got.LimitAmount != l.Amount {
			t.Errorf("got %+v, want %+v", got, l)
		}
	}
	want(charge.SessionLimit{Energy: 10_012, Amount: 500})
	none := int64(0)
	w.operator(orders.OperatorChangeCard{ID: id, LimitAmount: &none})
	want(charge.SessionLimit{Energy: 20_000})
	w.operator(orders.OperatorChangeCard{ID: id, LimitAmount: &amount})
	w.tariff.Version, w.tariff.StartFee = "dear", 501*money.MinorUnit
	if got := w.tap(1); got == nil || got.Allowed || got.Reason != orders.RefusedLimitTooSmall || got.SessionID != "" {
		t.Errorf("an amount that buys nothing now: %+v", got)
	}
	small := int64(400)
	if r := w.operator(orders.OperatorChangeCard{ID: id, LimitAmount: &small}); r.Refused != orders.RefusedLimitTooSmall || w.cards[id].Limit.Amount != 500 {
		t.Errorf("an amount that buys nothing is set: %+v, %+v", r, w.cards[id])
	}
	if r := w.operator(orders.OperatorChangeCard{ID: id, LimitEnergy: &energy}); r.Refused != "" {
		t.Errorf("another change of that card: %+v", r)
	}
	c := cards.Card{Hash: hashOf(2), Username: "berta", Limit: charge.SessionLimit{Amount: 400}}
	if r := w.operator(orders.OperatorIssueCard{Card: c}); r.Refused != orders.RefusedLimitTooSmall {
		t.Errorf("issued: %+v", r)
	}
}

// The local list has the energy that an amount buys at most. It follows other prices, and
// charging points that would not keep a limit get no card with one.
func TestLimitsInTheLocalList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, orders.Config{})
	w.tariff = prices()
	w.agents["CP_1"].cp.Capabilities = []string{wire.CapabilityCardLimits}
	a, old := w.withList("CP_1"), w.withList("CP_2")
	first, second := w.issueCard(1, "anna"), w.issueCard(2, "berta")
	energy, amount := charge.WattHours(7000), int64(500)
	w.operator(orders.OperatorChangeCard{ID: first, LimitEnergy: &energy})
	w.operator(orders.OperatorChangeCard{ID: second, LimitAmount: &amount})
	w.issueCard(3, "carl")
	entry := func(n int, l charge.SessionLimit) {
		t.Helper()
		if e := a.list[hashOf(n)]; (charge.SessionLimit{Energy: e.Limit, Amount: e.LimitAmount}) != l {
			t.Errorf("card %d has %+v in the list, want %+v", n, e, l)
		}
	}
	w.pass(5000)
	w.wantList(a, 1, 2, 3)
	w.wantList(old, 3)
	entry(1, charge.SessionLimit{Energy: 7000})
	entry(2, charge.SessionLimit{Energy: 10_012, Amount: 500})
	entry(3, charge.SessionLimit{})

	w.tariff.Version, w.tariff.PerKWh = "half", 20*money.MinorUnit
	w.pass(10_000)
	entry(2, charge.SessionLimit{Energy: 20_024, Amount: 500})
	w.restart()
	w.tariff.Version, w.tariff.StartFee = "dear", 501*money.MinorUnit
	w.pass(10_000)
	w.wantList(a, 1, 3) // the amount buys nothing: Central is asked
	w.wantList(old, 3)
	before := len(w.ofType(wire.CommandSetLocalList))
	w.pass(600_000)
	if got := len(w.ofType(wire.CommandSetLocalList)) - before; got != 0 {
		t.Errorf("%d commands without a change", got)
	}

	// The agent of the other charging point is replaced by one that keeps limits.
	old.cp.Capabilities = a.cp.Capabilities
	w.reboot("CP_2")
	w.pass(5000)
	w.wantList(old, 1, 3)
	w.operator(orders.OperatorChangeCard{ID: first, LimitEnergy: new(charge.WattHours)})
	w.pass(5000)
	entry(1, charge.SessionLimit{})
}

// A driver's request to start has a limit in the currency of the prices; one that cannot
// be used is refused before anything starts, and another one than before is not given.
func TestTheLimitOfADriversRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.tariff = prices()
	w.asks("m", "ana", "CP_1")
	w.pass(2000)
	start := func(message string, kwh wire.KWh, cost string) wire.CentralEvent {
		t.Helper()
		q := wire.DriverRequest{MessageID: message, EventType: wire.DriverStarted, Username: "ana", Timestamp: wire.Seconds(w.now)}
		if kwh != 0 {
			q.LimitKWh = &kwh
		}
		if cost != "" {
			q.LimitCost = new(wire.Money)
			if err := q.LimitCost.UnmarshalJSON([]byte(cost)); err != nil {
				t.Fatal(err)
			}
		}
		w.ask(q, "CP_1")
		return w.mustAnswer(message)
	}
	for i, cost := range []string{"0.99", "5.005", "99999999999999"} {
		if e := start(fmt.Sprint("bad-", i), 0, cost); e.Reason != wire.RefusedInvalid || !strings.HasPrefix(e.Message, "field limit_cost: ") {
			t.Errorf("%s: answered %+v", cost, e)
		}
	}
	e := start("one", 20_000, "5")
	if e.Reason != "" || e.LimitKWh == nil || *e.LimitKWh != 10_012 || e.LimitCost == nil || *e.LimitCost != (wire.Money{Minor: 500, Decimals: 2}) || e.Currency != "EUR" {
		t.Fatalf("answered %+v", e)
	}
	if again := start("two", 20_000, "5.00"); again.Reason != "" || again.SessionID != e.SessionID {
		t.Errorf("the same limit: %+v", again)
	}
	if other := start("three", 1000, ""); other.Reason != orders.RefusedLimitDiffers || other.LimitCost == nil {
		t.Errorf("another limit: %+v", other)
	}
	w.agents["CP_1"].plug(1, w.now)
	w.pass(5000)
	if s, ok := w.Session(e.SessionID); !ok || s.Limit != (charge.SessionLimit{Energy: 10_012, Amount: 500}) {
		t.Fatalf("the session: %+v, %v", s, ok)
	}
	for message, c := range map[string]struct {
		kwh    wire.KWh
		cost   string
		reason string
	}{"same": {0, "5", ""}, "none": {0, "", ""}, "more": {0, "6", orders.RefusedLimitDiffers}, "bad": {0, "0.5", wire.RefusedInvalid}} {
		if got := start(message, c.kwh, c.cost); got.Reason != c.reason {
			t.Errorf("while charging, %s: %+v, want %q", message, got, c.reason)
		}
	}
	w.operator(orders.OperatorStop{SessionID: e.SessionID})
	w.pass(5000)
	for _, kind := range []wire.CentralEventType{wire.CentralChargingStarted, wire.CentralTicket} {
		if all := w.events(kind, "ana"); len(all) != 1 || all[0].LimitKWh == nil || all[0].LimitCost == nil || all[0].LimitCost.String() != "5.00" {
			t.Errorf("%s: %+v, want one with the limit", kind, all)
		}
	}
}
