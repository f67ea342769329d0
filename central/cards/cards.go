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
	Label     string // for people
	LastFour  string // the last four digits of the UID; "" if only the hash is known
	Offline   bool   // in the local lists
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

func (c *Card) entry() wire.LocalListEntry {
	return wire.LocalListEntry{TokenHash: c.Hash, Username: c.Username, Until: c.ExpiresAt}
}

// Book is all cards of the network.
type Book struct {
	cards   map[ID]*Card
	byHash  map[charge.TokenHash]*Card
	version int64
	listed  int    // cards in the local list
	digest  string // of the local list
	current bool   // digest is that of version
}

// NewBook returns a book without cards.
func NewBook() *Book {
	return &Book{cards: map[ID]*Card{}, byHash: map[charge.TokenHash]*Card{}}
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
	b.current = false
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

// state names the present local list.
func (b *Book) state() wire.ListState {
	if !b.current {
		var all []wire.LocalListEntry
		for _, c := range b.cards {
			if c.Listed() {
				all = append(all, c.entry())
			}
		}
		b.digest, b.current = wire.ListDigest(all), true
	}
	return wire.ListState{Version: max(b.version, 1), Digest: b.digest}
}

// Next returns the next part of the local list for a charging point that holds a list;
// nil if that is the present one. With whole the list is sent from its start.
func (b *Book) Next(held wire.ListState, whole bool) *wire.SetLocalList {
	now := b.state()
	switch {
	case b.version == 0 && held.Version == 0: // there never was a card
		return nil
	case held == now && !whole:
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
		if c.Version <= o.Base || o.Base == 0 && !c.Listed() {
			continue
		}
		size += c.size()
		if size > wire.MaxListPart {
			o.Digest = ""
			return o
		}
		if c.Listed() {
			o.Entries = append(o.Entries, c.entry())
		} else {
			o.Removed = append(o.Removed, c.Hash)
		}
		o.Version = c.Version
	}
	o.Version = now.Version
	return o
}

// size is how many bytes a card needs in a part of the list, at most.
func (c *Card) size() int {
	if !c.Listed() {
		return len(c.Hash) + len(`"",`)
	}
	raw, err := json.Marshal(c.entry())
	if err != nil {
		return wire.MaxListPart // cannot happen: texts and a time
	}
	return len(raw) + 1
}
