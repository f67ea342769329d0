// Package cards holds the cards that drivers hold to a charging point: which of them
// may charge, and which of them every charging point keeps in its local list.
//
// It is pure. A Book has one owner (Central's writer). A card is known by the hash of
// its token alone; Label and LastFour are for people.
//
// # Local list
//
// Each change of a card has the next version of the book. The local list of a version
// is every card with Offline that is not blocked or deleted. Next returns the command
// that brings a charging point from the list it holds one part closer to the present
// one: the changes after its version, or the list from its start if the charging point
// holds something that this book cannot continue.
//
// # Limits
//
// A charging point knows no prices. Of a card's amount the list has the energy that it
// buys at most by the present prices (Price). Other prices change the digest and not the
// version, so that every charging point gets the list from its start.
package cards

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// ID names a card in the API.
type ID string

// Card is a card of a driver. A deleted one keeps its hash, so that charging points
// remove it, and nothing about its driver.
type Card struct {
	ID        ID
	Hash      charge.TokenHash
	Username  charge.Username
	Label     string              // for people
	LastFour  string              // the last four digits of the UID; "" if only the hash is known
	Offline   bool                // in the local lists
	Limit     charge.SessionLimit // of each session
	IssuedAt  charge.Time
	ExpiresAt charge.Time // zero: never
	BlockedAt charge.Time // zero: not blocked
	DeletedAt charge.Time // zero: not deleted
	ChangedAt charge.Time
	Version   int64 // of the book, of its last change
}

// The states of a card.
const (
	Active  = "active"
	Blocked = "blocked"
	Expired = "expired"
	Deleted = "deleted"
)

// State computes the state of the card at a moment.
func (c *Card) State(now charge.Time) string {
	switch {
	case c.DeletedAt != 0:
		return Deleted
	case c.BlockedAt != 0:
		return Blocked
	case c.ExpiresAt != 0 && now >= c.ExpiresAt:
		return Expired
	}
	return Active
}

// Listed reports whether the card is in the local lists. One that expires is: the
// entry has its end.
func (c *Card) Listed() bool { return c.Offline && c.BlockedAt == 0 && c.DeletedAt == 0 }

// HasLimit reports whether sessions of the card have a limit.
func (c *Card) HasLimit() bool { return c.Limit != charge.SessionLimit{} }

// Book is all cards of the network.
type Book struct {
	cards   map[ID]*Card
	byHash  map[charge.TokenHash]*Card
	version int64
	listed  int             // cards in the local list
	digests map[bool]string // of the present local list, by Held.Limits; absent: not computed
	price   Price
}

// Price adds to a limit of a card the energy that its amount buys at most. ok is false
// if that is not 1 Wh.
type Price func(charge.SessionLimit) (_ charge.SessionLimit, ok bool)

// NewBook returns a book without cards. Until SetPrice an amount buys any energy.
func NewBook() *Book {
	return &Book{
		cards: map[ID]*Card{}, byHash: map[charge.TokenHash]*Card{}, digests: map[bool]string{},
		price: func(l charge.SessionLimit) (charge.SessionLimit, bool) { return l, true },
	}
}

// SetPrice sets the prices that are valid now. It reports whether a card of the local
// list has an amount, so that the list may have changed.
func (b *Book) SetPrice(p Price) (changed bool) {
	b.price = p
	clear(b.digests)
	for _, c := range b.cards {
		changed = changed || c.Listed() && c.Limit.Amount != 0
	}
	return changed
}

// Load adds a card as the database holds it, or replaces it.
func (b *Book) Load(c Card) {
	if old := b.cards[c.ID]; old != nil && old.Listed() {
		b.listed--
	}
	if c.Listed() {
		b.listed++
	}
	b.cards[c.ID], b.byHash[c.Hash] = &c, &c
	b.version = max(b.version, c.Version)
	clear(b.digests)
}

// Find returns a card by its id; ok is false if there is none or it was deleted.
func (b *Book) Find(id ID) (c Card, ok bool) {
	if c := b.cards[id]; c != nil && c.DeletedAt == 0 {
		return *c, true
	}
	return Card{}, false
}

