package connector_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// A session that finds another meter at the boot, or wakes up in another box,
// ends at the last register that was its own, whatever the policy; what this
// boot's meter says is believed where the time away explains it.
func TestSessionMeetsAnotherMeter(t *testing.T) {
	t.Parallel()
	const at = charge.Time(1_800_000_000_000)
	for _, tc := range []struct {
		name     string
		register charge.WattHours
		away     time.Duration
		clock    charge.ClockQuality
		stop     charge.WattHours
		anomaly  bool
	}{
		{"a moment later", 5010, time.Second, charge.ClockSynced, 5010, false},
		{"a meter that gained what an hour explains", 100_000, time.Hour, charge.ClockSynced, 100_000, false},
		{"a meter far ahead", 900_000, time.Minute, charge.ClockSynced, 5000, true},
		{"a meter that begins anew", 3, time.Minute, charge.ClockSynced, 5000, true},
		{"a meter far ahead, nobody knows how much later", 900_000, time.Minute, charge.ClockUnset, 900_000, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			now := connector.Now{Wall: at.Add(tc.away), Clock: tc.clock}
			saved := connector.Saved{
				Connector: 1, Register: 5000, At: at,
				Session: connector.SavedSession{ID: "s1", Username: "anna", Start: 4000, Started: true},
			}
			s, _ := connector.Step(connector.State{}, connector.Booted{
				Now: now, ID: 1, Policy: connector.Policy{Rated: 150_000}, Saved: saved, Pilot: charge.PilotB,
				Reading: connector.Reading{Import: tc.register}, Read: true,
			})
			_, effects := connector.Step(s, connector.Registered{Now: now})
			var stopped *wire.ChargingStopped
			var anomaly bool
			for _, e := range effects {
				a, ok := e.(connector.Append)
				if !ok {
					continue
				}
				for _, r := range a.Records {
					switch p := r.Payload.(type) {
					case *wire.ChargingStopped:
						stopped = p
					case *wire.AnomalySeen:
						anomaly = true
					}
				}
			}
			if stopped == nil || stopped.Start != 4000 || stopped.Register != tc.stop || anomaly != tc.anomaly {
				t.Errorf("got %+v and an anomaly %v, want it stopped at %d Wh and an anomaly %v", stopped, anomaly, tc.stop, tc.anomaly)
			}
		})
	}
}
