package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

type seriesInput struct {
	CPInput
	Connector int    `query:"connector" minimum:"1" maximum:"64" default:"1"`
	From      string `query:"from" format:"date-time" maxLength:"40" doc:"not before this time (RFC 3339); absent: an hour before to"`
	To        string `query:"to" format:"date-time" maxLength:"40" doc:"before this time; absent: now"`
	Points    int    `query:"points" minimum:"2" maximum:"2000" default:"400" doc:"the most points; more are thinned"`
}

// seriesRoutes registers the curves of connectors.
func (s *Server) seriesRoutes(api huma.API) {
	const id = "get-series"
	o := op(id, http.MethodGet, "/cps/{cp}/series", "Power and register of a connector over time", http.StatusOK, http.StatusNotFound, http.StatusUnprocessableEntity)
	o.Description = "The points of the last hour are from telemetry, at most one per 10 s; older ones are from journal records as long as they are kept."
	huma.Register(api, o, func(ctx context.Context, in *seriesInput) (*bodyOutput[view.Series], error) {
		if !s.hasConnector(charge.CPID(in.CP), charge.ConnectorID(in.Connector)) {
			return nil, problem("unknown_connector", "")
		}
		to := parseBound(in.To)
		if to == 0 {
			to = charge.At(time.Now()) + 1
		}
		from := parseBound(in.From)
		if from == 0 {
			from = max(1, to.Add(-time.Hour))
		}
		points, err := s.series(ctx, charge.CPID(in.CP), charge.ConnectorID(in.Connector), from, to, in.Points)
		if err != nil {
			return nil, s.internalError(id, err)
		}
		out := view.Series{Connector: charge.ConnectorID(in.Connector), At: []int64{}, Power: []charge.Watts{}, Register: []charge.WattHours{}}
		for _, p := range points {
			out.At, out.Power, out.Register = append(out.At, int64(p.At)), append(out.Power, p.Power), append(out.Register, p.Register)
		}
		return &bodyOutput[view.Series]{out}, nil
	})
}

// hasConnector reports whether a charging point has a connector.
func (s *Server) hasConnector(cp charge.CPID, connector charge.ConnectorID) bool {
	for _, p := range s.live.Network().CPs {
		if p.ID == cp {
			return slices.ContainsFunc(p.Connectors, func(k view.Connector) bool { return k.Connector == connector })
		}
	}
	return false
}

// series joins the points of records with those in memory, which begin later.
func (s *Server) series(ctx context.Context, cp charge.CPID, connector charge.ConnectorID, from, to charge.Time, limit int) ([]view.Point, error) {
	recent := s.live.Series(cp, connector, from, to)
	until := to
	if len(recent) > 0 {
		until = recent[0].At
	}
	var older []view.Point
	if from < until {
		var err error
		if older, err = s.archive.Series(ctx, cp, connector, from, until, limit); err != nil {
			return nil, err
		}
	}
	return thinned(slices.Concat(older, recent), limit), nil
}

// thinned returns at most limit of the points, at equal distances, with the first
// and the last.
func thinned(points []view.Point, limit int) []view.Point {
	if len(points) <= limit {
		return points
	}
	out := make([]view.Point, 0, limit)
	for i := range limit {
		out = append(out, points[i*(len(points)-1)/(limit-1)])
	}
	return out
}
