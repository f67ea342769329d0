package orders_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// chaos lets drivers, operators, charging points, links and Central itself act at
// random.
type chaos struct {
	*world
	r     *rapid.T
	asked map[string]charge.Time
	n     int
	saved *backup
	since []func() // the drivers' requests since the backup was made
}

func (c *chaos) cp() charge.CPID {
	return charge.CPID(fmt.Sprintf("CP_%d", rapid.IntRange(1, len(c.agents)).Draw(c.r, "cp")))
}

func (c *chaos) user() charge.Username {
	return charge.Username(rapid.SampledFrom([]string{"ana", "bob", "eve"}).Draw(c.r, "user"))
}

func (c *chaos) message() string {
	c.n++
	m := fmt.Sprintf("m-%d", c.n)
	c.asked[m] = c.now
	return m
}

// driver sends a request, and repeats it if Central is restored from a backup that
// was made before.
func (c *chaos) driver(what wire.DriverEventType, cp charge.CPID) {
	m, user, at := c.message(), c.user(), c.now
	c.request(m, what, user, cp, at)
	c.since = append(c.since, func() {
		if _, ok := c.answer(m); !ok {
			c.asked[m] = c.now // it counts from its reading
		}
		c.request(m, what, user, cp, at)
	})
}

func (c *chaos) act() {
	id, k := c.cp(), charge.ConnectorID(rapid.IntRange(1, 2).Draw(c.r, "connector"))
	a, o := c.agents[id], c.outlet(id, k)
	a.cp.Now = c.now
	switch rapid.IntRange(0, 17).Draw(c.r, "act") {
	case 0, 1:
		c.driver(wire.DriverAuthorization, "")
	case 2:
		c.driver(wire.DriverAuthorization, id)
	case 3:
		c.driver(wire.DriverStarted, id)
	case 4:
		c.driver(wire.DriverStop, id)
	case 5:
		if o.Plugged {
			a.cp.Unplug(k)
		} else {
			a.plug(k, c.now)
		}
	case 16:
		b := c.backup()
		c.saved, c.since = &b, nil
	case 17:
		if c.saved != nil {
			c.restore(*c.saved)
			for _, again := range c.since {
				again()
			}
		}
	case 6:
		c.noCommands[id] = !c.noCommands[id]
	case 7:
		c.noRecords[id] = !c.noRecords[id]
	case 8:
		c.slow[id] = charge.Time(rapid.SampledFrom([]int{0, 300, 1700, 6000, 20_000}).Draw(c.r, "slow"))
	case 9:
		if c.live[id] = ledger.Online; rapid.Bool().Draw(c.r, "away") {
			c.live[id] = ledger.Offline
		}
	case 10:
		if len(o.Faults) == 0 {
			a.fault(k, charge.FaultOvercurrent)
		} else {
			a.cp.Clear(k)
		}
	case 11:
		a.boot()
	case 12:
		c.restart()
	case 13:
		c.operator(orders.OperatorAvailability{Target: rapid.SampledFrom([]orders.Target{{}, {CPID: id}, {CPID: id, Connector: k}}).Draw(c.r, "target"), Available: rapid.Bool().Draw(c.r, "available")})
	case 14:
		for rid := range c.reservations {
			c.operator(orders.OperatorCancel{ReservationID: rid})
			break
		}
	case 15:
		a.refuse = rapid.SampledFrom([]string{"", "faulted"}).Draw(c.r, "refuse")
	}
	c.pass(charge.Time(rapid.SampledFrom([]int{0, 1, 100, 1499, 1500, 5000, 61_000, 901_000}).Draw(c.r, "pass")))
}

// heal ends all faults.
func (c *chaos) heal() {
	for id, a := range c.agents {
		c.noCommands[id], c.noRecords[id], c.slow[id], a.refuse = false, false, 0, ""
		c.back(id)
	}
}

