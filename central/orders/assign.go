package orders

import (
	"cmp"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// unresponsiveFor is how long a connector is tried last after its charging point
// did not confirm a reservation.
const unresponsiveFor = 30 * time.Second

// candidate is a connector that may be reserved.
type candidate struct {
	Target
	idle         charge.Time // since when
	unresponsive bool
	plugged      bool
}

// choose picks the connector to try next for a request: the one that has been idle
// longest, unresponsive ones last. Connectors tried before are left out. Without a
// charging point in the request, connectors with a plugged vehicle are left out
// too. refusal is the reason if there is none.
func (x *step) choose(q *Request, replace bool) (t Target, refusal string) {
	var best candidate
	consider := func(c candidate) {
		if !slices.Contains(q.Tried, c.Target) && (best.CPID == "" || compareCandidates(c, best) < 0) {
			best = c
		}
	}
	refusal = wire.RefusedNoneFree
	if q.CPID != "" {
		refusal = x.eachFree(x.v.CP(q.CPID), replace, consider)
	} else {
		for cp := range x.v.CPs() {
			x.eachFree(cp, replace, func(c candidate) {
				if !c.plugged { // another driver's vehicle
					consider(c)
				}
			})
		}
	}
	if best.CPID == "" {
		return Target{}, cmp.Or(refusal, wire.RefusedBusy)
	}
	return best.Target, ""
}

// compareCandidates orders candidates: responsive first, then the longest idle, then
// by name, so that the order is total.
func compareCandidates(a, b candidate) int {
	if a.unresponsive != b.unresponsive {
		if a.unresponsive {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(a.idle, b.idle), cmp.Compare(a.CPID, b.CPID), cmp.Compare(a.Connector, b.Connector))
}

// eachFree calls visit for the connectors of a charging point that may be reserved
// now, in any order. refusal is the reason if there are none, "" otherwise.
//
// With replace, an ended reservation that the charging point may still hold does
// not count, because RESERVE names what it replaces. START does not.
func (x *step) eachFree(cp *ledger.CP, replace bool, visit func(candidate)) (refusal string) {
	switch {
	case cp == nil || !cp.Admitted:
		return wire.RefusedUnknownCP
	case cp.Forked():
		return wire.RefusedNotAvailable
	case cp.CurrentJournal == "" || x.v.Liveness(cp.ID, x.At) == ledger.Offline:
		return wire.RefusedUnreachable
	}
	refusal = wire.RefusedNotAvailable
	anyFree := false
	for _, c := range cp.Connectors {
		free, inService := x.reservable(cp, c, replace)
		if inService {
			refusal = wire.RefusedBusy
		}
		if free {
			t := Target{cp.ID, c.ID}
			at, silent := x.s.unresponsive[t]
			visit(candidate{t, c.IdleSince, silent && x.At < at.Add(unresponsiveFor), c.Plugged})
			anyFree = true
		}
	}
	if anyFree {
		return ""
	}
	return refusal
}

// reservable reports whether a connector may be reserved, and whether it is in
// service at all. A vehicle that is plugged in without a session does not matter:
// it may be the driver's own.
func (x *step) reservable(cp *ledger.CP, c *ledger.Connector, replace bool) (free, inService bool) {
	t := Target{cp.ID, c.ID}
	held := x.s.reservations[c.Held.ID]
	over := replace && held != nil && held.EndedAt != 0
	if wanted, ok := x.s.DesiredAvailability(t); ok && !wanted {
		return false, false
	}
	switch cp.Status(c.ID, x.At) {
	case charge.StatusFaulted, charge.StatusUnavailable, charge.StatusOffline:
		return false, false
	case charge.StatusReserved:
		if !over {
			return false, true
		}
	case charge.StatusCharging, charge.StatusSuspendedEV, charge.StatusSuspendedEVSE:
		return false, true
	case charge.StatusAvailable, charge.StatusPreparing, charge.StatusFinishing:
	}
	p := x.s.points[cp.ID]
	if p == nil {
		return true, true
	}
	unknown := 0 // ended reservations that are not known to be released
	for _, r := range p.reservations {
		if r.Connector != c.ID {
			continue
		}
		if unknown++; r.EndedAt == 0 || !replace || unknown >= maxReplaced {
			return false, true
		}
	}
	for _, d := range p.desired {
		if d.Kind == DesiredStart && d.Connector == c.ID {
			return false, true
		}
	}
	return true, true
}
