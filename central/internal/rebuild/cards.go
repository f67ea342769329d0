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
}

// NewCard returns a card as it is exported.
func NewCard(c cards.Card) Card { return Card(c) }

// cardRows are the rows of the cards.
func (s *Settings) cardRows() (rows []orders.Effect) {
	for _, c := range s.Cards {
		rows = append(rows, orders.SaveCard{Card: cards.Card(c)})
	}
	return rows
}
