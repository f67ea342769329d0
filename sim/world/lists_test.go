package world_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	agent "github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// These tests let the list of central/cards meet that of agent/cards.

const noon = charge.Time(1_900_000_000_000)

func hash(n int) charge.TokenHash { return charge.IDToken(fmt.Sprintf("%08X", n)).Hash() }

func card(n int) cards.Card {
	return cards.Card{ID: cards.ID(fmt.Sprintf("card-%d", n)), Hash: hash(n), Username: charge.Username(fmt.Sprintf("driver%d", n)), Offline: true, IssuedAt: noon}
}

// follower is a charging point that applies what Next returns, by the code of the
// agent.
type follower struct {
	state agent.State
	whole bool
	// limits: it keeps the limits of cards.
	limits bool
	parts  int
	bytes  int
}

// follow applies parts until there is none, and fails if that does not end.
func (f *follower) follow(t *testing.T, b *cards.Book) {
	t.Helper()
	f.parts = 0
	for range 100 {
		o := b.Next(cards.Held{ListState: f.state.List.State(), Limits: f.limits, Whole: f.whole})
		if o == nil {
			return
		}
		data, err := wire.EncodeOrder(o)
		if err != nil {
			t.Fatal(err)
		}
		f.bytes = max(f.bytes, len(data))
		f.parts++
		f.whole = false
		var out []agent.Effect
		f.state, out = agent.Step(f.state, agent.ListReceived{Raw: "{}", Order: *o})
		for _, e := range out {
			for _, p := range e.(agent.Append).Records {
				if r, ok := p.(*wire.CommandFinished); ok && r.Result == wire.ResultRejected {
					f.whole = true
				}
			}
		}
	}
	t.Fatalf("the list does not end: %d parts, version %d", f.parts, f.state.List.Version)
}

func (f *follower) find(h charge.TokenHash) (wire.LocalListEntry, bool) {
	for _, e := range f.state.List.Entries {
		if e.TokenHash == h {
			return e, true
		}
	}
	return wire.LocalListEntry{}, false
}

func (f *follower) has(h charge.TokenHash) bool {
	_, ok := f.find(h)
	return ok
}

func TestListOfManyParts(t *testing.T) {
	b := cards.NewBook()
	for n := range wire.MaxLocalList {
		c := card(n)
		c.Username = charge.Username(strings.Repeat("<", charge.MaxNameLength)) // the largest in JSON
		c.ExpiresAt, c.Limit = noon, charge.SessionLimit{Energy: charge.MaxSessionLimit, Amount: charge.MaxSessionLimit}
		b.Change(c, noon)
	}
	f := follower{limits: true}
	f.follow(t, b)
	if len(f.state.List.Entries) != wire.MaxLocalList || f.parts < 10 {
		t.Errorf("%d entries in %d parts", len(f.state.List.Entries), f.parts)
	}
	if f.bytes > wire.MaxListPart {
		t.Errorf("a part has %d bytes", f.bytes)
	}
	c, _ := b.Find("card-500")
	c.BlockedAt = noon
	b.Change(c, noon)
	f.follow(t, b)
	if f.parts != 1 || f.has(hash(500)) {
		t.Errorf("a blocked card: %d parts, in the list: %v", f.parts, f.has(hash(500)))
	}
}

// However cards and prices change while a charging point is away, and whatever Central or
// the charging point lost, the list is that of Central in the end, with its limits. A
// charging point that keeps no limits has no card with one.
func TestListFollows(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		buys := charge.WattHours(0) // for an amount of 1
		price := func(l charge.SessionLimit) (charge.SessionLimit, bool) {
			if l.Amount == 0 {
				return l, true
			}
			l.Energy = charge.WattHours(l.Amount) * buys
			return l, l.Energy > 0
		}
		newBook := func() *cards.Book {
			b := cards.NewBook()
			b.SetPrice(price)
			return b
		}
		b := newBook()
		f := follower{limits: seed%3 > 0}
		backup := map[int]cards.Card(nil)
		all := map[int]cards.Card{}
		for range 60 {
			if r.IntN(40) == 0 { // everything is lost
				b = newBook()
				clear(all)
			}
			switch n := r.IntN(20); r.IntN(9) {
			case 0, 1:
				c := card(n)
				c.Limit.Amount = int64(r.IntN(3))
				all[n] = b.Change(c, noon)
			case 2:
				if c, ok := all[n]; ok {
					c.BlockedAt = noon
					all[n] = b.Change(c, noon)
				}
			case 3:
				if c, ok := all[n]; ok {
					c.DeletedAt = noon
					all[n] = b.Change(c, noon)
				}
			case 4: // Central is restored from an older copy
				if backup != nil {
					b = newBook()
					clear(all)
					for n, c := range backup {
						b.Load(c)
						all[n] = c
					}
				}
			case 5:
				backup = maps.Clone(all)
			case 6: // the charging point loses its storage
				if r.IntN(4) == 0 {
					f = follower{limits: f.limits}
				}
			case 7:
				f.follow(t, b)
			case 8: // other prices, by which an amount may buy nothing
				buys = charge.WattHours(r.IntN(3))
				b.SetPrice(price)
			}
		}
		f.follow(t, b)
		for n := range 20 {
			c, known := all[n]
			energy := charge.WattHours(c.Limit.Amount) * buys
			want := known && c.BlockedAt == 0 && c.DeletedAt == 0 && (!c.HasLimit() || f.limits && energy > 0)
			e, listed := f.find(hash(n))
			if listed != want || listed && (e.Limit != energy || e.LimitAmount != c.Limit.Amount) {
				t.Fatalf("seed %d: card %d in the list: %v %+v, want %v with %+v and %d Wh", seed, n, listed, e, want, c.Limit, energy)
			}
		}
	}
}
