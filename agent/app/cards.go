package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/wire"
)

// Cards is what happens with cards; see cards.Policy.
type Cards struct {
	// Wait is how long Central's answer to an unknown card is awaited.
	Wait time.Duration `yaml:"wait"`
	// Cache is how long an answer of Central serves when it cannot be asked.
	Cache time.Duration `yaml:"cache"`
	// Unanswered is what becomes of an unknown card when Central does not answer
	// although there is a connection, Offline when there is none: accept or refuse.
	Unanswered string `yaml:"unanswered"`
	Offline    string `yaml:"offline"`
}

// The policies for an unknown card.
const (
	CardsAccept = "accept"
	CardsRefuse = "refuse"
)

// validate checks the ranges. A command lives for wire.AuthorizeLife, so a longer
// wait would be in vain.
func (c *Cards) validate(p *config.Problems) {
	if c.Wait < 100*time.Millisecond || c.Wait > wire.AuthorizeLife {
		p.Addf("cards.wait", "want a duration from 100ms to %s", wire.AuthorizeLife)
	}
	if c.Cache < 0 || c.Cache > 90*24*time.Hour {
		p.Addf("cards.cache", "want a duration from 0s (no cache) to 2160h")
	}
	for _, f := range []struct{ key, value string }{{"unanswered", c.Unanswered}, {"offline", c.Offline}} {
		if f.value != CardsAccept && f.value != CardsRefuse {
			p.Addf("cards."+f.key, "want %s or %s", CardsAccept, CardsRefuse)
		}
	}
}

// policy converts the settings.
func (c *Cards) policy() cards.Policy {
	return cards.Policy{Wait: c.Wait, CacheFor: c.Cache, AcceptUnanswered: c.Unanswered == CardsAccept, AcceptOffline: c.Offline == CardsAccept}
}

// openReader gets the card reader. It is optional.
func (r *running) openReader() error {
	reader, err := r.board.Reader()
	switch {
	case errors.Is(err, hal.ErrNotFitted):
		return nil
	case err != nil:
		return fmt.Errorf("card reader: %w", err)
	}
	r.tokens = reader.Tokens()
	r.operator.hasReader = true
	return nil
}

// readCards passes the cards that are presented to the core until ctx ends. A UID
// goes no further than its hash.
func (r *running) readCards(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t, open := <-r.tokens:
			if !open { // the board is closed
				return
			}
			r.inbox.put(point.CardPresented{Card: charge.IDToken(t.UID).Hash()})
		}
	}
}