// ByHash returns a card by its hash, a deleted one too.
func (b *Book) ByHash(h charge.TokenHash) (c Card, ok bool) {
	if c := b.byHash[h]; c != nil {
		return *c, true
	}
	return Card{}, false
}

// Empty reports whether there never was a card.
func (b *Book) Empty() bool { return b.version == 0 }

// Listed is how many cards are in the local list.
func (b *Book) Listed() int { return b.listed }

// Change stores a card with the next version, and returns it as it is stored.
func (b *Book) Change(c Card, now charge.Time) Card {
	c.Version, c.ChangedAt = b.version+1, now
	b.Load(c)
	return c
}

// Why a card does not charge.
const (
	ReasonUnknown = "unknown_card"
	ReasonBlocked = "blocked"
	ReasonExpired = "expired"
)

// Decide returns the card with a hash, and why it does not charge; "" if it does.
func (b *Book) Decide(h charge.TokenHash, now charge.Time) (c Card, refused string) {
	c, ok := b.ByHash(h)
	if !ok {
		return c, ReasonUnknown
	}
	switch c.State(now) {
	case Active:
		return c, ""
	case Blocked:
		return c, ReasonBlocked
	case Expired:
		return c, ReasonExpired
	}
	return Card{}, ReasonUnknown
}

// entry returns the card as the local list has it; ok is false if it is not in there. A
// card whose amount buys nothing, or whose limit the charging point would not keep, is
// left to Central's AUTHORIZE.
func (b *Book) entry(c *Card, limits bool) (e wire.LocalListEntry, ok bool) {
	if !c.Listed() || c.HasLimit() && !limits {
		return e, false
	}
	l, ok := b.price(c.Limit)
	return wire.LocalListEntry{TokenHash: c.Hash, Username: c.Username, Until: c.ExpiresAt, Limit: l.Energy, LimitAmount: l.Amount}, ok
}

// state names the present local list.
func (b *Book) state(limits bool) wire.ListState {
	digest, current := b.digests[limits]
	if !current {
		var all []wire.LocalListEntry
		for _, c := range b.cards {
			if e, ok := b.entry(c, limits); ok {
				all = append(all, e)
			}
		}
		digest = wire.ListDigest(all)
		b.digests[limits] = digest
	}
	return wire.ListState{Version: max(b.version, 1), Digest: digest}
}

// Held is the list that a charging point holds.
type Held struct {
	wire.ListState
	Limits bool // it keeps the limits of cards: wire.CapabilityCardLimits
	Whole  bool // the list is to be sent from its start
}

// Next returns the next part of the local list for a charging point that holds a list;
// nil if that is the present one.
func (b *Book) Next(held Held) *wire.SetLocalList {
	now, whole := b.state(held.Limits), held.Whole
	switch {
	case b.version == 0 && held.Version == 0: // there never was a card
		return nil
	case held.ListState == now && !whole:
		return nil
	case held.Version >= now.Version || held.Version == 0:
		whole = true
	}
	o := &wire.SetLocalList{Version: now.Version, Base: held.Version, Entries: []wire.LocalListEntry{}, Digest: now.Digest}
	if whole {
		o.Base = 0
	}
	size := 512 // what is around the entries
	changed := slices.SortedFunc(maps.Values(b.cards), func(x, y *Card) int { return cmp.Compare(x.Version, y.Version) })
	for _, c := range changed {
		e, listed := b.entry(c, held.Limits)
		if c.Version <= o.Base || o.Base == 0 && !listed {
			continue
		}
		if listed {
			size += entrySize(&e)
		} else {
			size += len(c.Hash) + len(`"",`)
		}
		if size > wire.MaxListPart {
			o.Digest = ""
			return o
		}
		if listed {
			o.Entries = append(o.Entries, e)
		} else {
			o.Removed = append(o.Removed, c.Hash)
		}
		o.Version = c.Version
	}
	o.Version = now.Version
	return o
}

// entrySize is how many bytes an entry needs in a part of the list, at most.
func entrySize(e *wire.LocalListEntry) int {
	raw, err := json.Marshal(e)
	if err != nil {
		return wire.MaxListPart // cannot happen: texts and a time
	}
	return len(raw) + 1
}
