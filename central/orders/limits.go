package orders

import (
	"cmp"
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

// withEnergy adds to a limit in money the energy that it buys at most, so that the
// charging point ends the session without Central.
func (x *step) withEnergy(l charge.SessionLimit, tariff charge.TariffVersion) charge.SessionLimit {
	if l.Amount == 0 {
		return l
	}
	buys := x.v.TariffOf(tariff, x.At).Buys(money.Minor(l.Amount))
	if buys < charge.MaxSessionLimit && (l.Energy == 0 || buys < l.Energy) {
		l.Energy = buys
	}
	return l
}

// tooSmall reports whether a limit in money does not buy 1 Wh.
func (x *step) tooSmall(l charge.SessionLimit, tariff charge.TariffVersion) bool {
	return l.Amount != 0 && x.v.TariffOf(tariff, x.At).Buys(money.Minor(l.Amount)) == 0
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

// watchLimits makes the charging points due whose sessions have an amount: after a
// start of Central no row is loaded for them.
func (x *step) watchLimits() {
	for cp := range x.v.CPs() {
		if len(limited(cp)) > 0 {
			x.s.point(cp.ID).due = dueNow
		}
	}
}
