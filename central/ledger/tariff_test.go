package ledger_test

import (
	"fmt"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// anyTariff and anyUsage are possible ones, with prices that round.
func anyTariff(t *rapid.T) ledger.Tariff {
	price := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 10_000_000), rapid.Int64Range(0, 1_000_000_000_000))
	return ledger.Tariff{
		Version: "t", Currency: "EUR", StartFee: money.Price(price.Draw(t, "fee")), PerKWh: money.Price(price.Draw(t, "per kWh")),
		PerMinute: money.Price(price.Draw(t, "per minute")), PerIdleMinute: money.Price(price.Draw(t, "per idle minute")),
		Tax: ledger.TaxRate(rapid.Int64Range(0, int64(ledger.MaxTax)).Draw(t, "tax")),
	}
}

func anyUsage(t *rapid.T) ledger.Usage {
	seconds := rapid.Int64Range(0, 10_000_000).Draw(t, "seconds")
	return ledger.Usage{
		Energy: charge.WattHours(rapid.Int64Range(0, 1_000_000).Draw(t, "Wh")), Seconds: seconds,
		IdleSec: rapid.Int64Range(0, seconds).Draw(t, "idle"), Started: rapid.Bool().Draw(t, "started"),
	}
}

// exactly is the cost as a fraction of minor units.
func exactly(t ledger.Tariff, u ledger.Usage) *big.Rat {
	sum := new(big.Rat)
	add := func(quantity int64, price money.Price, per int64) {
		sum.Add(sum, new(big.Rat).Mul(big.NewRat(quantity, per), big.NewRat(int64(price), int64(money.MinorUnit))))
	}
	add(int64(u.Energy), t.PerKWh, 1000)
	if u.Started {
		add(1, t.StartFee, 1)
		add(u.Seconds, t.PerMinute, 60)
		add(u.IdleSec, t.PerIdleMinute, 60)
	}
	return sum
}

// The lines add up to the cost, which is the fraction rounded half up; no line differs
// from its exact value by a minor unit; taxes add up to the tax of the cost.
func TestLinesAddUpToTheCost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tariff, u := anyTariff(t), anyUsage(t)
		cost := tariff.Cost(u)
		half := new(big.Rat).Add(exactly(tariff, u), big.NewRat(1, 2))
		if want := new(big.Int).Quo(half.Num(), half.Denom()); want.Int64() != int64(cost.Minor) {
			t.Fatalf("%+v by %+v: got %d, want %s", u, tariff, cost.Minor, want)
		}
		var sum, tax money.Minor
		for _, l := range tariff.Lines(u) {
			sum, tax = sum+l.Amount, tax+l.Tax
			per := map[ledger.LineKind]int64{ledger.LineStart: 1, ledger.LineEnergy: 1000, ledger.LineTime: 60, ledger.LineIdle: 60}[l.Kind]
			exact := new(big.Rat).Mul(big.NewRat(l.Quantity, per), big.NewRat(int64(l.Price), int64(money.MinorUnit)))
			if d := exact.Sub(exact, big.NewRat(int64(l.Amount), 1)); d.Abs(d).Cmp(big.NewRat(1, 1)) >= 0 {
				t.Fatalf("line %+v differs by %s", l, d.FloatString(3))
			}
			if l.Amount < 0 || l.Tax < 0 {
				t.Fatalf("line %+v is below zero", l)
			}
		}
		if sum != cost.Minor || tax != tariff.Tax.Included(cost.Minor) {
			t.Fatalf("lines add up to %d with %d tax, want %d with %d", sum, tax, cost.Minor, tariff.Tax.Included(cost.Minor))
		}
		if u.Energy < 0 || tax > sum {
			t.Fatalf("tax %d of %d", tax, sum)
		}
	})
}

