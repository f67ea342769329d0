package orders

import (
	"cmp"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// staleTap is the age of an authorization_requested, by a clock that is synced, from
// which on it is not answered: its charging point decided long ago.
const staleTap = 30 * time.Second

// notAdmitted is the reason for a card at a charging point that is not admitted.
const notAdmitted = "not_admitted"

// cardPresented answers a card: one AUTHORIZE, which ends by itself. It is no desired
// state: a driver whose card got no answer presents it again.
func (x *step) cardPresented(e RecordReceived, p *wire.AuthRequested) {
	cp := x.v.CP(e.CPID)
	stale := e.Record.Clock == charge.ClockSynced && x.At.Sub(e.Record.At) > staleTap
	if cp == nil || !e.Outcome.Current || p.Decided != "" || stale || cp.Forked() {
		return
	}
	answer := &wire.Authorize{RequestID: p.RequestID}
	c, refused := x.s.book.Decide(p.Hash(), x.At)
	switch {
	case !cp.Admitted:
		refused = notAdmitted
	case refused == "" && x.s.cfg.Drivers != nil && !slices.Contains(x.s.cfg.Drivers, c.Username):
		refused = wire.RefusedUnknownDriver
	}
	limit, ok := x.cardLimit(cp.ID, &c)
	if refused == "" && !ok {
		refused = RefusedLimitTooSmall
	}
	if answer.Reason = refused; refused == "" {
		answer.Allowed, answer.SessionID, answer.Username, answer.Tariff = true, charge.SessionID(x.IDs()), c.Username, x.tariff()
		answer.Limit, answer.LimitAmount = limit.Energy, limit.Amount
	}
	x.issue(cp, e.Record.Connector, answer, subject{message: p.RequestID, session: answer.SessionID})
}

// cardLimit returns the limit of a session of the card, with the energy that its amount
// buys at most; ok is false if that is not 1 Wh. The charging point chooses the
// connector, and with it whether the session has the present prices or those of a
// reservation of the driver: the least energy counts.
func (x *step) cardLimit(id charge.CPID, c *cards.Card) (l charge.SessionLimit, ok bool) {
	l, ok = priced(c.Limit, x.v.TariffOf(x.tariff(), x.At))
	if p := x.s.points[id]; p != nil {
		for _, r := range byMade(p.reservations) {
			if r.Username == c.Username && r.Active(x.At) {
				var buys bool
				l, buys = priced(l, x.v.TariffOf(r.Tariff, x.At))
				ok = ok && buys
			}
		}
	}
	return l, ok
}

// setList stores which list a charging point holds. It ends the need for the whole
// list also if the row is so already: otherwise the list would be sent forever.
func (x *step) setList(l LocalList) {
	p := x.s.point(l.CPID)
	p.wholeList = false
	if p.list == l {
		return
	}
	p.list = l
	x.emit(SaveLocalList{l})
}

// listRegistered notes the list that a boot begins with.
func (x *step) listRegistered(e RecordReceived, p *wire.Registered) {
	if e.Outcome.Late {
		return
	}
	l := LocalList{CPID: e.CPID, Journal: e.Record.Journal, Kept: p.LocalList != nil}
	if l.Kept {
		l.State, l.Limits = *p.LocalList, slices.Contains(p.Capabilities, wire.CapabilityCardLimits)
	}
	x.setList(l)
}

// listAccepted notes the list that a charging point holds now.
func (x *step) listAccepted(e RecordReceived, o *wire.SetLocalList) {
	was := x.s.point(e.CPID).list
	x.setList(LocalList{
		CPID: e.CPID, Journal: e.Record.Journal, Kept: true, Limits: was.Limits && was.Journal == e.Record.Journal,
		State: wire.ListState{Version: o.Version, Digest: o.Digest},
	})
}

// listRefused notes that a charging point keeps no list, or holds another one than the
// delta was for.
func (x *step) listRefused(p *point, c *Command) {
	if c.Reason == "unsupported" {
		x.setList(LocalList{CPID: c.CPID, Journal: c.Journal})
		return
	}
	p.wholeList = true
	p.notBefore[paceKey{c.Connector, c.Type}] = x.At.Add(retrySoon)
}

// doubtList has the whole list sent to a charging point of whose present boot records were
// passed over: one of them may have been about another list than the one known.
func (x *step) doubtList(cp charge.CPID, changes []ledger.Change) {
	p := x.s.points[cp]
	if p == nil || !p.list.Kept {
		return
	}
	for _, c := range changes {
		if g, ok := c.(ledger.GapChanged); ok && g.Gap.Journal == p.list.Journal {
			p.wholeList = true
		}
	}
}

// reconcileList issues the next part of the local list to a charging point that holds
// another one. Of a boot that did not report its list, the whole list is sent.
func (x *step) reconcileList(cp *ledger.CP) {
	p := x.s.points[cp.ID]
	if x.s.book.Empty() && (p == nil || p.list.State.Version == 0) {
		return // no card was ever issued
	}
	if !cp.Admitted {
		return
	}
	p = x.s.point(cp.ID)
	known := p.list.Journal == cp.CurrentJournal
	if known && !p.list.Kept {
		return
	}
	held := cards.Held{ListState: p.list.State, Limits: p.list.Limits, Whole: p.wholeList}
	if !known {
		held.ListState, held.Limits = wire.ListState{}, false
	}
	if x.openList(p) {
		return
	}
	if part := x.s.book.Next(held); part != nil {
		x.issue(cp, 0, part, subject{})
	}
}

// openList reports whether a part of the list is under way.
func (x *step) openList(p *point) bool {
	for _, c := range p.commands {
		if c.Type == wire.CommandSetLocalList {
			return true
		}
	}
	return false
}

// issueCard adds a card.
func (x *step) issueCard(c cards.Card) Reply {
	old, known := x.s.book.ByHash(c.Hash)
	switch {
	case known && old.DeletedAt == 0:
		return Reply{Refused: RefusedCardExists}
	case c.Offline && x.s.book.Listed() >= wire.MaxLocalList:
		return Reply{Refused: RefusedManyCards}
	case x.tooSmall(c.Limit, x.tariff()):
		return Reply{Refused: RefusedLimitTooSmall}
	}
	c.ID = cmp.Or(old.ID, cards.ID(x.IDs()))
	c.IssuedAt = x.At
	return x.saveCard(c)
}

// changeCard changes a card.
func (x *step) changeCard(a OperatorChangeCard) Reply {
	c, ok := x.s.book.Find(a.ID)
	if !ok {
		return Reply{Refused: RefusedUnknownCard}
	}
	was := c
	if a.Blocked != nil && *a.Blocked != (c.BlockedAt != 0) {
		c.BlockedAt = 0
		if *a.Blocked {
			c.BlockedAt = x.At
		}
	}
	if a.ExpiresAt != nil {
		c.ExpiresAt = *a.ExpiresAt
	}
	if a.Offline != nil {
		c.Offline = *a.Offline
	}
	if a.Label != nil {
		c.Label = *a.Label
	}
	if a.LimitEnergy != nil {
		c.Limit.Energy = *a.LimitEnergy
	}
	if a.LimitAmount != nil {
		c.Limit.Amount = *a.LimitAmount
	}
	if a.Delete { // what is left is needed to remove the card everywhere
		c = cards.Card{ID: c.ID, Hash: c.Hash, IssuedAt: c.IssuedAt, DeletedAt: x.At}
	}
	joins := c.Listed() && !was.Listed()
	switch {
	case joins && x.s.book.Listed() >= wire.MaxLocalList:
		return Reply{Refused: RefusedManyCards}
	case a.LimitAmount != nil && x.tooSmall(c.Limit, x.tariff()):
		return Reply{Refused: RefusedLimitTooSmall}
	}
	return x.saveCard(c)
}

// saveCard stores a changed card and sends the list to all charging points.
func (x *step) saveCard(c cards.Card) Reply {
	c = x.s.book.Change(c, x.At)
	x.emit(SaveCard{c})
	for _, id := range x.allPoints() {
		x.reconcile(id)
	}
	return Reply{CardID: c.ID}
}
