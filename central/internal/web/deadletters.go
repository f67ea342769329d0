package web

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/central/view"
)

type deadLettersInput struct {
	Paging
	State string `query:"state" enum:"open,replayed" doc:"only those that were never replayed, or those that were"`
	After string `query:"after" maxLength:"160" pattern:"^dead-letters:[0-9]{1,18}$" doc:"next of the page before"`
}

type deadLetterInput struct {
	ID int64 `path:"id" minimum:"1"`
}

// deadLetterRoutes registers the list of messages that could not be used, and
// their replay.
func (s *Server) deadLetterRoutes(api huma.API) {
	list(s, api, "dead-letters", "Messages on Kafka that Central could not use", func(in *deadLettersInput) view.Query {
		return filter(in.query(in.After), OfCP{}, OfDriver{}, in.State)
	}, s.archive.DeadLetters, func(v *view.DeadLetter) string { return fmt.Sprint(v.ID) })
	const bridges = "list-bridge-dead-letters"
	o := op(bridges, http.MethodGet, "/bridge-dead-letters", "The latest messages that bridges could not pass on", http.StatusOK)
	o.Description = "They are on the topic of dead letters. They cannot be replayed: their senders send them again, or are not agents."
	huma.Register(api, o, func(context.Context, *struct{}) (*itemsOutput[view.BridgeDeadLetter], error) {
		return itemsOf(s.live.BridgeDeadLetters(), func(d *view.BridgeDeadLetter) view.BridgeDeadLetter { return *d }), nil
	})
	huma.Register(api, order("replay-dead-letter", "/dead-letters/{id}/replay",
		"Publish the bytes of a dead letter to its topic again", http.StatusOK),
		func(ctx context.Context, in *deadLetterInput) (*orderOutput, error) {
			a, err := s.orders.Replay(ctx, in.ID)
			return s.answer("replay-dead-letter", a, err)
		})
}
