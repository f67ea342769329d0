package supply_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/supply"
	"github.com/carga-ev/carga/internal/charge"
)

func TestDistribute(t *testing.T) {
	for _, c := range []struct {
		name    string
		current charge.MilliAmps
		period  int64
		demands []charge.MilliAmps
		want    []charge.MilliAmps
	}{
		{"equal", 32000, 0, []charge.MilliAmps{32000, 32000}, []charge.MilliAmps{16000, 16000}},
		{"what one does not need goes to the others", 32000, 0, []charge.MilliAmps{32000, 6000, 0}, []charge.MilliAmps{26000, 6000, 0}},
		{"small demand last", 40000, 0, []charge.MilliAmps{32000, 32000, 8000}, []charge.MilliAmps{16000, 16000, 8000}},
		{"by turns, first", 16000, 0, []charge.MilliAmps{32000, 32000, 32000}, []charge.MilliAmps{8000, 8000, 0}},
		{"by turns, second", 16000, 1, []charge.MilliAmps{32000, 32000, 32000}, []charge.MilliAmps{8000, 0, 8000}},
		{"by turns, third", 16000, 2, []charge.MilliAmps{32000, 32000, 32000}, []charge.MilliAmps{0, 8000, 8000}},
		{"not enough for one", 5999, 0, []charge.MilliAmps{32000}, []charge.MilliAmps{0}},
		{"nothing", -1, 0, []charge.MilliAmps{32000}, []charge.MilliAmps{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := supply.Distribute(c.current, c.demands, c.period); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestDistributeIsFair checks the rules for any demands: never above the current,
// none below 6 A, none gets more than another that demands as much, unless by
// turns; and over all turns each is served equally often.
func TestDistributeIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		current := charge.MilliAmps(rapid.Int64Range(0, 200_000).Draw(t, "current"))
		demands := rapid.SliceOfN(rapid.Map(rapid.SampledFrom([]int64{0, 6000, 10_000, 16_000, 32_000, 63_000}),
			func(n int64) charge.MilliAmps { return charge.MilliAmps(n) }), 1, 12).Draw(t, "demands")
		n := int64(0)
		for _, d := range demands {
			if d > 0 {
				n++
			}
		}
		served := make([]int, len(demands))
		for turn := range max(n, 1) {
			shares := supply.Distribute(current, demands, turn)
			sum, most := charge.MilliAmps(0), charge.MilliAmps(0)
			for i, s := range shares {
				sum += s
				if s != 0 {
					served[i]++
					most = max(most, s)
				}
				if s != 0 && s < supply.MinCurrent || s > demands[i] {
					t.Fatalf("share %d of demand %d: %v", s, demands[i], shares)
				}
			}
			if sum > current {
				t.Fatalf("sum %d of %v is above %d", sum, shares, current)
			}
			left := charge.MilliAmps(0)
			for i, s := range shares {
				if s == 0 || s >= demands[i] {
					continue
				}
				left = current - sum
				if s < most-charge.MilliAmps(len(demands)) && most > s+1 {
					t.Fatalf("a share of %d does not meet its demand, and another has %d: %v of %v", s, most, shares, demands)
				}
			}
			if left >= charge.MilliAmps(len(demands)) {
				t.Fatalf("%d mA are left over, and a demand is not met: %v of %v", left, shares, demands)
			}
		}
		for i := range demands {
			for j := range demands {
				if demands[i] > 0 && demands[j] > 0 && served[i] != served[j] {
					t.Fatalf("served %v times over all turns", served)
				}
			}
		}
	})
}

// world is a group of charging points that lose, delay and repeat messages.
type world struct {
	t       *rapid.T
	now     charge.Time
	skew    time.Duration // of Central's clock
	fuse    charge.MilliAmps
	members []supply.Member
	points  []point
}

// point is a charging point as it is: the grant it obeys and when that ends for it.
type point struct {
	limit   charge.MilliAmps
	until   charge.Time
	was     charge.MilliAmps // what the vehicle drew before
	wasTo   charge.Time      // and until when it may
	command *command
}

// command is a grant on its way, then its result on its way back.
type command struct {
	grant    supply.Grant
	life     time.Duration
	sentAt   charge.Time
	executed bool
	lost     bool
}

// draw is what a connector draws at most.
func (w *world) draw(i int) charge.MilliAmps {
	p, has := &w.points[i], w.members[i].Safe
	if w.now < p.until {
		has = p.limit
	}
	if w.now < p.wasTo {
		has = max(has, p.was)
	}
	return has
}

// central is the time by Central's clock.
func (w *world) central() charge.Time { return w.now.Add(w.skew) }

// step lets the group do what Central and the charging points do in one second.
func (w *world) step(plan func(charge.Time, charge.MilliAmps, []supply.Member) []supply.Decision) {
	for i, d := range plan(w.central(), w.fuse, w.members) {
		m, p := &w.members[i], &w.points[i]
		if d.Send == (supply.Grant{}) {
			continue
		}
		m.Hold.Add(d.Send)
		m.Busy = true
		p.command = &command{grant: d.Send, life: d.Send.Until.Sub(w.central()), sentAt: w.now}
	}
	for i := range w.points {
		w.deliver(i)
	}
	sum := charge.MilliAmps(0)
	for i := range w.points {
		sum += w.draw(i)
	}
	if sum > w.fuse {
		w.t.Fatalf("at %v the connectors may draw %d mA, above the fuse of %d mA: %+v", w.now.Std().Format(time.TimeOnly), sum, w.fuse, w.members)
	}
}

// deliver moves the command of a charging point one step on, at random.
func (w *world) deliver(i int) {
	m, p := &w.members[i], &w.points[i]
	c := p.command
	if c == nil {
		return
	}
	dice := rapid.IntRange(0, 9).Draw(w.t, "delivery")
	switch {
	case !c.executed && w.now >= c.sentAt.Add(60*time.Second):
		c.lost = true // it has expired
		fallthrough
	case c.executed && !c.lost && w.now >= c.sentAt.Add(10*time.Minute), c.lost:
		m.Busy, p.command = false, nil // Central ends it without a result
	case !m.Reachable || dice < 3: // delayed
	case !c.executed && dice == 3:
		m.Hold.Refuse(c.grant)
		m.Busy, p.command = false, nil
	case !c.executed:
		p.was, p.wasTo = w.draw(i), w.now.Add(5*time.Second)
		p.limit = c.grant.Limit
		p.until = c.sentAt.Add(c.life + time.Duration(rapid.IntRange(-30, 119).Draw(w.t, "clock"))*time.Second)
		c.executed = true
	case dice > 4:
		m.Hold.Confirm(c.grant, m.Safe, w.central())
		m.Busy, p.command = false, nil
	}
}

// disturb changes sessions and connections, restarts charging points and Central, and
// sets Central's clock.
func (w *world) disturb() {
	i := rapid.IntRange(0, len(w.members)-1).Draw(w.t, "member")
	m, p := &w.members[i], &w.points[i]
	switch rapid.IntRange(0, 9).Draw(w.t, "what") {
	case 0, 1, 2:
		m.Demand = supply.Demand(rapid.IntRange(0, 2).Draw(w.t, "demand"))
	case 3, 4:
		m.Reachable = !m.Reachable
	case 5: // it starts again, and keeps its grant, up to its safe current
		p.limit, p.command, m.Busy = min(p.limit, m.Safe), nil, false
		m.Hold.Doubt()
	case 6: // Central starts again, maybe with a clock that was set back meanwhile
		w.skew -= w.jump()
		for j := range w.members {
			w.members[j].Busy, w.points[j].command = false, nil
			w.members[j].Hold.Distrust(w.central())
		}
	case 7, 8: // its clock is set back, or ahead
		by := -w.jump()
		if rapid.Bool().Draw(w.t, "ahead") {
			by = 2*time.Minute - by
		}
		w.skew += by
		for j := range w.members {
			w.members[j].Hold.ClockJumped(w.central())
		}
	}
}

// jump is by how much a clock is set.
func (w *world) jump() time.Duration {
	return rapid.SampledFrom([]time.Duration{0, 2 * time.Second, 3 * time.Minute, 11 * time.Minute, 24 * time.Hour}).Draw(w.t, "jump")
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, now: 1_780_000_000_000}
	safe := charge.MilliAmps(0)
	for range rapid.IntRange(1, 5).Draw(t, "members") {
		m := supply.Member{
			Most: 32_000, Safe: charge.MilliAmps(rapid.SampledFrom([]int64{1, 6000, 10_000}).Draw(t, "safe")), Reachable: true,
			Demand: supply.Demand(rapid.IntRange(0, 2).Draw(t, "demand")),
		}
		safe += m.Safe
		w.members, w.points = append(w.members, m), append(w.points, point{})
	}
	w.fuse = safe + charge.MilliAmps(rapid.Int64Range(0, 60_000).Draw(t, "more"))
	return w
}

