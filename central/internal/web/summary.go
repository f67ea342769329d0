package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/central/view"
)

type summaryInput struct {
	From   string `query:"from" format:"date-time" maxLength:"40" doc:"tickets not before this time (RFC 3339)" example:"2026-11-29T00:00:00Z"`
	To     string `query:"to" format:"date-time" maxLength:"40" doc:"tickets before this time" example:"2026-11-30T00:00:00Z"`
	Period string `query:"period" enum:"day,month,year,all" default:"all" doc:"length of the periods, in UTC"`
	OfCP
	OfDriver
}

// summaryRoutes registers sums over lists.
func (s *Server) summaryRoutes(api huma.API) {
	const id = "sum-tickets"
	huma.Register(api, op(id, http.MethodGet, "/summary/tickets", "Totals of tickets by period and currency", http.StatusOK, http.StatusUnprocessableEntity),
		func(ctx context.Context, in *summaryInput) (*bodyOutput[view.TicketSummary], error) {
			q := view.Query{From: parseBound(in.From), To: parseBound(in.To), Owner: ownerOf(ctx)}
			items, err := s.archive.SumTickets(ctx, filter(q, in.OfCP, in.OfDriver, ""), view.Period(in.Period))
			if err != nil {
				return nil, s.internalError(id, err)
			}
			return &bodyOutput[view.TicketSummary]{view.TicketSummary{Items: append([]view.TicketTotal{}, items...)}}, nil
		})
}
