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

// do performs a step of the plan.
func (w *World) do(s Step) {
	a := w.points[s.Who%len(w.points)]
	o := a.hw[max(s.N, 0)%len(a.hw)]
	t := orders.Target{CPID: a.id, Connector: o.id}
	c := newChance(w.plan.Seed, fmt.Sprint("step ", s.At, s.Kind))
	switch s.Kind { //nolint:exhaustive // the others are harm
	case Visit:
		w.visitor(s)
	case Stranger:
		w.stranger(o, c)
	case StopAll:
		w.stop(orders.Target{}, s.For)
	case StopOne:
		if c.IntN(2) == 0 {
			t.Connector = 0
		}
		w.stop(t, s.For)
	case Reserve:
		w.operator(orders.AskReserve{Target: t, Username: "guest"}, func(r orders.Reply) {
			if r.Refused == "" && c.IntN(2) == 0 {
				w.after(c.in(span{0, w.plan.ReservationLife * 5 / 4}), "guest comes", func() { w.stranger(o, c) })
				w.after(c.in(span{0, w.plan.ReservationLife}), "guest starts", func() {
					w.operator(orders.AskStart{Target: t, Username: "guest"}, nil)
				})
			}
		})
	case Cancel:
		if id := w.anyReservation(c); id != "" {
			w.operator(orders.AskCancel{ReservationID: id}, nil)
		}
	case StartHere:
		w.operator(orders.AskStart{Target: t, Username: "walker"}, nil)
		if c.IntN(4) > 0 {
			w.after(c.in(span{0, 3 * time.Minute}), "walker comes", func() { w.stranger(o, c) })
		}
	case StopSession:
		if id := w.anySession(c); id != "" {
			w.operator(orders.AskStop{SessionID: id}, nil)
		}
	case Settle:
		w.settleSilent(20)
	case Break:
		f := breakable()[s.N%len(breakable())]
		a.known.broke(f)
		o.breakDown(f)
		w.after(s.For, "repaired", o.repair)
	case BreakByHand:
		w.operator(orders.AskSimulate{Target: t, Action: wire.SimulateFault, Fault: charge.FaultOther}, nil)
		w.after(s.For, "repaired", func() {
			w.operator(orders.AskSimulate{Target: t, Action: wire.SimulateRepair}, nil)
		})
		w.after(s.For+5*time.Minute, "repaired by hand", o.repair)
	default:
		w.harm(s, c)
	}
}

// breakable are the faults of hardware.
func breakable() []charge.Fault {
	return []charge.Fault{
		charge.FaultEmergencyStop, charge.FaultGroundFault, charge.FaultOvercurrent, charge.FaultOvertemperature, charge.FaultContactorWelded,
		charge.FaultContactorStuck, charge.FaultMeter, charge.FaultPilot, charge.FaultSafetyInput, charge.FaultOther,
	}
}

// stranger plugs in without asking, and leaves.
func (w *World) stranger(o *outlet, c chance) {
	if w.healed || !o.plug(charge.WattHours(500+c.IntN(8000)), 11_000) {
		return
	}
	w.stats.Plugs++
	n := o.visit
	w.after(c.in(span{time.Second, 15 * time.Minute}), "stranger leaves", func() {
		if o.visit == n && o.plugged {
			o.unplug()
		}
	})
}

// stop takes something out of service, and back.
func (w *World) stop(t orders.Target, d time.Duration) {
	w.operator(orders.AskAvailability{Target: t}, nil)
	w.after(d, "resume", func() { w.resume(t) })
}

// resume asks until somebody takes it.
func (w *World) resume(t orders.Target) {
	if c := w.inCharge(); c == nil {
		w.after(10*time.Second, "resume", func() { w.resume(t) })
		return
	}
	served := false
	w.operator(orders.AskAvailability{Target: t, Available: true}, func(r orders.Reply) { served = r.Refused == "" || r.Refused == wire.RefusedUnknownCP })
	w.after(10*time.Second, "resume", func() {
		if !served {
			w.resume(t)
		}
	})
}

func (w *World) anyReservation(c chance) charge.ReservationID {
	x := w.inCharge()
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
	return all[c.IntN(len(all))]
}

// settleSilent settles the first session whose charging point is not heard; if
// there is none, it looks again a few times.
func (w *World) settleSilent(tries int) {
	if c := w.inCharge(); c != nil && c.run.wait == 0 {
		for _, id := range sortedKeys(c.db.sessions) {
			s := c.db.sessions[id]
			if s.State != ledger.SessionOpen {
				continue
			}
			if link, _ := c.run.live.liveness(s.CPID, c.now()); link == ledger.Offline {
				c.run.give(&asked{settle: id, cp: s.CPID, answer: func(orders.Reply) {}})
				return
			}
		}
	}
	if tries > 0 {
		w.after(15*time.Second, "operator looks for silence", func() { w.settleSilent(tries - 1) })
	}
}

func (w *World) anySession(c chance) charge.SessionID {
	for _, i := range c.Perm(len(w.points)) {
		if b := w.points[i].run; b != nil {
			for _, m := range b.machines {
				if id := m.state.Session.ID; id != "" {
					return id
				}
			}
		}
	}
	return ""
}
