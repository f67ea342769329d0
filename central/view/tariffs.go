package view

import (
	"cmp"
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// Tariff is a version of the prices, which never changes. Prices are decimals in the
// main unit of the currency and include the tax. Time is priced for the whole
// session, idle time on top of it: from the last pause by the vehicle to the stop.
type Tariff struct {
	Version       charge.TariffVersion `json:"version"`
	Currency      money.Currency       `json:"currency"`
	StartFee      string               `json:"start_fee"`
	PerKWh        string               `json:"per_kwh"`
	PerMinute     string               `json:"per_minute"`
	PerIdleMinute string               `json:"per_idle_minute"`
	TaxPercent    string               `json:"tax_percent"` // of the price without tax: "19.00"
	ValidFrom     charge.Time          `json:"valid_from"`  // for sessions that are granted from then on
	State         string               `json:"state" enum:"past,current,future"`
}

// TariffList has all versions of the prices, the latest first. At most one is
// current.
type TariffList struct {
	Items []Tariff `json:"items" nullable:"false"`
}

// Line is a part of a price. The amounts of all lines add up to the cost exactly.
type Line struct {
	Kind     ledger.LineKind `json:"kind" enum:"start,energy,time,idle"`
	Quantity int64           `json:"quantity"` // starts, Wh, or seconds
	Price    string          `json:"price"`    // per start, kWh, or minute
	Amount   string          `json:"amount"`   // with tax
	Tax      string          `json:"tax"`      // in amount
}

// TariffPreview is what the latest sessions of a time would have cost by other prices.
type TariffPreview struct {
	Currency money.Currency   `json:"currency"`
	Sessions int              `json:"sessions"`
	More     bool             `json:"more"` // there are more sessions, which are left out
	Before   string           `json:"before"`
	After    string           `json:"after"`
	Lines    []Line           `json:"lines" nullable:"false"`    // sums over all sessions
	Examples []PreviewExample `json:"examples" nullable:"false"` // from little energy to much
}

// PreviewExample is one session of a preview.
type PreviewExample struct {
	SessionID   charge.SessionID `json:"session_id"`
	StoppedAt   charge.Time      `json:"stopped_at,omitzero"`
	Energy      charge.WattHours `json:"energy_wh"`
	DurationSec int64            `json:"duration_sec"`
	IdleSec     int64            `json:"idle_sec"`
	Before      string           `json:"before"` // its tickets
	After       string           `json:"after"`
	Lines       []Line           `json:"lines" nullable:"false"`
}

// The states of a version of the prices.
const (
	TariffPast    = "past"
	TariffCurrent = "current"
	TariffFuture  = "future"
)

// TariffsAt shows all versions at the moment now.
func TariffsAt(all ledger.Tariffs, now charge.Time) TariffList {
	current, ok := all.At(now)
	out := TariffList{Items: make([]Tariff, 0, len(all))}
	for _, t := range slices.Backward(all) {
		state := TariffPast
		switch {
		case ok && t.Version == current.Version:
			state = TariffCurrent
		case t.ValidFrom > now:
			state = TariffFuture
		}
		out.Items = append(out.Items, Tariff{
			Version: t.Version, Currency: t.Currency, StartFee: t.StartFee.Decimal(t.Currency), PerKWh: t.PerKWh.Decimal(t.Currency),
			PerMinute: t.PerMinute.Decimal(t.Currency), PerIdleMinute: t.PerIdleMinute.Decimal(t.Currency),
			TaxPercent: percent(t.Tax), ValidFrom: t.ValidFrom, State: state,
		})
	}
	return out
}

func percent(r ledger.TaxRate) string { return charge.Decimal(int64(r), 2) }

// LinesOf shows lines of a price in a currency.
func LinesOf(lines []ledger.Line, c money.Currency) []Line {
	decimal := func(m money.Minor) string { return money.Amount{Minor: m, Currency: c}.Decimal() }
	out := make([]Line, 0, len(lines))
	for _, l := range lines {
		out = append(out, Line{Kind: l.Kind, Quantity: l.Quantity, Price: l.Price.Decimal(c), Amount: decimal(l.Amount), Tax: decimal(l.Tax)})
	}
	return out
}

// PricedTicketOf shows a ticket with its lines by its tariff. settled is the ticket
// that it corrects, nil if none.
func PricedTicketOf(t *ledger.Ticket, tariff ledger.Tariff, settled *ledger.Ticket) Ticket {
	out := TicketOf(t)
	lines := ledger.TicketLines(t, tariff, settled)
	if len(lines) == 0 {
		return out
	}
	var tax money.Minor
	for _, l := range lines {
		tax += l.Tax
	}
	out.Lines, out.TaxPercent = LinesOf(lines, t.Cost.Currency), percent(tariff.Tax)
	out.Tax = money.Amount{Minor: tax, Currency: t.Cost.Currency}.Decimal()
	return out
}

// PastSession is a session with what its tickets cost.
type PastSession struct {
	ledger.Session
	Cost money.Minor
}

// maxExamples is how many examples a preview has.
const maxExamples = 5

// PreviewOf prices past sessions by a tariff.
func PreviewOf(past []PastSession, t ledger.Tariff) TariffPreview {
	decimal := func(m money.Minor) string { return money.Amount{Minor: m, Currency: t.Currency}.Decimal() }
	var before, after money.Minor
	sums := map[ledger.LineKind]ledger.Line{}
	for i := range past {
		before += past[i].Cost
		for _, l := range t.Lines(past[i].Usage()) {
			s := sums[l.Kind]
			sums[l.Kind] = ledger.Line{Kind: l.Kind, Quantity: s.Quantity + l.Quantity, Price: l.Price, Amount: s.Amount + l.Amount, Tax: s.Tax + l.Tax}
			after += l.Amount
		}
	}
	out := TariffPreview{Currency: t.Currency, Sessions: len(past), Before: decimal(before), After: decimal(after), Examples: []PreviewExample{}}
	var lines []ledger.Line
	for _, kind := range []ledger.LineKind{ledger.LineStart, ledger.LineEnergy, ledger.LineTime, ledger.LineIdle} {
		if l, ok := sums[kind]; ok {
			lines = append(lines, l)
		}
	}
	out.Lines = LinesOf(lines, t.Currency)
	sorted := slices.Clone(past)
	slices.SortFunc(sorted, func(a, b PastSession) int {
		return cmp.Or(cmp.Compare(a.Energy(), b.Energy()), cmp.Compare(a.ID, b.ID))
	})
	n := min(maxExamples, len(sorted))
	for i := range n {
		s := &sorted[i*(len(sorted)-1)/max(1, n-1)]
		u := s.Usage()
		out.Examples = append(out.Examples, PreviewExample{
			SessionID: s.ID, StoppedAt: s.EndedAt, Energy: u.Energy, DurationSec: u.Seconds, IdleSec: u.IdleSec,
			Before: decimal(s.Cost), After: t.Cost(u).Decimal(), Lines: LinesOf(t.Lines(u), t.Currency),
		})
	}
	return out
}
