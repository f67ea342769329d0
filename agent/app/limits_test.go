package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// limit waits until telemetry reports a limit of connector 1.
func (p *point) limit(mA charge.MilliAmps, by charge.LimitOwner) {
	p.t.Helper()
	p.within(6*time.Second, "limited by "+string(by), func() bool {
		c := p.agent.Status().Connectors[0]
		return c.Limit != nil && *c.Limit == mA && c.LimitBy == by
	})
}

// current waits until the vehicle draws what a limit allows.
func (p *point) current(mA charge.MilliAmps) {
	p.t.Helper()
	want := charge.Watts(int64(mA) * 3 * 230 / 1000)
	p.within(6*time.Second, "power", func() bool {
		got := p.outlet().Power
		return got <= want && got > want*9/10 || got == 0 && want == 0
	})
}

// TestLimits: the vehicle follows SET_LIMIT, and the safe current before and after
// it; a pause leaves the session open; the agent may be killed meanwhile.
func TestLimits(t *testing.T) {
	change := func(c *app.Config, hw *sim.Config) {
		c.Limits.Safe, c.Policies.Resume, c.Policies.StartDelay = 8_000, true, 0
		hw.MaxCurrent = 32_000
	}
	play(t, change, func(p *point) {
		t := p.t
		set := func(mA charge.MilliAmps, life time.Duration) {
			t.Helper()
			want(t, p.order(1, &wire.SetLimit{Limit: mA, Until: charge.At(time.Now().Add(life))}), wire.ResultDone, "")
		}
		p.start()
		p.ready()
		p.limit(8_000, charge.LimitSafe)
		p.do(p.board.Plug(1))
		want(t, p.order(1, &wire.Start{SessionID: "s1", Username: "driver1"}), wire.ResultDone, "")
		p.status(2*time.Second, charge.StatusCharging)
		p.current(8_000)
		set(50_000, time.Hour)
		p.limit(32_000, charge.LimitConnector)
		p.current(32_000)
		set(16_000, time.Hour)
		p.limit(16_000, charge.LimitCommand)
		p.current(16_000)
		set(5_000, time.Minute)
		p.status(3*time.Second, charge.StatusSuspendedEVSE)
		p.current(0)
		p.kill()
		p.start()
		p.ready()
		p.limit(5_000, charge.LimitCommand)
		p.status(5*time.Second, charge.StatusSuspendedEVSE)
		p.within(70*time.Second, "charging by the safe current", func() bool { return p.reports() == charge.StatusCharging })
		p.limit(8_000, charge.LimitSafe)
		p.current(8_000)
		want(t, p.order(1, &wire.Stop{SessionID: "s1"}), wire.ResultDone, "")
		accounted(t, p, 1)
		var why []string
		for _, s := range payloads[*wire.Suspended](t, p.disk) {
			why = append(why, s.By+" "+s.Reason)
		}
		if got := strings.Join(why, ", "); !strings.HasPrefix(got, "evse limited") || strings.Contains(got, "ev ") {
			t.Errorf("suspended by %q", got)
		}
	})
}

// TestALimitThatCannotBeKept: the pilot of this board does not steer the vehicle.
func TestALimitThatCannotBeKept(t *testing.T) {
	play(t, func(c *app.Config, hw *sim.Config) {
		c.Limits.Max, hw.Steered, hw.MaxCurrent = 16_000, false, 32_000
	}, func(p *point) {
		p.start()
		time.Sleep(time.Minute)
		if err := p.stop(nil); err == nil || !strings.Contains(err.Error(), "limits.max_ma is 16000 mA") {
			p.t.Errorf("got %v", err)
		}
	})
}
