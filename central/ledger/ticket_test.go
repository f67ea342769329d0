package ledger_test

import (
	"math/big"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// cents is a price in whole minor units.
func cents(n int64) money.Price { return money.Price(n) * money.MinorUnit }

func TestCost(t *testing.T) {
	t.Parallel()
	standard := ledger.Tariff{StartFee: cents(50), PerKWh: cents(40), Currency: "EUR"}
	fine := ledger.Tariff{StartFee: cents(100), PerKWh: 427_500, Currency: "EUR"} // 0.4275 EUR/kWh
	halves := ledger.Tariff{StartFee: 5_000, PerKWh: 5_000, Currency: "EUR"}      // half a cent each
	for _, tc := range []struct {
		tariff  ledger.Tariff
		wh      charge.WattHours
		started bool
		want    money.Minor
	}{
		{standard, 0, false, 0},
		{standard, 0, true, 50},
		{standard, 12, true, 50},    // 0.48 cents
		{standard, 13, true, 51},    // 0.52
		{standard, 1830, true, 123}, // 73.2
		{standard, 1000, false, 40},
		{standard, 12_500, false, 500},
		{standard, charge.MaxRegister, false, 400_000_000_000},
		{ledger.Tariff{PerKWh: cents(100)}, 5, false, 1}, // half a cent: up
		{fine, 10_000, true, 528},                        // 4.275 EUR and 1.00: 527.5 cents
		{fine, 1000, false, 43},                          // 42.75
		{halves, 1000, true, 1},                          // two halves are one cent: rounded once, not two times
		{halves, 0, true, 1},
		{halves, 999, false, 0},
		{ledger.Tariff{PerKWh: cents(45), Currency: "JPY"}, 7600, false, 342},
		{ledger.Tariff{PerKWh: cents(45), Currency: "KWD"}, 76_000, false, 3420},
	} {
		got := tc.tariff.Cost(ledger.Usage{Energy: tc.wh, Started: tc.started})
		if want := (money.Amount{Minor: tc.want, Currency: tc.tariff.Currency}); got != want {
			t.Errorf("%d Wh, started %v: got %d %s, want %d %s", tc.wh, tc.started, got.Minor, got.Currency, want.Minor, want.Currency)
		}
	}
}

// The cost is that of the fraction, rounded once, half up; what cannot be held
// is the largest amount.
func TestCostIsTheRoundedFraction(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		price := rapid.OneOf(rapid.Int64Range(0, 1<<62), rapid.Int64Range(0, 10_000_000))
		tariff := ledger.Tariff{StartFee: money.Price(price.Draw(t, "fee")), PerKWh: money.Price(price.Draw(t, "price"))}
		e := rapid.OneOf(rapid.Int64Range(0, int64(charge.MaxRegister)), rapid.Int64Range(0, 100_000)).Draw(t, "energy")
		started := rapid.Bool().Draw(t, "started")
		sum := new(big.Int).Mul(big.NewInt(e), big.NewInt(int64(tariff.PerKWh)))
		if started {
			sum.Add(sum, new(big.Int).Mul(big.NewInt(1000), big.NewInt(int64(tariff.StartFee))))
		}
		sum.Add(sum, big.NewInt(5_000_000)).Div(sum, big.NewInt(10_000_000))
		if most := big.NewInt(1<<63 - 1); sum.Cmp(most) > 0 {
			sum = most
		}
		if got := tariff.Cost(ledger.Usage{Energy: charge.WattHours(e), Started: started}); int64(got.Minor) != sum.Int64() {
			t.Fatalf("%d Wh by %+v, started %v: got %d, want %s", e, tariff, started, got.Minor, sum)
		}
	})
}

// Prices in whole minor units cost what they did before prices became finer: the
// energy was rounded alone, and the fee added.
func TestWholePricesCostWhatTheyDid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		fee, price := rapid.Int64Range(0, 1_000_000).Draw(t, "fee"), rapid.Int64Range(0, 1_000_000).Draw(t, "price")
		e := rapid.Int64Range(0, 1_000_000_000).Draw(t, "energy")
		want := money.Minor((e*price+500)/1000 + fee)
		if got := (ledger.Tariff{StartFee: cents(fee), PerKWh: cents(price)}).Cost(ledger.Usage{Energy: charge.WattHours(e), Started: true}); got.Minor != want {
			t.Fatalf("%d Wh at %d with a fee of %d: got %d, want %d", e, price, fee, got.Minor, want)
		}
	})
}

// Diff names the fields in which two tickets differ, and no others.
func TestDiff(t *testing.T) {
	t.Parallel()
	of := func(v any) reflect.Value { return reflect.ValueOf(v).Elem() }
	for i := range reflect.TypeFor[ledger.Ticket]().NumField() {
		a := ledger.Ticket{Cost: money.Amount{Currency: "EUR"}}
		b := a
		switch f := of(&b).Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Struct:
			b.Cost.Minor = 5
		default:
			f.SetInt(5)
		}
		if words := b.Diff(&a); words == "" || strings.Contains(words, ", ") {
			t.Errorf("%s: got %q, want one difference", of(&b).Type().Field(i).Name, words)
		}
		if words := a.Diff(&a); words != "" {
			t.Errorf("the same ticket differs: %s", words)
		}
	}
	a, b := ledger.Ticket{Energy: 100, DurationSec: 4}, ledger.Ticket{Energy: 100, DurationSec: 5}
	if got := b.Diff(&a); got != "duration in s 5 instead of 4" {
		t.Errorf("got %q", got)
	}
}
