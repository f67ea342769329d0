package cards_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/internal/charge"
)

const noon = charge.Time(1_900_000_000_000)

func hash(n int) charge.TokenHash { return charge.IDToken(fmt.Sprintf("%08X", n)).Hash() }

func card(n int) cards.Card {
	return cards.Card{ID: cards.ID(fmt.Sprintf("card-%d", n)), Hash: hash(n), Username: charge.Username(fmt.Sprintf("driver%d", n)), Offline: true, IssuedAt: noon}
}

func TestDecide(t *testing.T) {
	b := cards.NewBook()
	b.Change(card(1), noon)
	blocked, expires, deleted := card(2), card(3), card(4)
	blocked.BlockedAt, expires.ExpiresAt, deleted.DeletedAt = noon, noon.Add(time.Hour), noon
	for _, c := range []cards.Card{blocked, expires, deleted} {
		b.Change(c, noon)
	}
	for _, c := range []struct {
		card int
		at   charge.Time
		want string
	}{
		{1, noon, ""},
		{2, noon, cards.ReasonBlocked},
		{3, noon.Add(time.Hour - 1), ""},
		{3, noon.Add(time.Hour), cards.ReasonExpired},
		{4, noon, cards.ReasonUnknown},
		{5, noon, cards.ReasonUnknown},
	} {
		if _, got := b.Decide(hash(c.card), c.at); got != c.want {
			t.Errorf("card %d: %q, want %q", c.card, got, c.want)
		}
	}
}
