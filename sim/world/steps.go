package world

import (
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// perform performs a step of the plan: what people do, and what breaks. All other
// kinds are faults of the infrastructure.
func (w *World) perform(s Step) {
	a := w.agents[s.Target%len(w.agents)]
	o := a.outlets[max(s.N, 0)%len(a.outlets)]
	t := orders.Target{CPID: a.id, Connector: o.id}
	rng := newRandom(w.plan.Seed, fmt.Sprint("step ", s.At, s.Kind))
	switch s.Kind { //nolint:exhaustive // the others are faults
	case Visit:
		w.startVisit(s)
	case Stranger:
		w.plugInStranger(o, rng)
	case StopAll:
		w.makeUnavailable(orders.Target{}, s.For)
	case StopOne:
		if rng.IntN(2) == 0 {
			t.Connector = 0
		}
		w.makeUnavailable(t, s.For)
	case Reserve:
		w.operator(orders.OperatorReserve{Target: t, Username: "guest"}, func(r orders.Reply) {
			// Half of the reserved drivers come, some of them too late.
			if r.Refused == "" && rng.IntN(2) == 0 {
				w.after(rng.between(span{0, w.plan.ReservationLife * 5 / 4}), "guest comes", func() { w.plugInStranger(o, rng) })
				w.after(rng.between(span{0, w.plan.ReservationLife}), "guest starts", func() {
					w.operator(orders.OperatorStart{Target: t, Username: "guest"}, nil)
				})
			}
		})
	case Cancel:
		if id := w.anyReservation(rng); id != "" {
			w.operator(orders.OperatorCancel{ReservationID: id}, nil)
		}
	case StartHere:
		w.operator(orders.OperatorStart{Target: t, Username: "walker"}, nil)
		if rng.IntN(4) > 0 {
			w.after(rng.between(span{0, 3 * time.Minute}), "walker comes", func() { w.plugInStranger(o, rng) })
		}
	case StopSession:
		if id := w.anySession(rng); id != "" {
			w.operator(orders.OperatorStop{SessionID: id}, nil)
		}
	case Settle:
		w.settleSilent(20)
	case Tap:
		w.tap(a, o, rng)
	case IssueCard:
		w.issueCard(rng)
	case BlockCard:
		w.blockCard(rng)
	case ChangeGroup:
		w.changeGroup(s.N, 40)
	case Break:
		f := breakable()[s.N%len(breakable())]
		// The command SIMULATE notes it when it is executed, see boot.simulate.
		a.truth.noteFault(f)
		o.breakDown(f)
		w.after(s.For, "repaired", o.repair)
	case BreakByHand:
		w.operator(orders.OperatorSimulate{Target: t, Order: wire.Simulate{Action: wire.SimulateFault, Fault: charge.FaultOther}}, nil)
		w.after(s.For, "repaired", func() {
			w.operator(orders.OperatorSimulate{Target: t, Order: wire.Simulate{Action: wire.SimulateRepair}}, nil)
		})
		w.after(s.For+5*time.Minute, "repaired by hand", o.repair)
	default:
		w.disturbed(s)
		w.loseGrants(s)
		w.injectFault(s, rng)
	}
}

// breakable returns the faults that hardware can have.
func breakable() []charge.Fault {
	return []charge.Fault{
		charge.FaultEmergencyStop, charge.FaultGroundFault, charge.FaultOvercurrent, charge.FaultOvertemperature, charge.FaultContactorWelded,
		charge.FaultContactorStuck, charge.FaultMeter, charge.FaultPilot, charge.FaultSafetyInput, charge.FaultOther,
	}
}

// plugInStranger plugs in a vehicle without any request, and unplugs it later.
func (w *World) plugInStranger(o *outlet, rng random) {
	if w.healed || !o.plug(charge.WattHours(500+rng.IntN(8000)), 11_000) {
		return
	}
	w.stats.Plugs++
	n := o.vehicleGen
	w.after(rng.between(span{time.Second, 15 * time.Minute}), "stranger leaves", func() {
		if o.vehicleGen == n && o.plugged {
			o.unplug()
		}
	})
}

// makeUnavailable takes a charging point or connector out of service for a while.
func (w *World) makeUnavailable(t orders.Target, d time.Duration) {
	w.operator(orders.OperatorAvailability{Target: t}, nil)
	w.after(d, "make available", func() { w.makeAvailable(t) })
}

// makeAvailable requests availability until a Central accepts it: otherwise the
// charging point would stay out of service to the end of the run.
func (w *World) makeAvailable(t orders.Target) {
	if c := w.activeCentral(); c == nil {
		w.after(10*time.Second, "make available", func() { w.makeAvailable(t) })
		return
	}
	// A refusal because of storage or a lost reply is repeated; an unknown charging
	// point has nothing to make available.
	served := false
	w.operator(orders.OperatorAvailability{Target: t, Available: true}, func(r orders.Reply) { served = r.Refused == "" || r.Refused == wire.RefusedUnknownCP })
	w.after(10*time.Second, "make available", func() {
		if !served {
			w.makeAvailable(t)
		}
	})
}

// anyReservation returns an active reservation; "" if there is none.
func (w *World) anyReservation(rng random) charge.ReservationID {
	x := w.activeCentral()
	if x == nil {
		return ""
	}
	var all []charge.ReservationID
	for _, id := range sortedKeys(x.db.reservations) {
		if r := x.db.reservations[id]; r.Active(x.now()) {
			all = append(all, id)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return all[rng.IntN(len(all))]
}

// settleSilent settles the first open session whose charging point is offline. If
// there is none it tries again later.
func (w *World) settleSilent(tries int) {
	if c := w.activeCentral(); c != nil && c.run.retryWait == 0 {
		for _, id := range sortedKeys(c.db.sessions) {
			s := c.db.sessions[id]
			if s.State != ledger.SessionOpen {
				continue
			}
			if link, _ := c.run.live.of(s.CPID, c.now()); link == ledger.Offline {
				c.run.submit(&operatorInput{settle: id, cp: s.CPID, answer: func(orders.Reply) {}})
				return
			}
		}
	}
	if tries > 0 {
		w.after(15*time.Second, "operator looks for offline charging points", func() { w.settleSilent(tries - 1) })
	}
}

// anySession returns an open session of any agent; "" if there is none.
func (w *World) anySession(rng random) charge.SessionID {
	for _, i := range rng.Perm(len(w.agents)) {
		if b := w.agents[i].run; b != nil && b.view != nil {
			for k := range b.view.Connectors {
				if id := b.view.Connectors[k].Session.ID; id != "" {
					return id
				}
			}
		}
	}
	return ""
}

// operator sends a request to the active Central, if there is one. answer may be nil.
func (w *World) operator(a orders.OperatorRequest, answer func(orders.Reply)) {
	c := w.activeCentral()
	if c == nil {
		return
	}
	w.stats.Operators++
	c.run.submit(&operatorInput{ask: a, answer: func(r orders.Reply) {
		if r.Refused == "" {
			w.stats.OperatorsServed++
		}
		if answer != nil {
			answer(r)
		}
	}})
}

// activeCentral returns the Central that is active, the latest of several; nil for none.
func (w *World) activeCentral() *central {
	for _, c := range slices.Backward(w.centrals) {
		if c.run != nil && c.run.active() {
			return c
		}
	}
	return nil
}

// agentOf returns the agent of a charging point; nil if it has none.
func (w *World) agentOf(id charge.CPID) *agent {
	for _, a := range w.agents {
		if a.id == id {
			return a
		}
	}
	return nil
}
