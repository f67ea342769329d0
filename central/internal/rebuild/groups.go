package rebuild

import (
	"fmt"
	"strings"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// Group is one group of charging points. What was granted is not exported: a Central
// that starts raises nothing until all earlier grants are over.
type Group struct {
	ID        orders.GroupID   `json:"group_id"`
	Name      string           `json:"name"`
	Limit     charge.MilliAmps `json:"limit_ma"`
	CPs       []charge.CPID    `json:"cps"`
	Version   int64            `json:"version"`
	ChangedAt charge.Time      `json:"changed_at"`
}

// NewGroup returns a group as it is exported.
func NewGroup(g *orders.Group) Group {
	return Group{ID: g.ID, Name: g.Name, Limit: g.Limit, CPs: notNil(g.CPs), Version: g.Version, ChangedAt: g.ChangedAt}
}

// groupRows are the rows of the groups.
func (s *Settings) groupRows() (rows []orders.Effect) {
	for _, g := range s.Groups {
		rows = append(rows, orders.SaveGroup{Group: orders.Group{
			ID: g.ID, Name: g.Name, Limit: g.Limit, CPs: g.CPs, Version: g.Version, ChangedAt: g.ChangedAt,
		}})
	}
	return rows
}

// validateGroups refuses groups that there cannot be. Whether their safe currents are
// within the limit is known only once the charging points have connected.
func (s *Settings) validateGroups() error {
	ids, in := map[orders.GroupID]bool{}, map[charge.CPID]int{}
	for i := range s.Groups {
		g := &s.Groups[i]
		if ids[g.ID] {
			return fmt.Errorf("settings: groups[%d].group_id is that of another group", i)
		}
		ids[g.ID] = true
		if !charge.ValidID(string(g.ID)) || strings.TrimSpace(g.Name) == "" || g.Limit < 0 || g.Version < 1 {
			return fmt.Errorf("settings: groups[%d] is none: want a group_id, a name, a limit_ma from 0 and a version from 1", i)
		}
		for k, id := range g.CPs {
			other, twice := in[id]
			switch {
			case !id.Valid():
				return fmt.Errorf("settings: groups[%d].cps[%d] is none", i, k)
			case twice:
				return fmt.Errorf("settings: groups[%d].cps[%d]: %s is in groups[%d] already; a charging point is in one group", i, k, id, other)
			}
			in[id] = i
		}
	}
	return nil
}
