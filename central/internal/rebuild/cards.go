package rebuild

import (
	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// Card is one card.
type Card struct {
	ID        cards.ID         `json:"card_id"`
	Hash      charge.TokenHash `json:"token_hash"`
	Username  charge.Username  `json:"username"`
	Label     string           `json:"label"`
	LastFour  string           `json:"last_four"`
	Offline   bool             `json:"offline"`
	IssuedAt  charge.Time      `json:"issued_at"`
	ExpiresAt charge.Time      `json:"expires_at,omitzero"`
	BlockedAt charge.Time      `json:"blocked_at,omitzero"`
	DeletedAt charge.Time      `json:"deleted_at,omitzero"`
	ChangedAt charge.Time      `json:"changed_at"`
	Version   int64            `json:"version"`
	// Limits of each session; absent: none.
	Limit       charge.WattHours `json:"limit_wh,omitempty"`
	LimitAmount int64            `json:"limit_amount,omitempty"` // in minor units of the tariff's currency
}

// NewCard returns a card as it is exported.
func NewCard(c cards.Card) Card {
	return Card{
		ID: c.ID, Hash: c.Hash, Username: c.Username, Label: c.Label, LastFour: c.LastFour, Offline: c.Offline, IssuedAt: c.IssuedAt,
		ExpiresAt: c.ExpiresAt, BlockedAt: c.BlockedAt, DeletedAt: c.DeletedAt, ChangedAt: c.ChangedAt, Version: c.Version,
		Limit: c.Limit.Energy, LimitAmount: c.Limit.Amount,
	}
}

// card is NewCard the other way round.
func (c *Card) card() cards.Card {
	return cards.Card{
		ID: c.ID, Hash: c.Hash, Username: c.Username, Label: c.Label, LastFour: c.LastFour, Offline: c.Offline, IssuedAt: c.IssuedAt,
		ExpiresAt: c.ExpiresAt, BlockedAt: c.BlockedAt, DeletedAt: c.DeletedAt, ChangedAt: c.ChangedAt, Version: c.Version,
		Limit: charge.SessionLimit{Energy: c.Limit, Amount: c.LimitAmount},
	}
}

// valid reports whether a card can be what the file has.
func (c *Card) valid() bool {
	return charge.ValidID(string(c.ID)) && c.Hash.Valid() && c.Version >= 1 && c.Limit >= 0 && c.Limit <= charge.MaxSessionLimit &&
		c.LimitAmount >= 0 && c.LimitAmount <= charge.MaxSessionLimit
}

// cardRows are the rows of the cards.
func (s *Settings) cardRows() (rows []orders.Effect) {
	for i := range s.Cards {
		rows = append(rows, orders.SaveCard{Card: s.Cards[i].card()})
	}
	return rows
}
