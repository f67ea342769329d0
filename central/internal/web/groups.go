package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// groupBody is what an operator sets of a group.
type groupBody struct {
	Name  string   `json:"name" minLength:"1" maxLength:"64" doc:"for people"`
	Limit int64    `json:"limit_ma" minimum:"6000" maximum:"1000000" doc:"the fuse, per phase, in mA" example:"63000"`
	CPs   []string `json:"cps" nullable:"false" maxItems:"50" doc:"its charging points; each is in one group at most" example:"CP_001"`
}

// TransformSchema implements huma.SchemaTransformer: a tag cannot describe the
// items of a list.
func (groupBody) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	longest := 36
	cps := s.Properties["cps"]
	cps.Items.MaxLength, cps.Items.Pattern = &longest, "^[A-Za-z0-9_-]{1,36}$"
	cps.PrecomputeMessages()
	return s
}

type addGroupInput struct{ Body groupBody }

// GroupInput names a group in the version that the operator saw.
type GroupInput struct {
	ID      string `path:"id" maxLength:"36" pattern:"^[A-Za-z0-9_-]{1,36}$"`
	IfMatch string `header:"If-Match" required:"true" minLength:"3" maxLength:"32" pattern:"^\"[0-9]{1,18}\"$" doc:"the version of the group that was read, in quotes"`
}

type changeGroupInput struct {
	GroupInput
	Body groupBody
}

// group returns the group that a body describes.
func (b *groupBody) group() (orders.Group, error) {
	g := orders.Group{Name: strings.TrimSpace(b.Name), Limit: charge.MilliAmps(b.Limit)}
	if g.Name == "" || !printable(g.Name) {
		return g, problem("bad_group", "name: use text without control characters")
	}
	for _, cp := range b.CPs {
		g.CPs = append(g.CPs, charge.CPID(cp))
	}
	return g, nil
}

// groupRoutes registers the groups of charging points behind one fuse.
func (s *Server) groupRoutes(api huma.API) {
	read := op("list-groups", http.MethodGet, "/groups", "Groups of charging points behind one fuse, with what each connector may draw", http.StatusOK)
	huma.Register(api, read, func(ctx context.Context, _ *struct{}) (*bodyOutput[view.GroupList], error) {
		all, err := s.archive.Groups(ctx)
		if err != nil {
			return nil, s.internalError("list-groups", err)
		}
		return &bodyOutput[view.GroupList]{all}, nil
	})
	add := order("add-group", "/groups", "Add a group of charging points", http.StatusCreated)
	add.Description = "Every connector must report a safe current, and all of them together must be within the limit: they have it while Central cannot reach them."
	huma.Register(api, add, func(ctx context.Context, in *addGroupInput) (*orderOutput, error) {
		g, err := in.Body.group()
		if err != nil {
			return nil, err
		}
		a, err := s.orders.SaveGroup(ctx, g)
		return s.answer("add-group", a, err)
	})
	change := order("change-group", "/groups/{id}", "Change a group: all of its values are replaced", http.StatusOK)
	change.Errors = append(change.Errors, http.StatusPreconditionFailed)
	huma.Register(api, change, func(ctx context.Context, in *changeGroupInput) (*orderOutput, error) {
		g, err := in.Body.group()
		if err != nil {
			return nil, err
		}
		if g.Version, err = versionOf(in.IfMatch); err != nil {
			return nil, s.internalError("change-group", err) // cannot happen: the pattern allows only numbers
		}
		g.ID = orders.GroupID(in.ID)
		a, err := s.orders.SaveGroup(ctx, g)
		return s.answer("change-group", a, err)
	})
	remove := order("delete-group", "/groups/{id}/delete", "Delete a group: its charging points have their safe current when their grants are over", http.StatusOK)
	remove.Errors = append(remove.Errors, http.StatusPreconditionFailed)
	huma.Register(api, remove, func(ctx context.Context, in *GroupInput) (*orderOutput, error) {
		version, err := versionOf(in.IfMatch)
		if err != nil {
			return nil, s.internalError("delete-group", err) // cannot happen, as above
		}
		a, err := s.orders.DeleteGroup(ctx, orders.GroupID(in.ID), version)
		return s.answer("delete-group", a, err)
	})
}
