package world

import (
	"github.com/carga-ev/carga/central/ledger"
)

// checkRows: S15. The rows of a transaction keep the constraints of
// central/internal/store. The ledger has to reject bad values itself; a constraint
// that fires in the product would block the partition for ever.
func (w *World) checkRows(u *unit) {
	db := u.run.central.db
	for _, c := range u.changes {
		switch c := c.(type) {
		case ledger.SessionChanged:
			s := &c.Session
			// The session's id is the primary key: a second charging point would take
			// over the row.
			if was, ok := db.sessions[s.ID]; ok && was.CPID != s.CPID {
				w.violated("S15", "session %s of %s becomes one of %s", s.ID, was.CPID, s.CPID)
			}
			if s.ID == "" || s.Connector > 64 || s.Start < 0 || s.Register < 0 {
				w.violated("S15", "session %q of %s at connector %d, from %d to %d Wh, is no row", s.ID, s.CPID, s.Connector, s.Start, s.Register)
			}
		case ledger.TicketMade:
			t := &c.Ticket
			// Only a correction may be negative: what was billed too much is returned.
			if (t.Energy < 0 || t.Cost.Minor < 0) && t.Corrects == "" || t.DurationSec < 0 {
				w.violated("S15", "ticket %s of %d Wh, %d s and %v is no row", t.ID, t.Energy, t.DurationSec, t.Cost)
			}
		case ledger.MeterChanged:
			if m := &c.Meter; m.Last < m.First || m.Connector > 64 {
				w.violated("S15", "meter %s/%d from %d to %d Wh is no row", c.CPID, m.Connector, m.First, m.Last)
			}
		case ledger.ConnectorChanged:
			if k := &c.Connector; k.ID < 1 || k.ID > 64 || k.Register < 0 {
				w.violated("S15", "connector %s/%d at %d Wh is no row", c.CPID, k.ID, k.Register)
			}
		default:
		}
	}
	for _, id := range sortedKeys(u.sessions) {
		if s := u.sessions[id]; s.State == ledger.SessionOpen {
			w.checkOneOpenSession(u, &s)
		}
	}
}

// checkOneOpenSession mirrors the unique index of open sessions per connector. Both
// loops may see other sessions in any order, so the text sorts the two ids.
func (w *World) checkOneOpenSession(u *unit, s *ledger.Session) {
	for id, o := range u.run.central.db.sessions {
		if now, changed := u.sessions[id]; changed {
			o = now
		}
		if id != s.ID && o.CPID == s.CPID && o.Connector == s.Connector && o.State == ledger.SessionOpen {
			w.violated("S15", "sessions %s and %s are open at %s/%d", min(id, s.ID), max(id, s.ID), s.CPID, s.Connector)
			return
		}
	}
	for id, o := range u.sessions {
		if id < s.ID && o.CPID == s.CPID && o.Connector == s.Connector && o.State == ledger.SessionOpen {
			w.violated("S15", "sessions %s and %s are open at %s/%d", id, s.ID, s.CPID, s.Connector)
			return
		}
	}
}
