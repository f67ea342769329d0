package point_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/limits"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// limitOf is the limit that the last step gave to connector n; false: it gave none.
func limitOf(r *rig, n charge.ConnectorID) (charge.Limit, bool) {
	for _, f := range r.effects {
		if f, ok := f.(point.LimitCurrent); ok && f.Connector == n {
			return f.Limit, true
		}
	}
	return charge.Limit{}, false
}

func (r *rig) wantLimit(n charge.ConnectorID, mA charge.MilliAmps, by charge.LimitOwner) {
	r.t.Helper()
	if got, ok := limitOf(r, n); !ok || got != (charge.Limit{Current: mA, By: by}) {
		r.t.Errorf("connector %d: got %+v, want %d of %s; %+v", n, got, mA, by, r.effects)
	}
}

// TestLimits: the safe current applies from the boot to the first SET_LIMIT, and after
// its end; a command is in force in the step that receives it.
func TestLimits(t *testing.T) {
	r := start(t, 2, func(c *point.Config, _ *point.Recovered) {
		c.Limits, c.MaxCurrent = limits.Policy{Most: 20_000, Safe: 8_000}, 32_000
	})
	reg, err := r.records[0].Payload()
	if c := reg.(*wire.Registered).Connectors[1]; err != nil || c.Most != 20_000 || c.Safe != 8_000 {
		t.Errorf("registered with %+v, %v", c, err)
	}
	until := r.now().Wall.Add(10*time.Minute + 30*time.Second) // between two telemetries
	r.order(1, &wire.SetLimit{Limit: 16_000, Until: until})
	r.wantLimit(1, 16_000, charge.LimitCommand)
	if _, some := limitOf(r, 2); some {
		t.Error("the other connector is limited too")
	}
	r.settled()
	r.order(1, &wire.SetLimit{Limit: 16_000, Until: until})
	if _, some := limitOf(r, 1); some {
		t.Error("the same limit is a change")
	}
	r.order(0, &wire.SetLimit{Limit: 0, Until: until})
	r.wantLimit(1, 0, charge.LimitCommand)
	r.wantLimit(2, 0, charge.LimitCommand)
	r.settled()
	var timer point.SetTimer
	for r.at = 9 * time.Minute; r.at < 10*time.Minute+28*time.Second; r.at += time.Second {
		r.step(point.TimerFired{})
		if _, some := limitOf(r, 1); some {
			t.Fatalf("ended at %s", r.at)
		}
		if f, some := has[point.SetTimer](r); some {
			timer = f
		}
	}
	if end := until.Sub(r.now().Wall) + r.at; timer.At != end {
		t.Errorf("the next timer is at %s, want the end at %s", timer.At, end)
	}
	r.at = timer.At
	r.step(point.TimerFired{})
	r.wantLimit(1, 8_000, charge.LimitSafe)
	r.wantLimit(2, 8_000, charge.LimitSafe)
}

// TestALimitSurvivesARestart, with what is left of its time.
func TestALimitSurvivesARestart(t *testing.T) {
	r := start(t, 1, nil)
	r.order(1, &wire.SetLimit{Limit: 7_000, Until: r.now().Wall.Add(time.Hour)})
	r.settled()
	r.at += 20 * time.Minute
	r.order(1, &wire.Stop{SessionID: "none"}) // a record of a later time
	r.settled()
	saved := []connector.Saved{{Connector: 1}, {}}
	for _, rec := range r.records {
		for i := range saved {
			saved[i] = connector.Replay(saved[i], rec)
		}
	}
	raw, err := connector.Checkpoint(saved)
	if err != nil {
		t.Fatal(err)
	}
	if saved, err = connector.Restore(raw, nil, 1); err != nil {
		t.Fatal(err)
	}
	again := start(t, 1, func(c *point.Config, found *point.Recovered) {
		c.Limits.Safe, found.Saved = 8_000, saved
	})
	if l := again.first; len(l) != 1 || l[0] != (point.LimitCurrent{Connector: 1, Limit: charge.Limit{Current: 7_000, By: charge.LimitCommand}}) {
		t.Errorf("at the boot: %+v", l)
	}
	again.at = 39 * time.Minute
	again.step(point.TimerFired{})
	if _, some := limitOf(again, 1); some {
		t.Error("ended early")
	}
	again.at = 40*time.Minute + time.Second
	again.step(point.TimerFired{})
	again.wantLimit(1, 8_000, charge.LimitSafe)
}

func TestNoLimitWhileTheAgentStops(t *testing.T) {
	r := start(t, 1, nil)
	r.step(point.Shutdown{})
	r.order(1, &wire.SetLimit{Limit: 8_000, Until: r.now().Wall.Add(time.Hour)})
	r.settled()
	if s := r.story(); s != "cp_registered SET_LIMIT_rejected_stopping" {
		t.Error(s)
	}
}

// TestTelemetryHasTheLimit that the control loop applies.
func TestTelemetryHasTheLimit(t *testing.T) {
	r := start(t, 2, nil)
	r.step(point.LimitApplied{Connector: 2, Limit: charge.Limit{By: charge.LimitCommand}})
	r.step(point.LimitApplied{Connector: 3, Limit: charge.Limit{By: charge.LimitCommand}}) // there is none
	tel := r.core.View().Telemetry(&point.Config{}, connector.Now{})
	if c := tel.Connectors[0]; c.Limit != nil || c.LimitBy != "" {
		t.Errorf("got %+v", c)
	}
	if c := tel.Connectors[1]; c.Limit == nil || *c.Limit != 0 || c.LimitBy != charge.LimitCommand {
		t.Errorf("got %+v, want 0 by the command", c)
	}
}
