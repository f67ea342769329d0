package view

import (
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/supply"
	"github.com/carga-ev/carga/internal/charge"
)

// GroupList is all groups of charging points with a common supply.
type GroupList struct {
	Groups []Group `json:"groups" nullable:"false"`
}

// Group is one group. All currents are per phase.
type Group struct {
	ID        orders.GroupID   `json:"group_id"`
	Name      string           `json:"name"`
	Version   int64            `json:"version" doc:"give it as If-Match to change or delete the group"`
	Limit     charge.MilliAmps `json:"limit_ma"`   // the fuse
	Granted   charge.MilliAmps `json:"granted_ma"` // what all connectors may draw now
	CPs       []charge.CPID    `json:"cps" nullable:"false"`
	Members   []GroupMember    `json:"members" nullable:"false"` // the connectors
	ChangedAt charge.Time      `json:"changed_at"`
}

// GroupMember is one connector of a group.
type GroupMember struct {
	CPID      charge.CPID        `json:"cp_id"`
	Connector charge.ConnectorID `json:"connector"`
	Granted   charge.MilliAmps   `json:"granted_ma"` // the most that it may draw now
	Share     charge.MilliAmps   `json:"share_ma"`   // what it is to have
	Safe      charge.MilliAmps   `json:"safe_ma"`    // what it has without a grant
	Until     charge.Time        `json:"until,omitzero"`
	Why       supply.Why         `json:"why" enum:"idle,served,turn,unconfirmed,others,unreachable"`
}

// GroupOf shows a group at a moment.
func GroupOf(g *orders.Group, members []orders.GroupMember, now charge.Time) Group {
	out := Group{ID: g.ID, Name: g.Name, Version: g.Version, Limit: g.Limit, CPs: append([]charge.CPID{}, g.CPs...), Members: []GroupMember{}, ChangedAt: g.ChangedAt}
	for i := range members {
		m := &members[i]
		v := GroupMember{
			CPID: m.CPID, Connector: m.Connector, Granted: m.Hold.Bound(now, m.Safe), Share: m.Share, Safe: m.Safe, Why: m.Why,
		}
		if now < m.Hold.Confirmed.Until {
			v.Until = m.Hold.Confirmed.Until
		}
		out.Granted += v.Granted
		out.Members = append(out.Members, v)
	}
	return out
}
