package orders_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/supply"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// newSupply returns a world of two charging points with one connector each of 32 A and a
// safe current of 6 A, a group of all of them, and a fuse.
func newSupply(t *testing.T, fuse charge.MilliAmps) (*world, orders.GroupID) {
	t.Helper()
	w := newWorld(t, 2, 1, orders.Config{})
	g := orders.Group{Name: "hall", Limit: fuse}
	for id := range w.agents {
		c := w.CP(id).Connectors[1]
		c.Most, c.Safe = 32_000, 6000
		g.CPs = append(g.CPs, id)
	}
	r := w.operator(orders.OperatorSaveGroup{Group: g})
	if r.Refused != "" || r.GroupID == "" {
		t.Fatalf("group: %+v", r)
	}
	return w, r.GroupID
}

// charges makes a session run at CP_1, as records would.
func (w *world) charges() {
	c := w.CP("CP_1").Connectors[1]
	c.Session, c.Phase, c.Plugged = "s-1", charge.StatusCharging, true
}

// granted returns the limits that were sent to a charging point, in order.
func (w *world) granted(t *testing.T, id charge.CPID) (all []charge.MilliAmps) {
	t.Helper()
	for _, c := range w.sent {
		var o wire.SetLimit
		if c.Type != wire.CommandSetLimit || c.CPID != id {
			continue
		}
		if err := json.Unmarshal(c.Data, &o); err != nil {
			t.Fatal(err)
		}
		all = append(all, o.Limit)
	}
	return all
}

func last(all []charge.MilliAmps) charge.MilliAmps {
	if len(all) == 0 {
		return -1
	}
	return all[len(all)-1]
}

// TestALimitThatIsTooLateIsNotInForce: a charging point whose clock is ahead does nothing
// that it is ordered. Its grants do not count, however often they are repeated, and they
// are not repeated each second.
func TestALimitThatIsTooLateIsNotInForce(t *testing.T) {
	t.Parallel()
	w, _ := newSupply(t, 20_000)
	w.agents["CP_2"].ahead = time.Hour
	w.charges()
	w.pass(120_000)
	if n := len(w.granted(t, "CP_2")); n < 2 || n > 13 {
		t.Errorf("%d commands in 2 min, want one each 10 s", n)
	}
	hold := w.members[orders.Target{CPID: "CP_2", Connector: 1}].Hold
	if len(hold.Sent) > 1 {
		t.Errorf("%d grants may be in force, want the last one at most", len(hold.Sent))
	}
}

// TestSupplyIsLent: a session gets what the others do not need, after they confirmed
// less, and not before a restored Central knows all grants.
func TestSupplyIsLent(t *testing.T) {
	t.Parallel()
	w, _ := newSupply(t, 20_000)
	w.charges()
	w.pass(10_000)
	if got := w.granted(t, "CP_2"); last(got) != 0 {
		t.Fatalf("CP_2 was granted %v, want 0", got)
	}
	if got := w.granted(t, "CP_1"); len(got) != 0 {
		t.Fatalf("CP_1 was granted %v, before all grants of an earlier run are over", got)
	}
	w.pass(charge.Time(supply.Unknown.Milliseconds()))
	if got := w.granted(t, "CP_1"); last(got) != 20_000 {
		t.Fatalf("CP_1 was granted %v, want 20000", got)
	}
	m := w.members[orders.Target{CPID: "CP_1", Connector: 1}]
	if m.Why != supply.WhyServed || m.Share != 20_000 || m.Hold.Confirmed.Limit != 20_000 {
		t.Fatalf("%+v", m)
	}
	// A silent one counts with its safe current: the session gives it back.
	w.live["CP_2"] = ledger.Offline
	w.pass(10_000)
	if got := w.granted(t, "CP_1"); last(got) != 14_000 {
		t.Fatalf("CP_1 was granted %v, want 14000 at last", got)
	}
	if m := w.members[orders.Target{CPID: "CP_2", Connector: 1}]; m.Why != supply.WhyUnreachable || m.Share != 6000 {
		t.Fatalf("%+v", m)
	}
	w.restart()
	w.pass(10_000)
	if got := w.members[orders.Target{CPID: "CP_1", Connector: 1}]; got.Hold.Confirmed.Limit != 14_000 {
		t.Fatalf("after a restart: %+v", got)
	}
}

// TestAQuietGroupCostsNothing: when no session runs any more, each connector is left to its
// safe current. A grant of that much is not renewed: its end changes nothing.
func TestAQuietGroupCostsNothing(t *testing.T) {
	t.Parallel()
	w, _ := newSupply(t, 20_000)
	w.charges()
	w.pass(2 * charge.Time(supply.Unknown.Milliseconds()))
	if got := w.granted(t, "CP_1"); last(got) != 20_000 {
		t.Fatalf("CP_1 was granted %v, want 20000 at last", got)
	}
	c := w.CP("CP_1").Connectors[1]
	c.Session, c.Phase, c.Plugged = "", charge.StatusAvailable, false
	w.pass(1_200_000)
	before := len(w.ofType(wire.CommandSetLimit))
	w.pass(3_600_000)
	if n := len(w.ofType(wire.CommandSetLimit)) - before; n != 0 {
		t.Errorf("%d commands in an hour without a session", n)
	}
}

