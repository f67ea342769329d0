package supply

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

const (
	// A grant above the safe current is short: one that cannot be withdrawn blocks its
	// part of the supply until it is over. A grant up to the safe current is long,
	// because what it leaves is lent to the others until it ends.
	highLife, highRenew = 4 * time.Minute, 2 * time.Minute
	lowLife, lowRenew   = 10 * time.Minute, 7 * time.Minute
	// Unknown is how long grants may be in force of which a database that was restored
	// from a backup knows nothing, counted from its first event.
	Unknown = highLife + late
	// minLife is the shortest grant that is worth sending.
	minLife = 30 * time.Second
	// turnLength is how long a connector is served when there is not enough for all.
	turnLength = 15 * time.Minute
)

// Demand is what a connector can use.
type Demand int

// The demands.
const (
	Idle   Demand = iota // no session
	Paused               // the vehicle pauses: it needs an offer, to be able to resume
	Wants                // as much as possible
)

// Member is one connector of a group.
type Member struct {
	Most      charge.MilliAmps // that the connector can ever have
	Safe      charge.MilliAmps // without a grant; Most if it has no safe current
	Demand    Demand
	Reachable bool // it can be commanded
	Busy      bool // the result of a command is pending
	Hold      Holding
}

// Why is the reason for the share of a member.
type Why string

// The reasons.
const (
	WhyIdle        Why = "idle"        // no session
	WhyServed      Why = "served"      // it has its share
	WhyTurn        Why = "turn"        // there is not enough for 6 A each: it waits for its turn
	WhyUnconfirmed Why = "unconfirmed" // it has not confirmed its share
	WhyOthers      Why = "others"      // it waits until others have confirmed less
	WhyUnreachable Why = "unreachable" // it counts with what it may draw
)

// Decision is what follows for one member.
type Decision struct {
	Share charge.MilliAmps
	Why   Why
	Send  Grant // to be sent now; zero: none
}

// Plan decides on the share of each member, and on the grants to send now. A grant is
// sent only if what all members may draw stays within the fuse at every moment from
// now on, whichever of the grants arrive: lower ones come first, and higher ones follow
// when those are confirmed.
func Plan(now charge.Time, fuse charge.MilliAmps, members []Member) []Decision {
	g := group{now: now, fuse: fuse, members: slices.Clone(members)}
	for i := range g.members {
		g.members[i].Hold.Trim(now)
	}
	out := g.shares()
	for _, raising := range []bool{false, true} {
		for i := range g.members {
			m := &g.members[i]
			if m.Reachable && !m.Busy && raising == (out[i].Share > m.Hold.Bound(now, m.Safe)) {
				g.grant(i, &out[i])
			}
		}
	}
	for i := range g.members {
		g.explain(&g.members[i], &out[i])
	}
	return out
}

// group is one Plan.
type group struct {
	now     charge.Time
	fuse    charge.MilliAmps
	members []Member
}

// shares distributes what the members that cannot be reached leave. Those without a
// session keep their safe current if the others need nothing of it, else they have
// nothing.
func (g *group) shares() []Decision {
	out := make([]Decision, len(g.members))
	demands := make([]charge.MilliAmps, len(g.members))
	free, all := g.fuse, charge.MilliAmps(0)
	for i := range g.members {
		m := &g.members[i]
		switch {
		case !m.Reachable:
			out[i].Share = m.reserve(g.now)
			free -= out[i].Share
			continue
		case m.Demand == Wants:
			demands[i] = max(m.Most, MinCurrent)
		case m.Demand == Paused:
			demands[i] = MinCurrent
		default:
			all += m.Safe
		}
		all += demands[i]
	}
	for i, share := range Distribute(free, demands, int64(g.now)/turnLength.Milliseconds()) {
		m := &g.members[i]
		switch {
		case !m.Reachable:
		case m.Demand == Idle && all <= free:
			out[i].Share = m.Safe
		default:
			out[i].Share = share
		}
	}
	return out
}

// reserve returns the most that a member may draw from now on if it gets no message.
func (m *Member) reserve(now charge.Time) charge.MilliAmps {
	most := max(m.Safe, m.Hold.Bound(now, m.Safe))
	for _, at := range m.Hold.changes() {
		if at > now {
			most = max(most, m.Hold.Bound(at, m.Safe))
		}
	}
	return most
}

// grant decides whether a member gets a new grant of its share now.
func (g *group) grant(i int, d *Decision) {
	m := &g.members[i]
	life, renew := lowLife, lowRenew
	if d.Share > m.Safe {
		life, renew = highLife, highRenew
	}
	h := &m.Hold
	held := h.Confirmed != Grant{} && len(h.Sent)+len(h.Old) == 0
	switch {
	case d.Share == m.Safe && (h.Empty() || held && (h.Confirmed.Limit == m.Safe || h.Confirmed.Limit < m.Safe && m.Demand == Idle)):
		return // it has the safe current, or will have it without a command
	case held && h.Confirmed.Limit == d.Share && h.Confirmed.Until >= g.now.Add(renew):
		return
	}
	if until := g.longest(i, d.Share, g.now.Add(life)); until != 0 {
		d.Send = Grant{d.Share, until}
		h.Add(d.Send)
	}
}

// longest returns the latest end, up to until, of a grant that keeps the group within
// its fuse at every moment from now on; zero: none is possible. Where the group may
// exceed its fuse already, because an operator lowered it or a charging point started
// again, the grant must not add to it.
func (g *group) longest(i int, limit charge.MilliAmps, until charge.Time) charge.Time {
	m := &g.members[i]
	moments, others := g.others(i)
	lowest := m.Hold.lowest(g.now, m.Safe)
	for until >= g.now.Add(minLife) {
		with, next := m.Hold, Grant{limit, until}
		with.Add(next)
		k := slices.IndexFunc(moments, func(t charge.Time) bool {
			has := with.Bound(t, m.Safe)
			raises := limit > lowest && next.possible(t)
			return has+others[t] > g.fuse && (raises || has > m.Hold.Bound(t, m.Safe))
		})
		if k < 0 {
			return until
		}
		until = min(moments[k], until).Add(-late) // over before that moment
	}
	return 0
}

// others returns the moments from now on at which the group may change, sorted, and
// what all members but one may draw then.
func (g *group) others(i int) ([]charge.Time, map[charge.Time]charge.MilliAmps) {
	moments := []charge.Time{g.now}
	for j := range g.members {
		for _, t := range g.members[j].Hold.changes() {
			if t > g.now {
				moments = append(moments, t)
			}
		}
	}
	slices.Sort(moments)
	moments = slices.Compact(moments)
	sums := make(map[charge.Time]charge.MilliAmps, len(moments))
	for _, t := range moments {
		for j := range g.members {
			if j != i {
				sums[t] += g.members[j].Hold.Bound(t, g.members[j].Safe)
			}
		}
	}
	return moments, sums
}

// explain sets the reason for the share of a member.
func (g *group) explain(m *Member, d *Decision) {
	has := m.Hold.Bound(g.now, m.Safe)
	switch {
	case !m.Reachable:
		d.Why = WhyUnreachable
	case m.Demand == Idle:
		d.Why = WhyIdle
	case m.Busy || d.Send != Grant{} || has > d.Share:
		d.Why = WhyUnconfirmed
	case d.Share < MinCurrent:
		d.Why = WhyTurn
	case has < d.Share:
		d.Why = WhyOthers
	default:
		d.Why = WhyServed
	}
}
