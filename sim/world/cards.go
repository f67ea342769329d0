package world

import (
	"fmt"
	"time"

	agentcards "github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// This file is what people do with cards, and what must hold then:
//
//   - C1: a tap begins at most one session.
//   - C2: no session of a card begins more than a minute after it was blocked, at a
//     charging point that was connected all the time, while no fault disturbs.
//   - C3: at the end every charging point has Central's list of cards.

const (
	// blockedWithin is how soon a blocked card must not begin a session any more.
	blockedWithin = time.Minute
	// calmAfter is how long after a fault the network may still recover from it.
	calmAfter = 30 * time.Minute
	// cardsInUse is how many cards people have; some are never issued.
	cardsInUse = 5
)

// cardWatch is what the checks know of cards.
type cardWatch struct {
	taps     map[tapKey]int
	sessions map[tapKey]int
	// When a card was blocked, by the commit; none for one that is not.
	blockedAt map[charge.TokenHash]time.Duration
	// Until then the network may recover from a fault.
	disturbedUntil time.Duration
}

// tapKey is a card at a charging point.
type tapKey struct {
	cp   charge.CPID
	card charge.TokenHash
}

func newCardWatch() cardWatch {
	return cardWatch{taps: map[tapKey]int{}, sessions: map[tapKey]int{}, blockedAt: map[charge.TokenHash]time.Duration{}}
}

// cardNumber returns one of the cards.
func cardNumber(n int) charge.TokenHash { return charge.IDToken(fmt.Sprintf("%08X", n)).Hash() }

// drawCards adds what people do with cards, in half of the runs. It has a random
// source of its own, so that the other steps of a seed stay.
func (p *Plan) drawCards(t tempo) {
	rng := newRandom(p.Seed, "cards")
	if rng.IntN(2) == 0 {
		return
	}
	for _, k := range []struct {
		kind  Kind
		every time.Duration
	}{{Tap, t.visits / 2}, {IssueCard, t.visits}, {BlockCard, t.rarely}} {
		for at := rng.between(span{0, k.every}); at < p.For; at += rng.between(span{k.every / 4, 2 * k.every}) {
			p.Steps = append(p.Steps, Step{At: at, Kind: k.kind, Target: rng.IntN(p.CPs), N: rng.IntN(1 << 16)})
		}
	}
}

// tap holds a card to a reader, once or twice, mostly with a vehicle that came for it.
func (w *World) tap(a *agent, o *outlet, rng random) {
	card := cardNumber(rng.IntN(cardsInUse))
	if rng.IntN(4) > 0 {
		w.plugInStranger(o, rng)
	}
	present := func() {
		b := a.run
		if b == nil || !b.ready || w.healed {
			return
		}
		w.stats.Taps++
		w.cards.taps[tapKey{a.id, card}]++
		wall, _ := b.wall()
		b.step(point.CardPresented{Card: card, Request: rng.newID(wall), NewSession: charge.SessionID(rng.newID(wall))})
	}
	w.after(rng.between(span{0, 30 * time.Second}), "tap", present)
	if rng.IntN(2) == 0 { // again, to stop, or by accident
		w.after(rng.between(span{30 * time.Second, 10 * time.Minute}), "tap", present)
	}
}

// issueCard issues a card, or changes the one that is issued.
func (w *World) issueCard(rng random) {
	card := cardNumber(rng.IntN(cardsInUse - 1)) // one is never issued
	offline := rng.IntN(3) > 0
	user := charge.Username(fmt.Sprintf("cardholder%d", rng.IntN(3)))
	w.operator(orders.OperatorIssueCard{Card: cards.Card{Hash: card, Username: user, Offline: offline}}, func(r orders.Reply) {
		if r.Refused == "" {
			delete(w.cards.blockedAt, card)
		}
	})
}

// blockCard blocks a card, unblocks it if it is blocked, or deletes it.
func (w *World) blockCard(rng random) {
	c := w.activeCentral()
	if c == nil {
		return
	}
	card := cardNumber(rng.IntN(cardsInUse))
	for _, id := range sortedKeys(c.db.cards) {
		k := c.db.cards[id]
		if k.Hash != card || k.DeletedAt != 0 {
			continue
		}
		change := orders.OperatorChangeCard{ID: id, Delete: rng.IntN(4) == 0}
		blocks := change.Delete || k.BlockedAt == 0
		if !change.Delete {
			change.Blocked = &blocks
		}
		if !blocks {
			delete(w.cards.blockedAt, card) // from now on it may charge
		}
		w.operator(change, func(r orders.Reply) {
			if r.Refused == "" && blocks {
				w.cards.blockedAt[card] = w.now
			}
		})
	}
}

// disturbed notes a fault: for a while C2 is not checked.
func (w *World) disturbed(s Step) {
	w.cards.disturbedUntil = max(w.cards.disturbedUntil, w.now+s.For+calmAfter)
}

// checkCard: C1 and C2, for a session that a card began at b.
func (w *World) checkCard(b *boot, rec *wire.Record, p *wire.Authorized) {
	if p.TokenHash == "" {
		return
	}
	k := tapKey{b.agent.id, p.TokenHash}
	w.stats.CardSessions++
	if w.cards.sessions[k]++; w.cards.sessions[k] > w.cards.taps[k] {
		w.violated("C1", "%s/%d: %d sessions of a card that was presented %d times", k.cp, rec.Connector, w.cards.sessions[k], w.cards.taps[k])
	}
	since, blocked := w.cards.blockedAt[p.TokenHash]
	calm := !w.plan.Lossy && w.cards.disturbedUntil < since && b.conn != nil && b.connectedAt <= since
	// A session that waited for the plug began with its tap.
	if blocked && calm && w.now-since > blockedWithin+plugWait {
		w.violated("C2", "%s/%d: a session begins %s after its card was blocked", k.cp, rec.Connector, w.now-since)
	}
}

// plugWait is how long a session may wait for the plug after its tap, and a record
// for the disk.
const plugWait = 2*time.Minute + 10*time.Second

// checkList: C3. An identity that is or was in quarantine is left out, as Central
// sends it nothing meanwhile.
func (w *World) checkList(c *central, a *agent) {
	book := cards.NewBook()
	for _, id := range sortedKeys(c.db.cards) {
		book.Load(c.db.cards[id])
	}
	if book.Empty() {
		return
	}
	var held agentcards.List
	for _, v := range a.run.view.Saved {
		if v.Connector == 0 {
			held = v.Cards.List
		}
	}
	if next := book.Next(cards.Held{ListState: held.State()}); next != nil {
		w.violated("C3", "%s holds list %+v at the end, and needs %d entries and %d removals for version %d", a.id, held.State(), len(next.Entries), len(next.Removed), next.Version)
	}
}
