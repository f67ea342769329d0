package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/names"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// CardChange is a change of a card. nil leaves it as it is.
type CardChange struct {
	Blocked   *bool
	ExpiresAt *charge.Time // 0: never
	Offline   *bool
	Label     *string
	// Limits of each session; 0: none.
	LimitEnergy *charge.WattHours
	LimitAmount *int64
	Delete      bool
}

type cardsInput struct {
	Paging
	OfDriver
	State string `query:"state" enum:"active,blocked,expired" doc:"only in this state now"`
	After string `query:"after" maxLength:"160" pattern:"^cards:[A-Za-z0-9_-]+$" doc:"next of the page before"`
}

// CardRef names a card in a request, by its UID or by its hash.
type CardRef struct {
	UID       string `json:"uid,omitempty" minLength:"4" maxLength:"64" pattern:"^[0-9A-Fa-f]{4,64}$" doc:"of the card, in hexadecimal digits; it is never kept: its hash is, and of an issued card the last four digits"`
	TokenHash string `json:"token_hash,omitempty" minLength:"64" maxLength:"64" pattern:"^[0-9a-f]{64}$" doc:"in place of uid: the SHA-256 of the UID in upper-case hexadecimal digits"`
}

func (c *CardRef) none() bool { return c.UID == "" && c.TokenHash == "" }
func (c *CardRef) one() bool  { return (c.UID == "") != (c.TokenHash == "") }

// hash is the hash of the card; empty without one.
func (c *CardRef) hash() charge.TokenHash {
	if c.UID != "" {
		return charge.IDToken(strings.ToUpper(c.UID)).Hash()
	}
	return charge.TokenHash(c.TokenHash)
}

type addCardInput struct {
	Body struct {
		CardRef

		Username  string `json:"username" minLength:"1" maxLength:"64" doc:"the driver that charges with it"`
		Label     string `json:"label,omitempty" maxLength:"64" doc:"for people"`
		Offline   *bool  `json:"offline,omitempty" doc:"whether charging points admit it without Central; absent: true"`
		ExpiresAt string `json:"expires_at,omitempty" format:"date-time" maxLength:"40" doc:"from then on it does not charge; absent: never"`
		Limits
	}
}

type changeCardInput struct {
	ID   string `path:"id" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$"`
	Body struct {
		Blocked   *bool   `json:"blocked,omitempty"`
		Offline   *bool   `json:"offline,omitempty" doc:"whether charging points admit it without Central"`
		Label     *string `json:"label,omitempty" maxLength:"64"`
		ExpiresAt *string `json:"expires_at,omitempty" format:"date-time" maxLength:"40" doc:"from then on it does not charge"`
		Expires   *bool   `json:"expires,omitempty" enum:"false" doc:"false: it never expires"`
		Energy    *int64  `json:"limit_wh,omitempty" minimum:"0" maximum:"1099511627776" doc:"each of its sessions ends at this energy; 0: no limit"`
		Amount    *int64  `json:"limit_amount,omitempty" minimum:"0" maximum:"1099511627776" doc:"each of its sessions ends at this cost, in minor units of the tariff's currency; 0: no limit"`
	}
}

// cardRoutes registers the cards of drivers. A driver reads its own.
func (s *Server) cardRoutes(api huma.API) {
	list(s, api, "cards", "Cards of drivers", func(in *cardsInput) view.Query {
		return filter(in.query(in.After), OfCP{}, in.OfDriver, in.State)
	}, s.archive.Cards, func(v *view.Card) string { return string(v.ID) })
	one(s, api, "get-card", "/cards/{id}", "One card", "unknown_card", byID(s.archive.Card), idTag)
	huma.Register(api, order("add-card", "/cards", "Issue a card to a driver", http.StatusCreated), s.addCard)
	change := order("change-card", "/cards/{id}", "Block or unblock a card, or change its end, its limits or its label", http.StatusOK)
	change.Description = "Every charging point that is connected gets the change at once; one that is not, when it connects. The session that a blocked card began ends."
	huma.Register(api, change, s.changeCard)
	huma.Register(api, order("delete-card", "/cards/{id}/delete", "Delete a card: its driver, label and digits are forgotten", http.StatusOK),
		func(ctx context.Context, in *idInput) (*orderOutput, error) {
			a, err := s.orders.ChangeCard(ctx, cards.ID(in.ID), CardChange{Delete: true})
			return s.answer("delete-card", a, err)
		})
}

func (s *Server) addCard(ctx context.Context, in *addCardInput) (*orderOutput, error) {
	b := &in.Body
	if !b.one() {
		return nil, problem("bad_card", "give either uid or token_hash")
	}
	if err := names.Check(b.Username); err != nil {
		return nil, problem("bad_username", "username "+err.Error())
	}
	if !printable(b.Label) {
		return nil, problem("bad_card", "label: use text without control characters")
	}
	c := cards.Card{
		Hash: b.hash(), Username: charge.Username(b.Username), Label: b.Label,
		Offline: b.Offline == nil || *b.Offline, ExpiresAt: parseBound(b.ExpiresAt), Limit: b.limit(),
	}
	if b.UID != "" {
		uid := strings.ToUpper(b.UID)
		c.LastFour = uid[len(uid)-4:]
	}
	a, err := s.orders.AddCard(ctx, c)
	return s.answer("add-card", a, err)
}

func (s *Server) changeCard(ctx context.Context, in *changeCardInput) (*orderOutput, error) {
	c := CardChange{Blocked: in.Body.Blocked, Offline: in.Body.Offline, Label: in.Body.Label, LimitAmount: in.Body.Amount}
	if e := in.Body.Energy; e != nil {
		c.LimitEnergy = new(charge.WattHours(*e))
	}
	switch {
	case c.Label != nil && !printable(*c.Label):
		return nil, problem("bad_card", "label: use text without control characters")
	case in.Body.ExpiresAt != nil && in.Body.Expires != nil:
		return nil, problem("bad_card", "give either expires_at or expires")
	case in.Body.ExpiresAt != nil:
		c.ExpiresAt = new(parseBound(*in.Body.ExpiresAt))
	case in.Body.Expires != nil:
		c.ExpiresAt = new(charge.Time(0))
	}
	a, err := s.orders.ChangeCard(ctx, cards.ID(in.ID), c)
	return s.answer("change-card", a, err)
}
