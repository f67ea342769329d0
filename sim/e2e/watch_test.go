package e2e_test

import (
	"context"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Bounds that a watch holds everybody to.
const (
	reservedFor = 15 * time.Minute // a reservation lives so long
	slackOfEnd  = 5 * time.Second  // of its timer in the agent
	agentGone   = time.Second      // then its contactor is open
)

// watch looks at the whole network each second, as long as the world lives, and
// wants at every moment: nothing is reserved past its end, neither for Central
// nor for the charging point; no contactor is closed without a vehicle, or
// without an agent.
func (w *world) watch() {
	w.t.Helper()
	w.run("watch", func(ctx context.Context) error {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		v := watcher{w: w, reserved: map[charge.CPID]time.Duration{}, alone: map[charge.CPID]time.Duration{}, said: map[string]bool{}}
		for {
			select {
			case <-tick.C:
				v.look() //nolint:contextcheck // a look is bounded by itself
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// watcher is what a watch remembers.
type watcher struct {
	w        *world
	reserved map[charge.CPID]time.Duration // how long the agent has shown it so
	alone    map[charge.CPID]time.Duration // how long a contactor has been closed without right
	said     map[string]bool
	looks    int
}

// blame reports one kind of violation once.
func (v *watcher) blame(kind, format string, args ...any) {
	if !v.said[kind] {
		v.said[kind] = true
		v.w.t.Errorf("%s: "+format, append([]any{time.Now().UTC().Format(time.TimeOnly)}, args...)...)
	}
}

func (v *watcher) look() {
	v.lookAtCentral()
	for _, p := range v.w.points {
		v.reserved[p.id] = longer(v.reserved[p.id], p.shown().Status == charge.StatusReserved)
		if d := v.reserved[p.id]; d > reservedFor+slackOfEnd {
			v.blame("agent reserved", "%s has shown itself as reserved for %s", p.id, d)
		}
		o := p.outlet()
		v.alone[p.id] = longer(v.alone[p.id], o.Closed && (!p.alive.Load() || !o.Plugged || p.shown().SessionID == ""))
		if d := v.alone[p.id]; d > agentGone {
			v.blame("closed", "the contactor of %s has been closed for %s: agent %v, session %q, %+v", p.id, d, p.alive.Load(), p.shown().SessionID, o)
		}
	}
}

func (v *watcher) lookAtCentral() {
	n, up := v.w.network()
	if !up {
		return
	}
	now := charge.At(time.Now())
	for _, cp := range n.CPs {
		for _, c := range cp.Connectors {
			if c.Status == charge.StatusReserved && c.ReservedUntil <= now.Add(-time.Second) {
				v.blame("shown reserved", "%s is shown as reserved until %s", cp.ID, c.ReservedUntil)
			}
		}
	}
	if v.looks++; v.looks%5 != 0 { // the list costs more than the view
		return
	}
	for _, r := range items[reservation](v.w, "/reservations") {
		if r.State == "active" && r.ExpiresAt <= now.Add(-time.Second) {
			v.blame("active", "reservation %s is active and was to end at %s", r.ID, r.ExpiresAt)
		}
		if left := r.ExpiresAt.Sub(now); left > reservedFor {
			v.blame("long", "reservation %s is to live for %s more", r.ID, left)
		}
	}
}

// part is what the page says of one part of the chain.
func (w *world) part(name string) part {
	w.t.Helper()
	n, _ := w.network()
	for _, p := range n.Parts {
		if p.Name == name {
			return p
		}
	}
	w.t.Fatalf("the page does not speak of %s", name)
	return part{}
}
