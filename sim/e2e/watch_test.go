package e2e_test

import (
	"context"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Limits that the invariants allow.
const (
	reservedFor         = 15 * time.Minute // duration of a reservation
	reservationSlack    = 5 * time.Second  // of the agent's timer for its end
	contactorOpenWithin = time.Second      // from the agent's end to the open contactor
)

// watchInvariants checks the whole network each second until the world ends:
// nothing is reserved past its end, neither for Central nor for the charging
// point; no contactor is closed without a vehicle, an agent and a session.
func (w *world) watchInvariants() {
	w.t.Helper()
	w.run("watch", func(ctx context.Context) error {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		v := invariants{w: w, reserved: map[charge.CPID]time.Duration{}, unauthorized: map[charge.CPID]time.Duration{}, reported: map[string]bool{}}
		for {
			select {
			case <-tick.C:
				v.check() //nolint:contextcheck // a check has a timeout of its own
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// invariants is the state of the checks.
type invariants struct {
	w            *world
	reserved     map[charge.CPID]time.Duration // for how long the agent has shown it as reserved
	unauthorized map[charge.CPID]time.Duration // for how long a contactor has been closed without a session
	reported     map[string]bool
	checks       int
}

// violate reports each kind of violation once.
func (v *invariants) violate(kind, format string, args ...any) {
	if !v.reported[kind] {
		v.reported[kind] = true
		v.w.t.Errorf("%s: "+format, append([]any{time.Now().UTC().Format(time.TimeOnly)}, args...)...)
	}
}

func (v *invariants) check() {
	v.checkCentral()
	for _, p := range v.w.points {
		v.reserved[p.id] = longer(v.reserved[p.id], p.shown().Status == charge.StatusReserved)
		if d := v.reserved[p.id]; d > reservedFor+reservationSlack {
			v.violate("agent reserved", "%s has shown itself as reserved for %s", p.id, d)
		}
		o := p.outlet()
		v.unauthorized[p.id] = longer(v.unauthorized[p.id], o.Closed && (!p.alive.Load() || !o.Plugged || p.shown().SessionID == ""))
		if d := v.unauthorized[p.id]; d > contactorOpenWithin {
			v.violate("closed", "the contactor of %s has been closed for %s: agent %v, session %q, %+v", p.id, d, p.alive.Load(), p.shown().SessionID, o)
		}
	}
}

func (v *invariants) checkCentral() {
	n, up := v.w.network()
	if !up {
		return
	}
	now := charge.At(time.Now())
	for _, cp := range n.CPs {
		for _, c := range cp.Connectors {
			if c.Status == charge.StatusReserved && c.ReservedUntil <= now.Add(-time.Second) {
				v.violate("shown reserved", "%s is shown as reserved until %s", cp.ID, c.ReservedUntil)
			}
		}
	}
	if v.checks++; v.checks%5 != 0 { // the list takes longer than the view
		return
	}
	for _, r := range items[reservation](v.w, "/reservations") {
		if r.State == "active" && r.ExpiresAt <= now.Add(-time.Second) {
			v.violate("active", "reservation %s is active and was to end at %s", r.ID, r.ExpiresAt)
		}
		if left := r.ExpiresAt.Sub(now); left > reservedFor {
			v.violate("long", "reservation %s is to live for %s more", r.ID, left)
		}
	}
}

// part returns the state of a part as Central's page shows it.
func (w *world) part(name string) part {
	w.t.Helper()
	n, _ := w.network()
	for _, p := range n.Parts {
		if p.Name == name {
			return p
		}
	}
	w.t.Fatalf("the page does not show %s", name)
	return part{}
}
