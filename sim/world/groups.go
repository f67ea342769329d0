package world

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// This file is the fuse that all charging points of some runs share, and what must hold
// then, whether an operator has made a group of them or not:
//
//   - G1: what all connectors may draw is at no moment above the fuse.

const (
	// follows is how long a vehicle may take to follow a lower limit (IEC 61851-1).
	follows = 5 * time.Second
	// grantsKnown is how long after a loss that ADR 33 does not cover G1 is not checked:
	// a restart, and the longest life of a grant.
	grantsKnown = 30 * time.Minute
)

// drawGroup puts all charging points behind one fuse in half of the runs, and adds what
// an operator does with their group. It has a random source of its own, so that the
// other steps of a seed stay.
func (p *Plan) drawGroup(t tempo) {
	rng := newRandom(p.Seed, "group")
	if n := charge.MilliAmps(p.CPs * p.Connectors); n > 1 && rng.IntN(2) == 0 {
		p.Safe = [...]charge.MilliAmps{1000, 6000, 8000}[rng.IntN(3)]
		p.Fuse = n*p.Safe + charge.MilliAmps(rng.IntN(12_000*int(n)))
	}
	if p.Fuse == 0 {
		return
	}
	for at := rng.between(span{0, 30 * time.Minute}); at < p.For; at += rng.between(span{t.rarely, 4 * t.rarely}) {
		p.Steps = append(p.Steps, Step{At: at, Kind: ChangeGroup, N: rng.IntN(1 << 16)})
	}
}

// changeGroup makes the group of all charging points. If there is one, it is changed or
// deleted. It is tried again until all charging points are known.
func (w *World) changeGroup(n, tries int) {
	if w.plan.Fuse == 0 || w.healed || tries == 0 {
		return
	}
	g := orders.Group{Name: "all", Limit: w.plan.Fuse}
	for _, a := range w.agents {
		g.CPs = append(g.CPs, a.id)
	}
	request := orders.OperatorRequest(orders.OperatorSaveGroup{Group: g})
	if c := w.activeCentral(); c != nil {
		for _, id := range sortedKeys(c.db.groups) {
			switch was := c.db.groups[id]; {
			case was.Deleted:
			case n%2 == 0:
				request = orders.OperatorDeleteGroup{ID: id, Version: was.Version}
			default:
				g.ID, g.Version = id, was.Version
				request = orders.OperatorSaveGroup{Group: g}
			}
		}
	}
	done := false
	w.operator(request, func(r orders.Reply) { done = r.Refused == "" })
	w.after(30*time.Second, "operator looks at the group", func() {
		if !done {
			w.changeGroup(n, tries-1)
		}
	})
}

// setLimit notes how the core limits the current of the connector from now on.
func (o *outlet) setLimit(l charge.Limit) {
	current := l.Current
	if l.None() {
		current = maxCurrent
	}
	o.before = slices.DeleteFunc(o.before, func(p pastLimit) bool { return p.until <= o.w.now })
	if o.draws() {
		o.before = append(o.before, pastLimit{o.limit, o.w.now + follows})
	}
	o.limit = current
}

// pastLimit is a limit that is over, and that the vehicle may follow until a moment.
type pastLimit struct {
	limit charge.MilliAmps
	until time.Duration
}

// draws reports whether the connector may draw anything: not without an agent, but for
// the time until its contactor opens.
func (o *outlet) draws() bool {
	b := o.agent.run
	return b != nil && b.ready || o.closed && !o.broken.welded
}

// mayDraw is what the connector may draw.
func (o *outlet) mayDraw() charge.MilliAmps {
	if !o.draws() {
		return 0
	}
	draw := o.limit
	for _, p := range o.before {
		if o.w.now < p.until {
			draw = max(draw, p.limit)
		}
	}
	return draw
}

// checkFuse: G1.
func (w *World) checkFuse() {
	if w.plan.Fuse == 0 || w.now < w.grantsUnknown {
		return
	}
	sum, granted := charge.MilliAmps(0), false
	for _, a := range w.agents {
		for _, o := range a.outlets {
			draw := o.mayDraw()
			sum += draw
			granted = granted || draw > w.plan.Safe
		}
	}
	if granted {
		w.stats.FuseChecks++
	}
	if sum > w.plan.Fuse {
		w.violated("G1", "the connectors may draw %d mA together, above their fuse of %d mA", sum, w.plan.Fuse)
	}
}

// loseGrants notes a fault after which it may not be known what was granted, as ADR 33
// describes: the storage of a charging point or of Central is older than its grants.
func (w *World) loseGrants(s Step) {
	switch s.Kind { //nolint:exhaustive // after the others every grant is known
	case DiskBack, DiskEmpty, DiskDropsSyncs, DiskRead, Restore, TwoCentrals, Twins:
		w.grantsUnknown = max(w.grantsUnknown, w.now+2*s.For+grantsKnown)
	}
}
