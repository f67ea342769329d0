package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// settingsOutput are the settings of a charging point; their ETag is their version.
type settingsOutput struct {
	ETag string `header:"ETag" doc:"give it as If-Match to change the settings"`
	Body view.CPSettings
}

// versionOf returns the version that an If-Match names, which its pattern allows.
func versionOf(ifMatch string) (int64, error) {
	return strconv.ParseInt(strings.Trim(ifMatch, `"`), 10, 64)
}

type setInput struct {
	CPInput
	IfMatch string `header:"If-Match" required:"true" minLength:"3" maxLength:"32" pattern:"^\"[0-9]{1,18}\"$" doc:"the ETag of the settings that are changed"`
	Body    struct {
		Name  *string `json:"name,omitempty" maxLength:"100" doc:"empty: the name that the charging point reports"`
		Place *string `json:"place,omitempty" maxLength:"100" doc:"empty: the place that it reports"`
		Site  *string `json:"site,omitempty" maxLength:"100" doc:"groups charging points; empty: none"`
	}
}

// CPChange is a change of the settings of a charging point. nil leaves a setting as
// it is, an empty text removes it. It is refused unless Version is the present one.
type CPChange struct {
	CPID              charge.CPID
	Version           int64
	Name, Place, Site *string
}

// settingsRoutes registers the settings of charging points.
func (s *Server) settingsRoutes(api huma.API) {
	read := func(ctx context.Context, id string, cp string) (*settingsOutput, error) {
		v, err := s.archive.CPSettings(ctx, charge.CPID(cp))
		switch {
		case err != nil:
			return nil, s.internalError(id, err)
		case v == nil:
			return nil, problem("unknown_cp", "")
		}
		return &settingsOutput{ETag: `"` + strconv.FormatInt(v.Version, 10) + `"`, Body: *v}, nil
	}
	huma.Register(api, op("get-cp-settings", http.MethodGet, "/cps/{cp}/settings", "The name, place and site of a charging point", http.StatusOK,
		http.StatusNotFound, http.StatusUnprocessableEntity),
		func(ctx context.Context, in *CPInput) (*settingsOutput, error) {
			return read(ctx, "get-cp-settings", in.CP)
		})
	const id = "set-cp-settings"
	huma.Register(api, op(id, http.MethodPatch, "/cps/{cp}/settings", "Change the name, place or site of a charging point", http.StatusOK,
		http.StatusForbidden, http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusPreconditionFailed,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity),
		func(ctx context.Context, in *setInput) (*settingsOutput, error) {
			for _, text := range []*string{in.Body.Name, in.Body.Place, in.Body.Site} {
				if text != nil && !printable(*text) {
					return nil, problem("bad_setting", "")
				}
			}
			version, err := versionOf(in.IfMatch)
			if err != nil {
				return nil, s.internalError(id, err) // cannot happen: the pattern allows only numbers
			}
			a, err := s.orders.SetCP(ctx, CPChange{charge.CPID(in.CP), version, in.Body.Name, in.Body.Place, in.Body.Site})
			if _, err := s.answer(id, a, err); err != nil {
				return nil, err
			}
			return read(ctx, id, in.CP)
		})
}