// TestNeverAboveTheFuse lets messages be lost, delayed and answered late, connections
// and sessions come and go, charging points and Central start again, and Central's
// clock jump.
func TestNeverAboveTheFuse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range 400 {
			if rapid.IntRange(0, 19).Draw(t, "disturb") == 0 {
				w.disturb()
			}
			w.step(supply.Plan)
			w.now = w.now.Add(time.Duration(rapid.SampledFrom([]int{1, 1, 1, 5, 20, 60}).Draw(t, "seconds")) * time.Second)
		}
	})
}

// TestSharesComeAbout checks that without disturbances each member gets its share, and
// then keeps it.
func TestSharesComeAbout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.now = w.now - w.now%charge.Time((15*time.Minute).Milliseconds()) + 1 // a turn begins
		answer := func(seconds int) {
			for range seconds {
				for i, d := range supply.Plan(w.now, w.fuse, w.members) {
					if m := &w.members[i]; d.Send != (supply.Grant{}) {
						m.Hold.Add(d.Send)
						m.Hold.Confirm(d.Send, m.Safe, w.now)
					}
				}
				w.now = w.now.Add(time.Second)
			}
		}
		answer(20)
		for range 12 * 60 {
			answer(1)
			for i, d := range supply.Plan(w.now, w.fuse, w.members) {
				m := &w.members[i]
				if has := m.Hold.Bound(w.now, m.Safe); has != d.Share && (m.Demand != supply.Idle || has > d.Share) {
					t.Fatalf("member %d has %d mA, its share is %d mA (%s): %+v", i, has, d.Share, d.Why, w.members)
				}
			}
		}
	})
}
