package view

import (
	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/internal/charge"
)

// Card is a card of a driver. Neither its token nor the hash of it is shown.
type Card struct {
	ID        cards.ID        `json:"card_id"`
	Username  charge.Username `json:"username"`
	Label     string          `json:"label,omitempty"`
	LastFour  string          `json:"last_four,omitempty"` // of the UID
	State     string          `json:"state"`               // "active", "blocked", "expired"
	Offline   bool            `json:"offline"`             // in the local lists of the charging points
	IssuedAt  charge.Time     `json:"issued_at"`
	ExpiresAt charge.Time     `json:"expires_at,omitzero"`
	BlockedAt charge.Time     `json:"blocked_at,omitzero"`
	// Limits of each session; absent: none.
	Limit       charge.WattHours `json:"limit_wh,omitempty"`
	LimitAmount int64            `json:"limit_amount,omitempty"` // of the cost, in minor units of the tariff's currency
}

// CardOf shows a card at a moment.
func CardOf(c *cards.Card, now charge.Time) Card {
	return Card{
		ID: c.ID, Username: c.Username, Label: c.Label, LastFour: c.LastFour, State: c.State(now), Offline: c.Offline,
		IssuedAt: c.IssuedAt, ExpiresAt: c.ExpiresAt, BlockedAt: c.BlockedAt, Limit: c.Limit.Energy, LimitAmount: c.Limit.Amount,
	}
}