// More of anything never costs less.
func TestCostIsMonotone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tariff, u := anyTariff(t), anyUsage(t)
		more := u
		more.Energy += charge.WattHours(rapid.Int64Range(0, 100_000).Draw(t, "more Wh"))
		more.Seconds += rapid.Int64Range(0, 100_000).Draw(t, "more seconds")
		more.IdleSec += rapid.Int64Range(0, 100_000).Draw(t, "more idle")
		more.Started = more.Started || rapid.Bool().Draw(t, "starts")
		if a, b := tariff.Cost(u), tariff.Cost(more); b.Minor < a.Minor {
			t.Fatalf("%+v costs %d and %+v %d", u, a.Minor, more, b.Minor)
		}
	})
}

// The ticket of a settlement and its correction have the price of the whole session,
// and so have their lines, kind by kind.
func TestLinesOfACorrection(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tariff, u := anyTariff(t), anyUsage(t)
		s := ledger.Session{ID: "s", StartKnown: true, Started: u.Started, Register: u.Energy, Spans: []ledger.Span{{Journal: "j", FirstMS: 1, LastMS: 1 + u.Seconds*1000}}}
		settled := ledger.MakeTicket(&s, tariff)
		s.Register = charge.WattHours(rapid.Int64Range(0, 2_000_000).Draw(t, "last register"))
		s.Started = s.Started || rapid.Bool().Draw(t, "starts later")
		sp := &s.Spans[0]
		sp.PausedMS = sp.LastMS + rapid.Int64Range(0, 1_000_000).Draw(t, "pause")
		sp.StopMS = sp.PausedMS + rapid.Int64Range(0, 1_000_000).Draw(t, "stop")
		sp.LastMS = sp.StopMS
		whole, c := ledger.MakeTicket(&s, tariff), ledger.MakeCorrection(&s, tariff, &settled)
		if settled.Cost.Minor+c.Cost.Minor != whole.Cost.Minor {
			t.Fatalf("%d and %d are not %d", settled.Cost.Minor, c.Cost.Minor, whole.Cost.Minor)
		}
		sum := func(lines []ledger.Line) (amount, tax money.Minor) {
			for _, l := range lines {
				amount, tax = amount+l.Amount, tax+l.Tax
			}
			return amount, tax
		}
		a1, t1 := sum(ledger.TicketLines(&settled, tariff, nil))
		a2, t2 := sum(ledger.TicketLines(&c, tariff, &settled))
		if a1 != settled.Cost.Minor || a2 != c.Cost.Minor || t1+t2 != tariff.Tax.Included(whole.Cost.Minor) {
			t.Fatalf("lines of %d and %d with tax %d and %d, want %d and %d with %d", a1, a2, t1, t2, settled.Cost.Minor, c.Cost.Minor, tariff.Tax.Included(whole.Cost.Minor))
		}
		other := tariff
		other.Version = "other"
		if ledger.TicketLines(&settled, other, nil) != nil {
			t.Fatal("lines by a tariff that is not the ticket's")
		}
	})
}

// Idle time counts from the last pause by the vehicle to the stop, and needs a price.
func TestIdleTime(t *testing.T) {
	t.Parallel()
	pause := func(by string) wire.Payload { return &wire.Suspended{By: by} }
	for _, tc := range []struct {
		name    string
		records []wire.Payload // one a minute
		want    int64
	}{
		{"never paused", nil, 0},
		{"paused until the stop", []wire.Payload{pause("ev")}, 60},
		{"charged again", []wire.Payload{pause("ev"), &wire.Resumed{}}, 0},
		{"paused twice", []wire.Payload{pause("ev"), &wire.Resumed{}, pause("ev"), &wire.MeterRead{}}, 120},
		{"paused by the charging point", []wire.Payload{pause("evse")}, 0},
		{"then held back by the charging point", []wire.Payload{pause("ev"), pause("evse")}, 0},
	} {
		for _, price := range []money.Price{0, 10_000} {
			b, bk := ledgertest.NewChargingPoint("CP_001", 1, morning), ledgertest.NewBook("CP_001", morning)
			bk.Env.Default.PerIdleMinute = price
			b.Boot()
			b.Plug(1)
			b.Grant(1, "s", "ann", "")
			b.Begin(1)
			for _, p := range tc.records {
				b.Now += minute
				b.Write(1, "s", p)
			}
			b.Now += minute
			b.Stop(1, charge.StopLocal)
			for _, r := range b.Log {
				bk.Apply(r)
			}
			want := tc.want
			if price == 0 {
				want = 0
			}
			if k := bk.Tickets[ledger.TicketID("s")]; k.IdleSec != want {
				t.Errorf("%s at a price of %d: %d s, want %d", tc.name, price, k.IdleSec, want)
			}
		}
	}
}