func (c *chaos) answered() {
	c.r.Helper()
	for m, at := range c.asked {
		ev, ok := c.answer(m)
		switch {
		case !ok && c.now > at+5000:
			c.r.Fatalf("message %s of %s is not answered at %s", m, at, c.now)
		case ok && ev.Timestamp.Time() > at+5000:
			c.r.Fatalf("message %s answered after %d ms", m, ev.Timestamp.Time()-at)
		}
	}
}

// Whatever happens, every request is answered within 5 s, there is one reservation
// per connector and driver at a time (checked at each step), no command is sent
// at or after its expiry (checked at each sending), nothing is reserved after its
// expiry, and after all faults the desired state comes about and nothing waits.
func TestWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		c := &chaos{world: newWorld(r, 2, 2, orders.Config{PerDriver: rapid.IntRange(1, 2).Draw(r, "limit")}), r: r, asked: map[string]charge.Time{}}
		for range rapid.IntRange(1, 30).Draw(r, "acts") {
			c.act()
			c.answered()
			for id := range c.agents {
				for k, x := range c.CP(id).Connectors {
					if c.CP(id).Status(k, c.now) == charge.StatusReserved && x.Held.Until <= c.now {
						r.Fatalf("%s/%d is reserved past its end", id, k)
					}
				}
			}
		}
		c.heal()
		c.pass(300_000)
		c.answered()
		c.converged()
		c.pass(3_600_000)
		if d := c.state.NextDeadline(); d != 0 {
			r.Fatalf("something waits for ever: due at %s; desired %+v %+v, commands %+v %+v", d,
				c.state.Desired("CP_1"), c.state.Desired("CP_2"), c.state.Commands("CP_1"), c.state.Commands("CP_2"))
		}
	})
}

func (c *chaos) converged() {
	c.r.Helper()
	for _, t := range []orders.Target{{CPID: "CP_1", Connector: 1}, {CPID: "CP_1", Connector: 2}, {CPID: "CP_2", Connector: 1}, {CPID: "CP_2", Connector: 2}} {
		id, o := t, c.outlet(t.CPID, t.Connector)
		if want, ok := c.state.DesiredAvailability(t); ok && want != o.Available {
			c.r.Fatalf("%v: available %v, wanted %v", id, o.Available, want)
		}
		r, reserved := c.state.Reserved(t, c.now)
		switch {
		case reserved && (o.Held == nil || o.Held.ReservationID != r.ID) && len(o.Faults) == 0:
			c.r.Fatalf("%v: %s is wanted, held is %+v", id, r.ID, o.Held)
		case !reserved && o.Held != nil:
			c.r.Fatalf("%v: %+v is held, nothing is wanted", id, *o.Held)
		}
		for _, w := range c.state.Desired(t.CPID) {
			if w.Kind == orders.DesiredStop && o.Session == w.SessionID {
				c.r.Fatalf("%v: session %s runs, and is to stop", id, w.SessionID)
			}
		}
	}
}

// The connector that has been idle longest is always tried first: n requests over
// n free points use each exactly once, in the order in which they became idle.
func TestFairness(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(r, "cps")
		w := newWorld(r, n, 1, orders.Config{})
		var order []charge.CPID
		for i := range n {
			order = append(order, charge.CPID(fmt.Sprintf("CP_%d", i+1)))
		}
		for round := range rapid.IntRange(1, 12).Draw(r, "rounds") {
			m := fmt.Sprintf("m-%d", round)
			w.asks(m, charge.Username(m), "")
			a := w.mustAnswer(m)
			if !*a.Authorized || a.CPID != order[0] {
				r.Fatalf("round %d: got %s %s, want %s, idle longest", round, a.CPID, a.Reason, order[0])
			}
			w.now += charge.Time(rapid.IntRange(1, 1000).Draw(r, "ms"))
			w.operator(orders.OperatorCancel{ReservationID: a.ReservationID})
			order = append(order[1:], order[0])
			w.now++
		}
	})
}
