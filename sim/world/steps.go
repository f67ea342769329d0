package world

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

func localStop(n connector.Now) connector.Event { return connector.LocalStop{Now: n} }

// perform performs a step of the plan.
func (w *World) perform(s Step) {
	a := w.agents[s.Target%len(w.agents)]
	o := a.outlets[max(s.N, 0)%len(a.outlets)]
	t := orders.Target{CPID: a.id, Connector: o.id}
	rng := newRandom(w.plan.Seed, fmt.Sprint("step ", s.At, s.Kind))
	switch s.Kind { //nolint:exhaustive // the others are harm
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
	case Break:
		f := breakable()[s.N%len(breakable())]
		a.truth.noteFault(f)
		o.breakDown(f)
		w.after(s.For, "repaired", o.repair)
	case BreakByHand:
		w.operator(orders.OperatorSimulate{Target: t, Action: wire.SimulateFault, Fault: charge.FaultOther}, nil)
		w.after(s.For, "repaired", func() {
			w.operator(orders.OperatorSimulate{Target: t, Action: wire.SimulateRepair}, nil)
		})
		w.after(s.For+5*time.Minute, "repaired by hand", o.repair)
	default:
		w.injectFault(s, rng)
	}
}

// breakable are the faults of hardware.
func breakable() []charge.Fault {
	return []charge.Fault{
		charge.FaultEmergencyStop, charge.FaultGroundFault, charge.FaultOvercurrent, charge.FaultOvertemperature, charge.FaultContactorWelded,
		charge.FaultContactorStuck, charge.FaultMeter, charge.FaultPilot, charge.FaultSafetyInput, charge.FaultOther,
	}
}

// plugInStranger plugs in without asking, and leaves.
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

// makeUnavailable takes something out of service, and back.
func (w *World) makeUnavailable(t orders.Target, d time.Duration) {
	w.operator(orders.OperatorAvailability{Target: t}, nil)
	w.after(d, "resume", func() { w.makeAvailable(t) })
}

// makeAvailable asks until somebody takes it.
func (w *World) makeAvailable(t orders.Target) {
	if c := w.activeCentral(); c == nil {
		w.after(10*time.Second, "resume", func() { w.makeAvailable(t) })
		return
	}
	served := false
	w.operator(orders.OperatorAvailability{Target: t, Available: true}, func(r orders.Reply) { served = r.Refused == "" || r.Refused == wire.RefusedUnknownCP })
	w.after(10*time.Second, "resume", func() {
		if !served {
			w.makeAvailable(t)
		}
	})
}

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

// settleSilent settles the first session whose charging point is not heard; if
// there is none, it looks again a few times.
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
		w.after(15*time.Second, "operator looks for silence", func() { w.settleSilent(tries - 1) })
	}
}

func (w *World) anySession(rng random) charge.SessionID {
	for _, i := range rng.Perm(len(w.agents)) {
		if b := w.agents[i].run; b != nil {
			for _, m := range b.machines {
				if id := m.state.Session.ID; id != "" {
					return id
				}
			}
		}
	}
	return ""
}