// TestACentralWhoseClockJumps: no grant is trusted to last until its end by the new
// clock. The lent one is given again before it is over, and nothing above the fuse
// follows from it meanwhile.
func TestACentralWhoseClockJumps(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"back": -5 * time.Minute, "ahead": 3 * time.Minute, "far ahead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := newSupply(t, 20_000)
			w.charges()
			w.pass(charge.Time((supply.Unknown + 20*time.Second).Milliseconds()))
			if m := w.members[orders.Target{CPID: "CP_1", Connector: 1}]; m.Hold.Confirmed.Limit != 20_000 {
				t.Fatalf("before: %+v", m)
			}
			hold := func(id charge.CPID) (charge.MilliAmps, supply.Holding) {
				m := w.members[orders.Target{CPID: id, Connector: 1}]
				return m.Hold.Bound(w.now, m.Safe), m.Hold
			}
			w.noRecords["CP_2"] = true
			w.now = w.now.Add(by)
			n := len(w.granted(t, "CP_1"))
			w.pass(10_000)
			if bound, h := hold("CP_2"); bound != 6000 || h.Confirmed != (supply.Grant{}) {
				t.Errorf("CP_2 counts with %d mA by a grant of another clock: %+v", bound, h)
			}
			if got := w.granted(t, "CP_1")[n:]; len(got) != 0 {
				t.Errorf("CP_1 was granted %v while it is not known what CP_2 has", got)
			}
			delete(w.noRecords, "CP_2")
			w.pass(60_000)
			if bound, h := hold("CP_2"); bound != 0 || h.Confirmed.Limit != 0 || h.Confirmed.Until > w.now.Add(10*time.Minute) {
				t.Errorf("CP_2 counts with %d mA: %+v", bound, h)
			}
			if bound, h := hold("CP_1"); bound != 20_000 || h.Confirmed.Limit != 20_000 {
				t.Errorf("CP_1 counts with %d mA: %+v", bound, h)
			}
		})
	}
}

func TestGroupsAreRefused(t *testing.T) {
	t.Parallel()
	w, id := newSupply(t, 12_000)
	for _, c := range []struct {
		name string
		g    orders.Group
		want string
	}{
		{"a version that is over", orders.Group{ID: id, Version: 2, Name: "hall", Limit: 32_000, CPs: []charge.CPID{"CP_1"}}, orders.RefusedGroupChanged},
		{"a fuse below the safe currents", orders.Group{ID: id, Version: 1, Name: "hall", Limit: 11_999, CPs: []charge.CPID{"CP_1", "CP_2"}}, orders.RefusedSafeSum},
		{"a charging point of another group", orders.Group{Name: "yard", Limit: 32_000, CPs: []charge.CPID{"CP_1"}}, orders.RefusedInGroup},
		{"an unknown charging point", orders.Group{ID: id, Version: 1, Name: "hall", Limit: 32_000, CPs: []charge.CPID{"CP_9"}}, wire.RefusedUnknownCP},
		{"an unknown group", orders.Group{ID: "none", Name: "hall", Limit: 32_000}, orders.RefusedUnknownGroup},
		{"fewer charging points", orders.Group{ID: id, Version: 1, Name: "hall", Limit: 6000, CPs: []charge.CPID{"CP_2"}}, ""},
		{"a second operator, of the version before", orders.Group{ID: id, Version: 1, Name: "hall", Limit: 7000, CPs: []charge.CPID{"CP_2"}}, orders.RefusedGroupChanged},
	} {
		if r := w.operator(orders.OperatorSaveGroup{Group: c.g}); r.Refused != c.want {
			t.Errorf("%s: %+v, want %q", c.name, r, c.want)
		}
	}
	w.CP("CP_1").Connectors[1].Safe = 0
	if r := w.operator(orders.OperatorSaveGroup{Group: orders.Group{Name: "yard", Limit: 32_000, CPs: []charge.CPID{"CP_1"}}}); r.Refused != orders.RefusedNoSafe {
		t.Errorf("no safe current: %+v", r)
	}
	if r := w.operator(orders.OperatorDeleteGroup{ID: id, Version: 1}); r.Refused != orders.RefusedGroupChanged {
		t.Errorf("delete what was changed meanwhile: %+v", r)
	}
	if r := w.operator(orders.OperatorDeleteGroup{ID: id, Version: 2}); r.Refused != "" {
		t.Errorf("delete: %+v", r)
	}
	if r := w.operator(orders.OperatorDeleteGroup{ID: id, Version: 3}); r.Refused != orders.RefusedUnknownGroup {
		t.Errorf("deleted twice: %+v", r)
	}
}
