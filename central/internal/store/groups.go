package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// The columns of a group, and of one of its connectors.
const (
	groupCols  = "group_id,name,limit_ma,cps,version,changed_at,deleted"
	memberCols = "cp_id,connector,group_id,hold,safe_ma,share_ma,why"
)

func (tx *Tx) group(t *tables, g *orders.Group) error {
	return tx.exec(t.groups.one, string(g.ID), g.Name, int64(g.Limit), list(g.CPs), g.Version, int64(g.ChangedAt), g.Deleted)
}

func (tx *Tx) groupMember(t *tables, m *orders.GroupMember) error {
	hold, err := json.Marshal(&m.Hold)
	if err != nil {
		return err
	}
	return tx.exec(t.members.one, string(m.CPID), int64(m.Connector), string(m.Group), string(hold), int64(m.Safe), int64(m.Share), string(m.Why))
}

// SupplyGroups returns the groups that are not deleted, by name.
func (s *Store) SupplyGroups(ctx context.Context) ([]orders.Group, error) {
	return collect(ctx, s, "read groups", func(r *sql.Rows) (g orders.Group, err error) {
		return g, r.Scan(&g.ID, &g.Name, &g.Limit, jsonOf{&g.CPs}, &g.Version, &g.ChangedAt, &g.Deleted)
	}, "SELECT "+groupCols+" FROM supply_groups WHERE deleted=0 ORDER BY name,group_id")
}

// groupMembers returns what connectors of groups were granted.
func (s *Store) groupMembers(ctx context.Context) ([]orders.GroupMember, error) {
	return collect(ctx, s, "read members of groups", func(r *sql.Rows) (m orders.GroupMember, err error) {
		return m, r.Scan(&m.CPID, &m.Connector, &m.Group, jsonOf{&m.Hold}, &m.Safe, &m.Share, &m.Why)
	}, "SELECT "+memberCols+" FROM supply_members ORDER BY cp_id,connector")
}

// loadGroups fills a state with the groups and what their connectors were granted.
func (s *Store) loadGroups(ctx context.Context, st *orders.State) error {
	groups, err1 := s.SupplyGroups(ctx)
	members, err2 := s.groupMembers(ctx)
	for _, g := range groups {
		st.LoadGroup(g)
	}
	for _, m := range members {
		st.LoadGroupMember(m)
	}
	return cmp.Or(err1, err2)
}

// Groups returns all groups with their connectors as they are shown.
func (a Archive) Groups(ctx context.Context) (view.GroupList, error) {
	groups, err1 := a.s.SupplyGroups(ctx)
	members, err2 := a.s.groupMembers(ctx)
	if err := cmp.Or(err1, err2); err != nil {
		return view.GroupList{}, err
	}
	now, out := charge.At(time.Now()), view.GroupList{Groups: []view.Group{}}
	for i := range groups {
		g := &groups[i]
		own := slices.DeleteFunc(slices.Clone(members), func(m orders.GroupMember) bool { return m.Group != g.ID })
		out.Groups = append(out.Groups, view.GroupOf(g, own, now))
	}
	return out, nil
}
