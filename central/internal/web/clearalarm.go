package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// clearAlarmInput is an operator's note about an alarm. It is appended to the
// alarm's text.
type clearAlarmInput struct {
	ID   int64 `path:"id" minimum:"0"`
	Body struct {
		Note string `json:"note" minLength:"1" maxLength:"300" doc:"your name, and why it is cleared"`
	}
}

// clearAlarmRoute registers the operation by which an operator ends an alarm that
// nothing else ends.
func (s *Server) clearAlarmRoute(api huma.API) {
	huma.Register(api, order("clear-alarm", "/alarms/{id}/clear",
		"Clear an alarm about something that is over, with a note; it opens again if that happens again", http.StatusOK),
		func(ctx context.Context, in *clearAlarmInput) (*orderOutput, error) {
			if err := checkNote(in.Body.Note); err != nil {
				return nil, err
			}
			a, err := s.orders.ClearAlarm(ctx, in.ID, in.Body.Note)
			return s.answer("clear-alarm", a, err)
		})
}
