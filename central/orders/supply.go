package orders

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/supply"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const (
	// MaxGroup bounds the connectors of a group.
	MaxGroup = 50
	// supplyInterval is how often a group is planned without an event: connections
	// break and grants end without one.
	supplyInterval = 5 * time.Second
)

// GroupID names a group.
type GroupID string

// Group is a set of charging points behind one fuse.
//
// Invariant: a charging point is in at most one group, and the safe currents of all
// connectors were within the limit when the group was saved.
type Group struct {
	ID        GroupID
	Name      string
	Limit     charge.MilliAmps // the fuse, per phase
	CPs       []charge.CPID    // sorted
	Version   int64            // counts the changes, from 1 on
	ChangedAt charge.Time
	Deleted   bool
}

// GroupMember is what one connector of a group was granted, and its share. Its row
// outlives its group while a grant may be in force.
type GroupMember struct {
	Target
	Group GroupID // "" if it is in none any more
	Hold  supply.Holding
	Safe  charge.MilliAmps // without a grant
	Share charge.MilliAmps
	Why   supply.Why
}

// equal reports whether two rows are the same.
func (m *GroupMember) equal(o *GroupMember) bool {
	return m.Target == o.Target && m.Group == o.Group && m.Safe == o.Safe && m.Share == o.Share && m.Why == o.Why && m.Hold.Equal(&o.Hold)
}

// LoadGroup adds a group that is not deleted.
func (s *State) LoadGroup(g Group) {
	s.groups[g.ID] = &g
	s.supplyDue = dueNow
}

// LoadGroupMember adds what a connector was granted.
func (s *State) LoadGroupMember(m GroupMember) { s.members[m.Target] = m }

// supplies reports whether there is a group, or a grant that may be in force.
func (s *State) supplies() bool { return len(s.groups)+len(s.members) > 0 }

// groupOf returns the group of a charging point; nil: it is in none.
func (s *State) groupOf(id charge.CPID) *Group {
	for _, g := range s.groups {
		if slices.Contains(g.CPs, id) {
			return g
		}
	}
	return nil
}

// saveMember stores a changed member.
func (x *step) saveMember(m GroupMember) {
	if old := x.s.members[m.Target]; !old.equal(&m) {
		x.s.members[m.Target] = m
		x.emit(SaveGroupMember{m})
	}
}

// limitResult notes the result of a SET_LIMIT. One that has none may be in force; one
// that has another than done is not, also if its charging point, whose clock may be
// wrong, received it too late.
func (x *step) limitResult(c *Command, state CommandState) {
	var o wire.SetLimit
	if err := json.Unmarshal(c.Data, &o); err != nil {
		return // cannot happen: it was encoded or decoded by package wire
	}
	t, g := Target{c.CPID, c.Connector}, supply.Grant{Limit: o.Limit, Until: o.Until}
	m := x.s.members[t]
	m.Target = t
	if state == Done {
		m.Hold.Confirm(g, m.Safe, x.At)
	} else {
		m.Hold.Refuse(g)
		x.s.point(c.CPID).notBefore[paceKey{c.Connector, c.Type}] = x.At.Add(retryLater)
	}
	x.saveMember(m)
	x.s.supplyDue = dueNow
}

// doubtGrants notes that a charging point started again: it may have lost its grants.
func (x *step) doubtGrants(id charge.CPID) {
	for _, t := range x.memberTargets() {
		if m := x.s.members[t]; t.CPID == id {
			m.Hold.Doubt()
			x.saveMember(m)
			x.s.supplyDue = dueNow
		}
	}
}

// startSupplies begins with grants of which the rows may not be the latest: those of an
// earlier run, or of another Central meanwhile. The clock may have been set back since.
func (x *step) startSupplies() {
	x.s.raiseFrom = x.At.Add(supply.Unknown)
	x.eachHold(func(h *supply.Holding) { h.Distrust(x.At) })
}

// supplyClockJumped puts all grants in doubt: for how long they last is not known.
func (x *step) supplyClockJumped() {
	if x.s.raiseFrom <= x.s.lastEventAt {
		x.s.raiseFrom = 0 // by the clock before the jump
	} else {
		x.s.raiseFrom = x.At.Add(supply.Unknown)
	}
	x.eachHold(func(h *supply.Holding) { h.ClockJumped(x.At) })
}

