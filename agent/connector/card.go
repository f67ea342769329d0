package connector

import (
	"github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// ForCards describes the connector to package cards.
func ForCards(s State) cards.Connector {
	t := &transition{s: s}
	c := cards.Connector{
		ID: s.ID, Free: s.Phase == PhaseRunning && t.refusal(false) == "", Plugged: s.Plugged, PluggedAt: s.PluggedAt,
		Reserved: s.Reservation.ID != "", Holder: s.Reservation.Username,
	}
	switch {
	case s.Pending.Session != "":
		c.Session, c.Username, c.Card, c.Waits = s.Pending.Session, s.Pending.Username, s.Pending.Card, true
	case s.Session.Ending.Reason == "":
		c.Session, c.Username, c.Card = s.Session.ID, s.Session.Username, s.Session.Card
	}
	return c
}

// commandType is the type of the pending start's command.
func (p *PendingStart) commandType() wire.CommandType {
	if p.Authorize {
		return wire.CommandAuthorize
	}
	return wire.CommandStart
}

// cardAllowed begins a session without Central. If the connector is not free any
// more, the tap has no effect: cards chose it a moment ago.
func (t *transition) cardAllowed(e CardAllowed) {
	if t.s.Phase != PhaseRunning || e.Session == "" || t.cardRefusal(e.Username) != "" {
		return
	}
	t.beginStart(t.heldFor(PendingStart{Session: e.Session, Username: e.Username, Card: e.Card, By: e.By, Limit: e.Limit}))
}

// cardAuthorized applies Central's AUTHORIZE: the card begins a session, as a START
// does, or ends the session of its driver.
func (t *transition) cardAuthorized(e CommandReceived, o wire.Authorize) {
	x := &t.s.Session
	if x.ID != "" && x.Username == o.Username && x.Card == "" && x.Ending.Reason == "" {
		t.accept(e)
		t.beginEnding(charge.StopLocal)
		t.done(e, "")
		return
	}
	if refused := t.cardRefusal(o.Username); refused != "" {
		t.refuse(e, refused)
		return
	}
	t.beginStart(t.heldFor(PendingStart{
		Session: o.SessionID, Username: o.Username, Tariff: o.Tariff, Command: e.ID, Raw: e.Raw, Authorize: true, Card: e.Card,
		Limit: charge.SessionLimit{Energy: o.Limit, Amount: o.LimitAmount},
	}))
}

// cardRefusal is why a driver's card begins no session here; empty if it does.
func (t *transition) cardRefusal(user charge.Username) string {
	refused := t.refusal(false)
	if r := t.s.Reservation; refused == "" && r.ID != "" && (user == "" || r.Username != user) {
		refused = "reserved"
	}
	return refused
}

// heldFor lets a start use the reservation that is held, which cardRefusal has found
// to be its driver's. The prices are those of the reservation.
func (t *transition) heldFor(p PendingStart) PendingStart {
	if r := t.s.Reservation; r.ID != "" {
		p.Reservation, p.Tariff = r.ID, r.Tariff
	}
	return p
}
