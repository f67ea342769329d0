package store

import (
	"context"
	"database/sql"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// The columns of a card and of a local list.
const (
	cardCols = "card_id,token_hash,username,label,last_four,offline,issued_at,expires_at,blocked_at,deleted_at,changed_at,version,limit_wh,limit_amount"
	listCols = "cp_id,journal,kept,version,digest,limits"
)

func (tx *Tx) card(t *tables, c *cards.Card) error {
	return tx.exec(t.cards.one, string(c.ID), string(c.Hash), string(c.Username), c.Label, c.LastFour, c.Offline,
		int64(c.IssuedAt), int64(c.ExpiresAt), int64(c.BlockedAt), int64(c.DeletedAt), int64(c.ChangedAt), c.Version,
		int64(c.Limit.Energy), c.Limit.Amount)
}

func (tx *Tx) localList(t *tables, l *orders.LocalList) error {
	return tx.exec(t.lists.one, string(l.CPID), string(l.Journal), l.Kept, l.State.Version, l.State.Digest, l.Limits)
}

func scanCard(r scanner) (c cards.Card, err error) {
	return c, r.Scan(&c.ID, &c.Hash, &c.Username, &c.Label, &c.LastFour, &c.Offline,
		&c.IssuedAt, &c.ExpiresAt, &c.BlockedAt, &c.DeletedAt, &c.ChangedAt, &c.Version, &c.Limit.Energy, &c.Limit.Amount)
}

// AllCards returns all cards, deleted ones too, in the order of their changes.
func (s *Store) AllCards(ctx context.Context) ([]cards.Card, error) {
	return collect(ctx, s, "read cards", func(r *sql.Rows) (cards.Card, error) { return scanCard(r) },
		"SELECT "+cardCols+" FROM cards ORDER BY version")
}

// loadCards fills a state with the cards and the lists that charging points hold.
func (s *Store) loadCards(ctx context.Context, st *orders.State) error {
	all, err := s.AllCards(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		st.LoadCard(c)
	}
	_, err = collect(ctx, s, "read local lists", func(r *sql.Rows) (struct{}, error) {
		var l orders.LocalList
		err := r.Scan(&l.CPID, &l.Journal, &l.Kept, &l.State.Version, &l.State.Digest, &l.Limits)
		if err == nil {
			st.LoadLocalList(l)
		}
		return struct{}{}, err
	}, "SELECT "+listCols+" FROM local_lists ORDER BY cp_id")
	return err
}

// Cards returns a page of cards that are not deleted; the key is the id of a card.
func (a Archive) Cards(ctx context.Context, q view.Query) ([]view.Card, error) {
	return shownPage(ctx, q, func(ctx context.Context, q view.Query) ([]view.Card, error) {
		if q.State == "" {
			q.State = "any"
		}
		return readPage(ctx, a.s, &listing{
			cols: cardCols, from: "cards", key: "card_id", at: "issued_at", driver: true,
			states: map[string]string{
				"any":         "deleted_at=0",
				cards.Active:  "deleted_at=0 AND blocked_at=0 AND (expires_at=0 OR expires_at>?)",
				cards.Blocked: "deleted_at=0 AND blocked_at<>0",
				cards.Expired: "deleted_at=0 AND blocked_at=0 AND expires_at<>0 AND expires_at<=?",
			},
		}, &q, func(r *sql.Rows) (view.Card, error) {
			c, err := scanCard(r)
			return view.CardOf(&c, q.Now), err
		})
	}, func(c *view.Card) view.Card { return *c })
}

// Card returns one card of a driver, or with owner "" of any.
func (a Archive) Card(ctx context.Context, owner charge.Username, id cards.ID) (*view.Card, error) {
	c, err := scanCard(a.s.ro.QueryRowContext(ctx, "SELECT "+cardCols+" FROM cards WHERE card_id=? AND deleted_at=0"+owned,
		string(id), string(owner), string(owner)))
	return shown(shownCard)(rowOrNone("read card", c, err))
}
