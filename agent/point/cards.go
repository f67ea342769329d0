package point

import (
	"github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// cardPresented decides a card. With a connection Central can be asked.
func (s *State) cardPresented(e CardPresented) {
	s.stepCards(nil, "", cards.Presented{
		Now: s.cardNow(), Card: e.Card, Request: e.Request, Session: e.NewSession, Online: s.conn != 0, Connectors: s.forCards(),
	})
}

// cardCommand passes a command about cards on.
func (s *State) cardCommand(v delivery.Verdict, raw string) {
	switch o := v.Order.(type) {
	case *wire.Authorize:
		s.stepCards(&v, raw, cards.Answered{Now: s.cardNow(), ID: v.Command.ID, Raw: raw, Order: *o, Connectors: s.forCards()})
	case *wire.SetLocalList:
		s.stepCards(&v, raw, cards.ListReceived{Now: s.cardNow(), ID: v.Command.ID, Raw: raw, Order: *o})
	}
}

// stepCards applies an event to the cards and to what follows from it. v is the
// command that it is about; nil without one.
func (s *State) stepCards(v *delivery.Verdict, raw string, e cards.Event) {
	var effects []cards.Effect
	s.cards, effects = cards.Step(s.cards, e)
	for _, f := range effects {
		switch f := f.(type) {
		case cards.Append:
			j := job{records: make([]connector.Record, len(f.Records))}
			if v != nil {
				j.connector = v.Command.Connector
			}
			for i, p := range f.Records {
				j.records[i].Payload = p
			}
			s.append(j)
		case cards.Begin:
			s.stepConnector(f.Connector, connector.CardAllowed{Now: s.connectorNow(), Session: f.Session, Username: f.Username, Card: f.Card, By: f.By, Limit: f.Limit})
		case cards.End:
			s.stepConnector(f.Connector, connector.CardStop{Now: s.connectorNow(), Session: f.Session})
		case cards.Forward:
			if v == nil {
				continue // cannot happen: only an answer is forwarded
			}
			s.stepConnector(f.Connector, connector.CommandReceived{
				Now: s.connectorNow(), ID: v.Command.ID, SentAt: v.Command.SentAt, Raw: raw, Order: v.Order, Expires: v.Deadline, Card: f.Card,
			})
		case cards.Refused:
			s.effects = append(s.effects, CardRefused{f.Reason})
		case cards.SetTimer: // deadline reads it from the state
		}
	}
}

// forCards describes the connectors to package cards.
func (s *State) forCards() []cards.Connector {
	all := make([]cards.Connector, len(s.connectors))
	for i := range s.connectors {
		all[i] = connector.ForCards(s.connectors[i])
	}
	return all
}

func (s *State) cardNow() cards.Now {
	return cards.Now{At: s.now.At, Wall: s.now.Wall, Clock: s.now.Clock}
}

// savedCards is what the journal kept of the cards: it is behind the connectors.
func savedCards(saved []connector.Saved) cards.Saved {
	for i := range saved {
		if saved[i].Connector == 0 {
			return saved[i].Cards
		}
	}
	return cards.Saved{}
}

// CardPresented is a card that is held to the reader. Request and NewSession are
// unused ids.
type CardPresented struct {
	Card       charge.TokenHash
	Request    string
	NewSession charge.SessionID
}

// CardRefused means that a card has no effect, and why.
type CardRefused struct{ Reason string }

func (CardPresented) pointEvent() {}
func (CardRefused) pointEffect()  {}
