package orders

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// limitInterval is how often the cost of a session is compared with its amount. The
// charging point ends the session at the energy that the amount buys; time costs
// more, and only Central knows it.
const limitInterval = time.Second

// priced adds to a limit in money the energy that it buys at most, so that the charging
// point ends the session without Central. ok is false if that is not 1 Wh.
func priced(l charge.SessionLimit, t ledger.Tariff) (_ charge.SessionLimit, ok bool) {
	if l.Amount == 0 {
		return l, true
	}
	buys := t.Buys(money.Minor(l.Amount))
	if buys < charge.MaxSessionLimit && (l.Energy == 0 || buys < l.Energy) {
		l.Energy = buys
	}
	return l, buys > 0
}

// withEnergy is priced for a limit that is not too small.
func (x *step) withEnergy(l charge.SessionLimit, tariff charge.TariffVersion) charge.SessionLimit {
	l, _ = priced(l, x.v.TariffOf(tariff, x.At))
	return l
}

// tooSmall reports whether a limit in money does not buy 1 Wh.
func (x *step) tooSmall(l charge.SessionLimit, tariff charge.TariffVersion) bool {
	_, ok := priced(l, x.v.TariffOf(tariff, x.At))
	return !ok
}

// limitOf returns the limit that a driver's request asks for, and what is wrong with it;
// "" if nothing is. Its amount is in the currency of the session's prices.
func limitOf(q *wire.DriverRequest, t ledger.Tariff) (l charge.SessionLimit, invalid string) {
	if q.LimitKWh != nil {
		l.Energy = charge.WattHours(*q.LimitKWh)
	}
	if q.LimitCost == nil {
		return l, ""
	}
	minor, err := money.ParseAmount(q.LimitCost.String(), t.Currency)
	if err == nil && minor > charge.MaxSessionLimit {
		err = fmt.Errorf("%s is too large", q.LimitCost)
	}
	if err != nil {
		return l, "field limit_cost: " + err.Error()
	}
	l.Amount = int64(minor)
	if _, ok := priced(l, t); !ok {
		return l, fmt.Sprintf("field limit_cost: %s does not buy any energy; use a larger amount", money.Amount{Minor: minor, Currency: t.Currency})
	}
	return l, ""
}

// showLimit adds the limit of a session to an event, in the currency of its prices.
func showLimit(ev *wire.CentralEvent, l charge.SessionLimit, c money.Currency) {
	if l.Energy != 0 {
		ev.LimitKWh = new(wire.KWh(l.Energy))
	}
	if l.Amount != 0 {
		ev.LimitCost, ev.Currency = new(WireMoney(money.Amount{Minor: money.Minor(l.Amount), Currency: c})), string(c)
	}
}

// priceCards lets the local lists follow the prices that are valid now: if they may have
// changed, every charging point is due at the next tick.
func (x *step) priceCards() {
	x.s.cardPrices = x.tariff()
	t := x.v.TariffOf(x.s.cardPrices, x.At)
	if x.s.book.SetPrice(func(l charge.SessionLimit) (charge.SessionLimit, bool) { return priced(l, t) }) {
		for _, id := range x.allPoints() {
			x.s.point(id).due = dueNow
		}
	}
}

// stopAtLimits issues STOP for the sessions whose cost has reached their amount. It
// needs no desired state: the session's row and the present cost decide.
func (x *step) stopAtLimits(cp *ledger.CP) {
	for _, s := range limited(cp) {
		t := x.v.TariffOf(s.Tariff, s.AuthorizedAt)
		if t.Cost(x.v.Running(s)).Minor >= money.Minor(s.Limit.Amount) {
			x.issue(cp, s.Connector, &wire.Stop{SessionID: s.ID, Reason: charge.StopLimitReached}, subject{session: s.ID})
		}
	}
}

// limited returns the open sessions with an amount, by connector.
func limited(cp *ledger.CP) (all []*ledger.Session) {
	for _, s := range cp.Sessions {
		if s.State == ledger.SessionOpen && s.Limit.Amount > 0 {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *ledger.Session) int {
		return cmp.Or(cmp.Compare(a.Connector, b.Connector), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// watchLimits makes the charging points due whose sessions have an amount, or a card
// that is blocked: after a start of Central no row is loaded for them.
func (x *step) watchLimits() {
	for cp := range x.v.CPs() {
		if len(limited(cp))+len(x.blocked(cp)) > 0 {
			x.s.point(cp.ID).due = dueNow
		}
	}
}