// A session keeps the version of its grant, named or not, whatever is added later.
func TestALaterVersionChangesNoEarlierSession(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var versions ledger.Tariffs
		for i := range rapid.IntRange(1, 6).Draw(t, "versions") {
			v := anyTariff(t)
			v.Version, v.ValidFrom = charge.TariffVersion(fmt.Sprint("v", i)), charge.Time(rapid.Int64Range(1, 1000).Draw(t, "from"))
			versions.Add(v)
		}
		at := charge.Time(rapid.Int64Range(0, 1000).Draw(t, "grant"))
		before, ok := versions.At(at)
		later := anyTariff(t)
		later.Version, later.ValidFrom = "later", at+charge.Time(rapid.Int64Range(1, 1000).Draw(t, "later"))
		grown := slices.Clone(versions)
		grown.Add(later)
		if after, ok2 := grown.At(at); ok2 != ok || after != before {
			t.Fatalf("the version at %d was %s and is %s", at, before.Version, after.Version)
		}
		for i := range versions {
			if got, ok := grown.Find(versions[i].Version); !ok || got != versions[i] {
				t.Fatalf("version %s changed", versions[i].Version)
			}
		}
		if got, ok := grown.At(later.ValidFrom); !ok || got.ValidFrom > later.ValidFrom {
			t.Fatal("no version, or one of the future")
		}
	})
}

// A session that names no known version has the one that was valid at its grant.
func TestASessionWithoutATariffHasTheOneOfItsGrant(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		tariff charge.TariffVersion
		from   charge.Time // since when the later version is valid
		want   charge.TariffVersion
	}{
		{"names none", "", morning + 2*minute, "old"},
		{"names an unknown one", "unknown", morning + 2*minute, "old"},
		{"was granted later", "", morning, "new"},
		{"names an old one", "old", morning, "old"},
	} {
		b, bk := ledgertest.NewChargingPoint("CP_001", 1, morning), ledgertest.NewBook("CP_001", morning)
		versions := ledger.Tariffs{{Version: "old", Currency: "EUR", ValidFrom: 1}, {Version: "new", Currency: "EUR", ValidFrom: tc.from}}
		bk.Env.Tariff, bk.Env.TariffAt = versions.Find, versions.At
		b.Boot()
		b.Plug(1)
		b.Now += minute
		b.Grant(1, "s", "ann", tc.tariff)
		b.Begin(1)
		b.Now += 5 * minute
		b.Unplug(1)
		for _, r := range b.Log {
			bk.Apply(r)
		}
		if k := bk.Tickets[ledger.TicketID("s")]; k.Tariff != tc.want {
			t.Errorf("%s: priced by %q, want %q", tc.name, k.Tariff, tc.want)
		}
	}
}

// What an amount buys costs no more than it; 1 Wh more does. Energy without a price is
// not limited.
func TestBuysIsTheMostEnergyForAnAmount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tariff, amount := anyTariff(t), money.Minor(rapid.Int64Range(1, 1_000_000).Draw(t, "amount"))
		cost := func(e charge.WattHours) money.Minor { return tariff.Cost(ledger.Usage{Energy: e, Started: true}).Minor }
		switch buys := tariff.Buys(amount); {
		case buys > 0 && cost(buys) > amount:
			t.Fatalf("%d Wh cost %d, more than %d", buys, cost(buys), amount)
		case buys < charge.MaxSessionLimit && cost(buys+1) <= amount:
			t.Fatalf("%d Wh, and one more costs %d of %d", buys, cost(buys+1), amount)
		}
	})
}
