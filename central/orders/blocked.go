package orders

import (
	"cmp"
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// stopBlocked issues STOP for the open sessions whose card was blocked or deleted: its
// holder may not go on at its driver's cost. It needs no desired state: the session's row
// and the card decide. So it ends a session too that began with a list from before the
// change, and one that Central learns of later.
func (x *step) stopBlocked(cp *ledger.CP) {
	for _, s := range x.blocked(cp) {
		x.issue(cp, s.Connector, &wire.Stop{SessionID: s.ID, Reason: charge.StopDeauthorized}, subject{session: s.ID})
	}
}

// blocked returns the open sessions whose card may not charge any more, by connector.
func (x *step) blocked(cp *ledger.CP) (all []*ledger.Session) {
	for _, s := range cp.Sessions {
		if s.State != ledger.SessionOpen || s.Card == "" {
			continue
		}
		if c, known := x.s.book.ByHash(s.Card); known && (c.BlockedAt != 0 || c.DeletedAt != 0) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *ledger.Session) int {
		return cmp.Or(cmp.Compare(a.Connector, b.Connector), cmp.Compare(a.ID, b.ID))
	})
	return all
}
