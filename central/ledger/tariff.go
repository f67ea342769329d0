package ledger

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sort"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// Tariff is one immutable version of the prices. All prices include the tax.
type Tariff struct {
	Version       charge.TariffVersion
	StartFee      money.Price // due once if charging started
	PerKWh        money.Price
	PerMinute     money.Price // of the whole session, if charging started
	PerIdleMinute money.Price // on top of PerMinute, while the vehicle is full: see Session.IdleMS
	Tax           TaxRate
	Currency      money.Currency
	ValidFrom     charge.Time // for grants from then on, until a later version is valid
}

// SamePrices reports whether two versions have the same name and prices.
func (t Tariff) SamePrices(o Tariff) bool {
	t.ValidFrom = o.ValidFrom
	return t == o
}

// TaxRate is a rate of tax in ten-thousandths of the price without it: 1900 is 19 %.
type TaxRate int64

// MaxTax is the highest rate of tax: 100 %.
const MaxTax TaxRate = 10_000

// Included returns the part of an amount that is tax, rounded half up.
func (r TaxRate) Included(a money.Minor) money.Minor {
	if a <= 0 || r <= 0 {
		return 0
	}
	r = min(r, MaxTax)
	whole := uint64(MaxTax + r)
	hi, lo := bits.Mul64(uint64(a), uint64(r))
	lo, carry := bits.Add64(lo, whole/2, 0)
	tax, _ := bits.Div64(hi+carry, lo, whole) // below a, so the high part is below the divisor
	return money.Minor(tax)
}

// Usage is what a session is priced by.
type Usage struct {
	Energy  charge.WattHours
	Seconds int64 // the whole session
	IdleSec int64 // of Seconds
	Started bool  // charging started; otherwise only energy is priced
}

// LineKind names what a line of a price is for.
type LineKind string

// The kinds of lines, in their order.
const (
	LineStart  LineKind = "start"
	LineEnergy LineKind = "energy"
	LineTime   LineKind = "time"
	LineIdle   LineKind = "idle"
)

// Line is a part of a price. Amount includes Tax.
type Line struct {
	Kind     LineKind
	Quantity int64       // starts, Wh, or seconds
	Price    money.Price // per start, kWh, or minute
	Amount   money.Minor
	Tax      money.Minor
}

// Cost is the price of a session: the exact sum of its parts, rounded once, half up,
// to the minor unit of the currency. An amount beyond int64 becomes the largest one.
func (t Tariff) Cost(u Usage) money.Amount {
	var sum money.Minor
	for _, l := range t.Lines(u) {
		sum += l.Amount
	}
	return money.Amount{Minor: sum, Currency: t.Currency}
}

// Buys is the most energy of a session that costs no more than an amount, with the
// start fee and without time; 0 if that is not even 1 Wh. It is the amount's upper
// bound: time costs more. Free energy is charge.MaxSessionLimit.
func (t Tariff) Buys(amount money.Minor) charge.WattHours {
	return charge.WattHours(sort.Search(charge.MaxSessionLimit, func(n int) bool {
		return t.Cost(Usage{Energy: charge.WattHours(n) + 1, Started: true}).Minor > amount
	}))
}

// Lines are the parts of Cost, without those that have no price or no quantity. They
// are cut by cumulative rounding: a line is the rounded sum up to it, less the
// rounded sum before it. So they add up to the cost, and none differs from its exact
// value by a minor unit or more. Tax is cut the same way.
func (t Tariff) Lines(u Usage) []Line {
	// The sum is exact in 128 bits, in minor units × unit. A quantity is bounded, so
	// that it cannot overflow: 2^50 Wh are more than a register has.
	const unit, most = 3000 * uint64(money.MinorUnit), int64(1 << 50)
	var lines []Line
	var hi, lo uint64
	var before, taxBefore money.Minor
	add := func(kind LineKind, quantity int64, price money.Price, scale int64) {
		if quantity <= 0 || price <= 0 {
			return
		}
		quantity = min(quantity, most)
		h, l := bits.Mul64(uint64(price), uint64(quantity*scale))
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi += h + carry
		sum := rounded(hi, lo, unit)
		tax := t.Tax.Included(sum)
		lines = append(lines, Line{kind, quantity, price, sum - before, tax - taxBefore})
		before, taxBefore = sum, tax
	}
	if u.Started {
		add(LineStart, 1, t.StartFee, 3000)
	}
	add(LineEnergy, int64(u.Energy), t.PerKWh, 3) // per 1000 Wh
	if u.Started {
		add(LineTime, u.Seconds, t.PerMinute, 50) // per 60 s
		add(LineIdle, u.IdleSec, t.PerIdleMinute, 50)
	}
	return lines
}

