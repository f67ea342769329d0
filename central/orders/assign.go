package orders

import (
	"cmp"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// silentFor is how long one that did not confirm a reservation is asked last.
const silentFor = 30 * time.Second

// candidate is a connector that may be reserved.
type candidate struct {
	Target
	idle   charge.Time
	silent bool
}

// choose picks the connector to ask for a request: who was idle longest, those
// that were silent a moment ago last. refusal says why there is none.
func (x *step) choose(q *Request) (t Target, refusal string) {
	var list []candidate
	refusal = wire.RefusedNoneFree
	if q.CPID != "" {
		list, refusal = x.candidatesAt(q.CPID)
	} else {
		for cp := range x.v.CPs() {
			more, _ := x.candidatesAt(cp.ID)
			list = append(list, slices.DeleteFunc(more, func(c candidate) bool {
				return cp.Status(c.Connector, x.At) != charge.StatusAvailable // somebody's vehicle is plugged in
			})...)
		}
	}
	list = slices.DeleteFunc(list, func(c candidate) bool { return slices.Contains(q.Asked, c.Target) })
	if len(list) == 0 {
		return Target{}, cmp.Or(refusal, wire.RefusedBusy)
	}
	return slices.MinFunc(list, longestIdle).Target, ""
}

func longestIdle(a, b candidate) int {
	if a.silent != b.silent {
		if a.silent {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(a.idle, b.idle), cmp.Compare(a.CPID, b.CPID), cmp.Compare(a.Connector, b.Connector))
}

// candidatesAt are the connectors of a charging point that may be reserved now,
// and why there are none.
func (x *step) candidatesAt(id charge.CPID) (list []candidate, refusal string) {
	cp := x.v.CP(id)
	switch {
	case cp == nil || !cp.Admitted:
		return nil, wire.RefusedUnknownCP
	case cp.Forked():
		return nil, wire.RefusedNotAvailable
	case cp.Present == "" || x.v.Live(id, x.At) == ledger.Offline:
		return nil, wire.RefusedUnreachable
	}
	refusal = wire.RefusedNotAvailable
	for _, c := range byNumber(cp.Connectors) {
		free, inService := x.free1(cp, c)
		if inService {
			refusal = wire.RefusedBusy
		}
		if free {
			t := Target{id, c.ID}
			at, silent := x.s.silent[t]
			list = append(list, candidate{t, c.IdleSince, silent && x.At < at.Add(silentFor)})
		}
	}
	return list, refusal
}

// free1 reports whether a connector may be reserved, and whether it is in
// service at all. A vehicle that is plugged in without a session does not
// hinder: it may be the driver's own.
func (x *step) free1(cp *ledger.CP, c *ledger.Connector) (free, inService bool) {
	t := Target{cp.ID, c.ID}
	if wanted, ok := x.s.Wanted(t); ok && !wanted {
		return false, false
	}
	switch cp.Status(c.ID, x.At) {
	case charge.StatusFaulted, charge.StatusUnavailable, charge.StatusOffline:
		return false, false
	case charge.StatusReserved, charge.StatusCharging, charge.StatusSuspendedEV, charge.StatusSuspendedEVSE:
		return false, true
	case charge.StatusAvailable, charge.StatusPreparing, charge.StatusFinishing:
	}
	p := x.s.points[cp.ID]
	if p == nil {
		return true, true
	}
	for _, r := range p.reservations { // active, or not yet known to be let go
		if r.Connector == c.ID {
			return false, true
		}
	}
	for _, w := range p.wishes {
		if w.Kind == WishStart && w.Connector == c.ID {
			return false, true
		}
	}
	return true, true
}
