package orders

import (
	"cmp"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// unresponsiveFor is how long one that did not confirm a reservation is asked last.
const unresponsiveFor = 30 * time.Second

// candidate is a connector that may be reserved.
type candidate struct {
	Target
	idle         charge.Time
	unresponsive bool
	plugged      bool
}

// choose picks the connector to ask for a request: who was idle longest, those
// that were silent a moment ago last. refusal says why there is none.
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
				if !c.plugged { // somebody's vehicle
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

func compareCandidates(a, b candidate) int {
	if a.unresponsive != b.unresponsive {
		if a.unresponsive {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(a.idle, b.idle), cmp.Compare(a.CPID, b.CPID), cmp.Compare(a.Connector, b.Connector))
}

// eachFree visits the connectors of a charging point that may be reserved now, in
// any order; refusal says why there are none, "" if there are.
//
// With replace, a reservation that is over does not hinder, although the
// charging point may still hold it: RESERVE names what it replaces. START does
// not.
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
// service at all. A vehicle that is plugged in without a session does not
// hinder: it may be the driver's own.
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
	unknown := 0 // reservations that are over, and not yet known to be let go
	for _, r := range p.reservations {
		if r.Connector != c.ID {
			continue
		}
		if unknown++; r.EndedAt == 0 || !replace || unknown >= maxReplaced {
			return false, true
		}
	}
	for _, w := range p.desired {
		if w.Kind == DesiredStart && w.Connector == c.ID {
			return false, true
		}
	}
	return true, true
}