// eachHold changes what each connector was granted, and plans the groups now.
func (x *step) eachHold(change func(*supply.Holding)) {
	for _, t := range x.memberTargets() {
		m := x.s.members[t]
		change(&m.Hold)
		x.saveMember(m)
		x.s.supplyDue = dueNow
	}
}

// memberTargets returns the connectors with a row, sorted.
func (x *step) memberTargets() []Target {
	return slices.SortedFunc(maps.Keys(x.s.members), compareTargets)
}

func compareTargets(a, b Target) int {
	return cmp.Or(cmp.Compare(a.CPID, b.CPID), cmp.Compare(a.Connector, b.Connector))
}

// planSupplies plans all groups if that is due.
func (x *step) planSupplies() {
	if x.s.supplyDue == 0 || x.s.supplyDue > x.At || x.fenced() {
		return
	}
	x.s.supplyDue = 0
	for _, id := range slices.Sorted(maps.Keys(x.s.groups)) {
		x.planSupply(x.s.groups[id])
	}
	x.forgetMembers()
	if x.s.supplies() {
		x.s.supplyDue = x.At.Add(supplyInterval)
	}
}

// forgetMembers drops what connectors outside of groups were granted, once it is over.
func (x *step) forgetMembers() {
	for _, t := range x.memberTargets() {
		m := x.s.members[t]
		if m.Group != "" && x.s.groups[m.Group] != nil && slices.Contains(x.s.groups[m.Group].CPs, t.CPID) {
			continue
		}
		m.Group, m.Share, m.Why = "", 0, ""
		m.Hold.Trim(x.At)
		x.saveMember(m)
		if m.Hold.Empty() {
			delete(x.s.members, t)
		}
	}
}

// planSupply distributes the supply of a group, and issues the grants that are due.
func (x *step) planSupply(g *Group) {
	var targets []Target
	var members []supply.Member
	for _, id := range g.CPs {
		for _, c := range x.connectorsOf(id) {
			t := Target{id, c.ID}
			targets = append(targets, t)
			members = append(members, x.supplyMember(t, c))
		}
	}
	for i, d := range supply.Plan(x.At, g.Limit, members) {
		m := GroupMember{Target: targets[i], Group: g.ID, Hold: members[i].Hold, Safe: members[i].Safe, Share: d.Share, Why: d.Why}
		m.Hold.Trim(x.At)
		unknown := x.At < x.s.raiseFrom && d.Send.Limit > m.Hold.Bound(x.At, m.Safe)
		if d.Send != (supply.Grant{}) && !unknown {
			order := &wire.SetLimit{Limit: d.Send.Limit, Until: d.Send.Until}
			if x.issue(x.v.CP(m.CPID), m.Connector, order, subject{}) != nil {
				m.Hold.Add(d.Send)
				x.s.updateDue(x.s.point(m.CPID), x.At)
			}
		}
		x.saveMember(m)
	}
}

// connectorsOf returns the connectors of a charging point by their numbers. One whose
// present boot is not known has those that were granted something.
func (x *step) connectorsOf(id charge.CPID) []*ledger.Connector {
	var all []*ledger.Connector
	cp := x.v.CP(id)
	if cp != nil {
		all = byNumber(cp.Connectors)
	}
	if len(all) > 0 {
		return all
	}
	for _, t := range x.memberTargets() {
		if t.CPID == id {
			all = append(all, &ledger.Connector{ID: t.Connector, Safe: x.s.members[t].Safe})
		}
	}
	return all
}

// supplyMember returns what the distribution needs of a connector.
func (x *step) supplyMember(t Target, c *ledger.Connector) supply.Member {
	cp := x.v.CP(t.CPID)
	m := supply.Member{Most: mostOf(c), Safe: c.Safe, Hold: x.s.members[t].Hold}
	if m.Safe == 0 || m.Safe > m.Most {
		m.Safe = m.Most // it obeys no limit, or one that limits nothing
	}
	switch {
	case c.Session == "":
	case c.Phase == charge.StatusSuspendedEV:
		m.Demand = supply.Paused
	default:
		m.Demand = supply.Wants
	}
	m.Reachable = cp != nil && cp.Admitted && cp.CurrentJournal != "" && !cp.Forked() && c.Safe != 0 && x.v.Liveness(t.CPID, x.At) == ledger.Online
	if p := x.s.points[t.CPID]; p != nil {
		m.Busy = x.At < p.notBefore[paceKey{t.Connector, wire.CommandSetLimit}]
		for _, c := range p.commands {
			m.Busy = m.Busy || c.Type == wire.CommandSetLimit && c.Connector == t.Connector
		}
	}
	return m
}

