package store_test

import (
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// TestCards: rows are read as they were written, lists have the cards in their states,
// and a driver's alone.
func TestCards(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	now := charge.At(time.Now())
	card := func(id string, c cards.Card) cards.Card {
		c.ID, c.Hash, c.IssuedAt = cards.ID(id), charge.IDToken(id).Hash(), now
		return c
	}
	all := []cards.Card{
		card("a", cards.Card{Username: "anna", Label: "no. 1", LastFour: "00A1", Offline: true, Limit: charge.SessionLimit{Energy: 5000, Amount: 300}, ChangedAt: 7, Version: 1}),
		card("b", cards.Card{Username: "berta", BlockedAt: 5, Version: 2}),
		card("c", cards.Card{Username: "anna", ExpiresAt: 9, Version: 3}),
		card("d", cards.Card{DeletedAt: 6, Version: 4}),
		card("e", cards.Card{Username: "berta", ExpiresAt: now.Add(time.Hour), Version: 5}),
	}
	list := orders.LocalList{CPID: "CP_1", Journal: "j", Kept: true, State: wire.ListState{Version: 4, Digest: "0123456789abcdef"}}
	write(t, s, func(tx *store.Tx) error {
		effects := []orders.Effect{orders.SaveLocalList{List: list}}
		for _, c := range all {
			effects = append(effects, orders.SaveCard{Card: c})
		}
		return tx.Orders(effects)
	})
	got, err := s.AllCards(t.Context())
	if err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("read %+v %v\nwant %+v", got, err, all)
	}
	for _, c := range []struct {
		q    view.Query
		want []string
	}{
		{view.Query{}, []string{"e", "c", "b", "a"}},
		{view.Query{State: cards.Active}, []string{"e", "a"}},
		{view.Query{State: cards.Blocked}, []string{"b"}},
		{view.Query{State: cards.Expired}, []string{"c"}},
		{view.Query{Username: "anna"}, []string{"c", "a"}},
		{view.Query{Owner: "berta", Username: "berta"}, []string{"e", "b"}},
		{view.Query{Owner: "berta", Username: "anna"}, nil},
	} {
		got := paged(t, c.q, func(q view.Query) ([]view.Card, error) { return s.Archive().Cards(t.Context(), q) }, func(v *view.Card) string { return string(v.ID) })
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.q, got, c.want)
		}
	}
	for _, c := range []struct {
		owner charge.Username
		id    cards.ID
		want  bool
	}{{"", "a", true}, {"anna", "a", true}, {"berta", "a", false}, {"", "d", false}, {"", "x", false}} {
		if v, err := s.Archive().Card(t.Context(), c.owner, c.id); err != nil || (v != nil) != c.want {
			t.Errorf("card %s of %q: %+v %v", c.id, c.owner, v, err)
		}
	}
}
