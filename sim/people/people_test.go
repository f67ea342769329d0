package people_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/people"
)

// TestVehiclesComeAndGo: the records of a charging point move the vehicles on
// its board.
func TestVehiclesComeAndGo(t *testing.T) {
	reserved := connector.State{ID: 1, Reservation: connector.Reservation{ID: "r1", Username: "ana"}}
	started := connector.State{ID: 1, Pending: connector.PendingStart{Session: "s1", Username: "ana"}}
	for name, c := range map[string]struct {
		begin connector.State
		end   wire.Payload
	}{
		"a reservation, and the end of its session": {reserved, &wire.ChargingStopped{}},
		"a start without one, and a full vehicle":   {started, &wire.Suspended{By: "ev"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				board, err := sim.New(sim.DefaultConfig())
				if err != nil {
					t.Fatal(err)
				}
				cfg := people.DefaultConfig()
				p, err := people.New(cfg, board, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer stop()
				go p.Run(ctx)
				plugged := func(after time.Duration, want bool) {
					t.Helper()
					time.Sleep(after)
					synctest.Wait()
					if got := board.Snapshot().Connectors[0].Plugged; got != want {
						t.Errorf("plugged is %t, want %t", got, want)
					}
				}
				p.Observe(c.begin, records(&wire.CommandAccepted{}))
				plugged(cfg.Arrives.Least-time.Millisecond, false)
				plugged(cfg.Arrives.Most, true)
				p.Observe(connector.State{ID: 1}, records(&wire.MeterRead{}, c.end))
				plugged(cfg.Leaves.Most, false)
			})
		})
	}
}

func records(all ...wire.Payload) (list []connector.Record) {
	for _, p := range all {
		list = append(list, connector.Record{Session: charge.SessionID("s1"), Payload: p})
	}
	return list
}