// rounded divides a number of 128 bits by unit, half up.
func rounded(hi, lo, unit uint64) money.Minor {
	lo, carry := bits.Add64(lo, unit/2, 0)
	if hi += carry; hi >= unit {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, unit)
	return money.Minor(min(q, math.MaxInt64))
}

// TicketLines are the lines of a ticket by its tariff. settled is the ticket that it
// corrects, nil if none: the lines of a correction are those of the whole session
// less those of settled. It returns nil if they would not add up to the cost.
func TicketLines(k *Ticket, t Tariff, settled *Ticket) []Line {
	u := k.Usage()
	var before []Line
	if settled != nil {
		s := settled.Usage()
		before = t.Lines(s)
		u = Usage{Energy: s.Energy + u.Energy, Seconds: s.Seconds + u.Seconds, IdleSec: s.IdleSec + u.IdleSec, Started: s.Started || u.Started}
	}
	lines := less(t.Lines(u), before)
	var sum money.Minor
	for _, l := range lines {
		sum += l.Amount
	}
	if sum != k.Cost.Minor || t.Version != k.Tariff || k.Corrects != "" && settled == nil {
		return nil
	}
	return lines
}

// less returns the lines of a without those of b, by kind, and without lines that
// are zero.
func less(a, b []Line) []Line {
	var out []Line
	for _, kind := range []LineKind{LineStart, LineEnergy, LineTime, LineIdle} {
		line := Line{Kind: kind}
		of := func(lines []Line, sign int64) {
			for _, l := range lines {
				if l.Kind == kind {
					line.Price = l.Price
					line.Quantity += sign * l.Quantity
					line.Amount += money.Minor(sign) * l.Amount
					line.Tax += money.Minor(sign) * l.Tax
				}
			}
		}
		of(a, 1)
		of(b, -1)
		if line.Quantity != 0 || line.Amount != 0 || line.Tax != 0 {
			out = append(out, line)
		}
	}
	return out
}

// Tariffs are all versions of the prices, in the order in which they become valid.
type Tariffs []Tariff

// Add adds a version.
func (ts *Tariffs) Add(t Tariff) {
	i, _ := slices.BinarySearchFunc(*ts, t, func(a, b Tariff) int {
		return cmp.Or(cmp.Compare(a.ValidFrom, b.ValidFrom), cmp.Compare(a.Version, b.Version))
	})
	*ts = slices.Insert(*ts, i, t)
}

// Find finds a version.
func (ts Tariffs) Find(v charge.TariffVersion) (Tariff, bool) {
	for i := range ts {
		if ts[i].Version == v {
			return ts[i], true
		}
	}
	return Tariff{}, false
}

// At finds the version that is valid at a moment.
func (ts Tariffs) At(at charge.Time) (Tariff, bool) {
	for _, t := range slices.Backward(ts) {
		if t.ValidFrom <= at {
			return t, true
		}
	}
	return Tariff{}, false
}

// Present returns the version that is valid at a moment, or fallback if none is.
func (ts Tariffs) Present(at charge.Time, fallback Tariff) Tariff {
	if t, ok := ts.At(at); ok {
		return t
	}
	return fallback
}

// TariffOf returns the version of the prices that a session names. If it names no
// known one, it is the one that was valid at its grant by the charging point's clock,
// or the default one if none was or the clock was not set (grantedAt 0).
func (e *Env) TariffOf(named charge.TariffVersion, grantedAt charge.Time) Tariff {
	if t, ok := e.tariff(named); ok {
		return t
	}
	if e.TariffAt != nil && grantedAt != 0 {
		if t, ok := e.TariffAt(grantedAt); ok {
			return t
		}
	}
	return e.Default
}

// tariff finds a version of the prices.
func (e *Env) tariff(v charge.TariffVersion) (Tariff, bool) {
	if v == "" || e.Tariff == nil {
		return Tariff{}, false
	}
	return e.Tariff(v)
}