// unknownMost is the current of a connector that reports no maximum.
const unknownMost charge.MilliAmps = 32_000

// mostOf returns the largest current that a connector can have.
func mostOf(c *ledger.Connector) charge.MilliAmps { return cmp.Or(c.Most, unknownMost) }

// groupRefusal returns the refusal for a group that an operator saw in a version; "" if
// that is the present one.
func (x *step) groupRefusal(id GroupID, version int64) Reply {
	switch g := x.s.groups[id]; {
	case g == nil:
		return Reply{Refused: RefusedUnknownGroup}
	case g.Version != version:
		return Reply{Refused: RefusedGroupChanged, Detail: fmt.Sprintf("the group has version %d now", g.Version)}
	}
	return Reply{}
}

// saveGroup adds a group, or changes the version of one that the operator saw.
func (x *step) saveGroup(a OperatorSaveGroup) Reply {
	g := a.Group
	if g.ID == "" {
		g.Version = 0
	} else if r := x.groupRefusal(g.ID, g.Version); r.Refused != "" {
		return r
	}
	slices.Sort(g.CPs)
	g.CPs = slices.Compact(g.CPs)
	sum, n := charge.MilliAmps(0), 0
	for _, id := range g.CPs {
		cp := x.v.CP(id)
		other := x.s.groupOf(id)
		switch {
		case cp == nil:
			return Reply{Refused: wire.RefusedUnknownCP, Detail: "cps: there is no charging point " + string(id)}
		case other != nil && other.ID != g.ID:
			return Reply{Refused: RefusedInGroup, Detail: fmt.Sprintf("cps: %s is in the group %s; remove it there first", id, other.Name)}
		case len(cp.Connectors) == 0:
			return Reply{Refused: RefusedNoSafe, Detail: fmt.Sprintf("cps: the connectors of %s are not known yet; wait until it has connected", id)}
		}
		for _, c := range byNumber(cp.Connectors) {
			if c.Safe == 0 {
				return Reply{Refused: RefusedNoSafe, Detail: fmt.Sprintf("cps: %s reports no safe current; set limits.safe_ma at the charging point", id)}
			}
			sum += min(c.Safe, mostOf(c))
			n++
		}
	}
	switch {
	case n > MaxGroup:
		return Reply{Refused: RefusedGroupSize, Detail: fmt.Sprintf("cps: they have %d connectors; at most %d are possible", n, MaxGroup)}
	case sum > g.Limit:
		return Reply{Refused: RefusedSafeSum, Detail: fmt.Sprintf(
			"limit_ma: the safe currents of the connectors are %d mA together, above the limit of %d mA; lower limits.safe_ma at the charging points", sum, g.Limit)}
	}
	g.ID, g.Name, g.Version, g.ChangedAt = GroupID(cmp.Or(string(g.ID), x.IDs())), strings.TrimSpace(g.Name), g.Version+1, x.At
	x.s.groups[g.ID] = &g
	x.emit(SaveGroup{g})
	x.s.supplyDue = dueNow
	return Reply{GroupID: g.ID}
}

// deleteGroup deletes the version of a group that the operator saw. Its connectors keep
// their grants until these are over.
func (x *step) deleteGroup(a OperatorDeleteGroup) Reply {
	if r := x.groupRefusal(a.ID, a.Version); r.Refused != "" {
		return r
	}
	g := x.s.groups[a.ID]
	delete(x.s.groups, a.ID)
	x.emit(SaveGroup{Group{ID: a.ID, Name: g.Name, Limit: g.Limit, Version: a.Version + 1, ChangedAt: x.At, Deleted: true}})
	x.s.supplyDue = dueNow
	return Reply{GroupID: a.ID}
}
