package connector_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// A session that finds another meter at boot, or another charging point,
// ends at the last register that was its own, whatever the policy; what this
// boot's meter shows is accepted where the time away explains it.
func TestSessionEndsAtAnotherMeter(t *testing.T) {
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
		{"a meter that begins at zero", 3, time.Minute, charge.ClockSynced, 5000, true},
		{"a meter far ahead, an unknown time later", 900_000, time.Minute, charge.ClockUnset, 900_000, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			now := connector.Now{Wall: at.Add(tc.away), Clock: tc.clock}
			saved := connector.Saved{
				Connector: 1, Register: 5000, RegisterAt: at,
				Session: connector.SavedSession{ID: "s1", Username: "anna", StartRegister: 4000, Started: true},
			}
			s, _ := connector.Step(connector.State{}, connector.Booted{
				Now: now, ID: 1, Policy: connector.Policy{Rated: 150_000}, Saved: saved, Pilot: charge.PilotB,
				Reading: connector.Reading{Import: tc.register}, HasReading: true,
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
			if stopped == nil || stopped.Start != 4000 || stopped.Register != tc.stop || stopped.OtherMeter != tc.anomaly || anomaly != tc.anomaly {
				t.Errorf("got %+v and an anomaly %v, want it stopped at %d Wh and an anomaly %v", stopped, anomaly, tc.stop, tc.anomaly)
			}
		})
	}
}

// Two starts in a row: what the meter gained is checked by the time since its
// register was written down, not since the last record, which may be that of a
// start that got no further.
func TestSessionFindsItsOwnMeterAtTheSecondStart(t *testing.T) {
	t.Parallel()
	const at = charge.Time(1_800_000_000_000)
	saved := connector.Saved{Connector: 1}
	for i, p := range []wire.Payload{
		&wire.Authorized{By: wire.GrantOrder, Username: "anna", Register: 4000},
		&wire.ChargingStarted{Register: 4000},
		&wire.MeterRead{Register: 5000},
		&wire.Registered{Connectors: []wire.ConnectorState{{Connector: 1, Status: charge.StatusSuspendedEVSE, Register: new(charge.WattHours(7500)), SessionID: "s1"}}},
	} {
		rec, err := wire.NewRecord(p)
		if err != nil {
			t.Fatal(err)
		}
		rec.CPID, rec.Journal, rec.Seq, rec.Clock, rec.At = "CP_1", "j1", charge.Seq(i+1), charge.ClockSynced, at.Add(time.Duration(i)*time.Minute)
		if rec.Connector, rec.SessionID = 1, "s1"; rec.Type == wire.TypeRegistered {
			rec.Connector, rec.SessionID, rec.Journal, rec.Seq, rec.At = 0, "", "j2", 1, at.Add(12*time.Minute)
		}
		saved = connector.Replay(saved, rec)
	}
	now := connector.Now{Wall: at.Add(12*time.Minute + 2*time.Second), Clock: charge.ClockSynced}
	s, _ := connector.Step(connector.State{}, connector.Booted{
		Now: now, ID: 1, Policy: connector.Policy{Rated: 22_000}, Saved: saved, Pilot: charge.PilotB,
		Reading: connector.Reading{Import: 7500}, HasReading: true,
	})
	_, effects := connector.Step(s, connector.Registered{Now: now})
	for _, e := range effects {
		if a, ok := e.(connector.Append); ok {
			for _, r := range a.Records {
				if p, ok := r.Payload.(*wire.ChargingStopped); ok && p.Register == 7500 {
					return
				}
			}
		}
	}
	t.Errorf("effects are %+v, want the session stopped at 7500 Wh", effects)
}
