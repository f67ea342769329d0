package cards

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Why a tap has no effect.
const (
	ReasonUnknown     = "unknown_card" // and the policy refuses unknown cards
	ReasonPlugFirst   = "plug_in_first"
	ReasonNoConnector = "no_connector" // none is free for this driver
	ReasonUnderWay    = "under_way"    // the session waits for the plug
	ReasonAnswered    = "not_waiting"  // of an AUTHORIZE: its request has ended
	ReasonMalformed   = "malformed"    // of an AUTHORIZE: without a session or a driver
)

// transition is one step under way.
type transition struct {
	s   State
	now Now
	out []Effect
}

// Step applies one event. What is overdue at its time ends first.
func Step(s State, e Event) (State, []Effect) {
	t := &transition{s: s, now: e.when()}
	switch e := e.(type) {
	case Presented:
		t.endOverdue(e.Connectors)
		t.presented(e)
	case Answered:
		t.endOverdue(e.Connectors)
		t.answered(e)
	case ListReceived:
		t.listReceived(e)
	case TimerFired:
		t.endOverdue(e.Connectors)
	}
	t.setTimer()
	return t.s, t.out
}

func (t *transition) emit(e Effect) { t.out = append(t.out, e) }

// record asks for records; those that change Saved are applied by their callers.
func (t *transition) record(p ...wire.Payload) { t.emit(Append{p}) }

func (t *transition) refuse(card charge.TokenHash, reason string) { t.emit(Refused{card, reason}) }

// setTimer asks for the earliest limit, if that has changed.
func (t *transition) setTimer() {
	var next time.Duration
	if len(t.s.Waiting) > 0 {
		next = t.s.Waiting[0].Until
	}
	if next != t.s.Timer {
		t.s.Timer = next
		t.emit(SetTimer{next})
	}
}

// presented applies the rules of the package to a card.
func (t *transition) presented(e Presented) {
	waits := slices.ContainsFunc(t.s.Waiting, func(w Waiting) bool { return w.Card == e.Card })
	if waits || e.Card == t.s.Last && t.now.At < t.s.LastAt+SameTap {
		return
	}
	t.s.Last, t.s.LastAt = e.Card, t.now.At
	for _, c := range e.Connectors {
		if c.Session != "" && c.Card == e.Card {
			t.endOwn(c, e.Card)
			return
		}
	}
	if entry, ok := t.s.List.find(e.Card); ok && t.valid(entry) {
		t.allow(e.Connectors, Begin{
			Session: e.Session, Username: entry.Username, Card: e.Card, By: wire.GrantLocalList,
			Limit: charge.SessionLimit{Energy: entry.Limit, Amount: entry.LimitAmount},
		})
		return
	}
	w := Waiting{Request: e.Request, Card: e.Card, Session: e.Session, Until: t.now.At + t.s.Policy.Wait}
	if !e.Online {
		t.decideAlone(w, t.s.Policy.AcceptOffline, e.Connectors)
		return
	}
	t.s.Saved = t.s.ask(w.Request, w.Card)
	t.s.Waiting = append(slices.Clone(t.s.Waiting), w)
	t.record(&wire.AuthRequested{RequestID: w.Request, TokenHash: w.Card})
}

// endOwn ends the session that the card began. One that waits for the plug goes on:
// a second tap is impatience, and the wait has an end.
func (t *transition) endOwn(c Connector, card charge.TokenHash) {
	if c.Waits {
		t.refuse(card, ReasonUnderWay)
		return
	}
	t.emit(End{c.ID, c.Session})
}

// valid reports whether an entry of the list admits its card now.
func (t *transition) valid(e wire.LocalListEntry) bool {
	return e.Until == 0 || t.now.hasClock() && t.now.Wall < e.Until
}

// decideAlone decides without Central: by the cache, else by the policy. An unknown
// card is recorded, so that an operator sees it.
func (t *transition) decideAlone(w Waiting, accept bool, all []Connector) {
	b := Begin{Session: w.Session, Card: w.Card, By: wire.GrantLocalList}
	if c, known := t.s.cached(w.Card, t.now, t.s.Policy.CacheFor); known {
		b.Username, b.Limit = c.Username, charge.SessionLimit{Energy: c.Limit, Amount: c.LimitAmount}
		t.allow(all, b)
		return
	}
	b.By = wire.GrantFreeVend
	decided := wire.DecidedRefused
	if accept {
		decided = wire.DecidedAccepted
	}
	t.record(&wire.AuthRequested{RequestID: w.Request, TokenHash: w.Card, Decided: decided})
	if !accept {
		t.refuse(w.Card, ReasonUnknown)
		return
	}
	t.allow(all, b)
}

