package orders_test

import (
	"testing"

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