// allow begins the session of a card that may charge, or ends the one that its driver
// began without a card.
func (t *transition) allow(all []Connector, b Begin) {
	c, refused := choose(all, b.Username)
	switch {
	case refused != "":
		t.refuse(b.Card, refused)
	case c.Session != "":
		t.endOwn(c, b.Card)
	default:
		b.Connector = c.ID
		t.emit(b)
	}
}

// choose finds the connector that a driver's card concerns: with a Session, the one
// to end; else the one where a session begins.
func choose(all []Connector, user charge.Username) (_ Connector, refused string) {
	var best Connector
	free, most := 0, -1
	for _, c := range all {
		if c.Session != "" && c.Card == "" && user != "" && c.Username == user {
			return c, ""
		}
		own := c.Reserved && user != "" && c.Holder == user
		if !c.Free || c.Reserved && !own {
			continue
		}
		free++
		rank := 0
		switch {
		case c.Plugged && own:
			rank = 3
		case c.Plugged:
			rank = 2
		case own:
			rank = 1
		}
		if rank > most || rank == most && rank >= 2 && c.PluggedAt > best.PluggedAt {
			best, most = c, rank
		}
	}
	switch {
	case free == 0:
		return Connector{}, ReasonNoConnector
	case most == 0 && free > 1:
		return Connector{}, ReasonPlugFirst
	}
	return best, ""
}

// answered applies Central's answer, if its request still waits. An allowed one is
// forwarded to the connector, which accepts it.
func (t *transition) answered(e Answered) {
	i := slices.IndexFunc(t.s.Waiting, func(w Waiting) bool { return w.Request == e.Order.RequestID })
	finish := &wire.CommandFinished{CommandID: e.ID, Command: wire.CommandAuthorize, Result: wire.ResultRejected}
	switch {
	case i < 0:
		finish.Reason = ReasonAnswered
		t.record(finish)
		return
	case e.Order.Allowed && (e.Order.SessionID == "" || e.Order.Username == ""):
		finish.Reason = ReasonMalformed
		t.record(finish)
		return
	}
	w := t.s.Waiting[i]
	t.s.Waiting = slices.Delete(slices.Clone(t.s.Waiting), i, i+1)
	if !e.Order.Allowed {
		t.s.Saved = t.s.answer(&e.Order, 0)
		finish.Result = wire.ResultDone
		t.record(&wire.CommandAccepted{Command: json.RawMessage(e.Raw)}, finish)
		t.refuse(w.Card, e.Order.Reason)
		return
	}
	at := t.now.Wall
	if !t.now.hasClock() {
		at = 0
	}
	c, refused := choose(e.Connectors, e.Order.Username)
	if refused != "" {
		finish.Reason = refused
		t.record(finish)
		t.refuse(w.Card, refused)
		return
	}
	t.s.Saved = t.s.answer(&e.Order, at)
	t.emit(Forward{c.ID, w.Card})
}

// listReceived changes the local list, or rejects a change that is for another one.
func (t *transition) listReceived(e ListReceived) {
	next, refused := t.s.applyList(&e.Order)
	finish := &wire.CommandFinished{CommandID: e.ID, Command: wire.CommandSetLocalList, Result: wire.ResultDone}
	if refused != "" {
		finish.Result, finish.Reason = wire.ResultRejected, refused
		t.record(finish)
		return
	}
	t.s.Saved = next
	t.record(&wire.CommandAccepted{Command: json.RawMessage(e.Raw)}, finish)
}

// endOverdue decides the cards that Central did not answer in time.
func (t *transition) endOverdue(all []Connector) {
	for len(t.s.Waiting) > 0 && t.now.At >= t.s.Waiting[0].Until {
		w := t.s.Waiting[0]
		t.s.Waiting = slices.Clone(t.s.Waiting[1:])
		t.decideAlone(w, t.s.Policy.AcceptUnanswered, all)
	}
}
