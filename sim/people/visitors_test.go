package people_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/sim/people"
)

// TestVisitors: a vehicle comes to a free connector, stays while power flows,
// and leaves soon after it; one that gets no power leaves, too.
func TestVisitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hardware := sim.DefaultConfig()
		hardware.Keeper = 0 // no agent kicks it here
		board, err := sim.New(hardware)
		if err != nil {
			t.Fatal(err)
		}
		cfg := people.DefaultConfig()
		v, err := people.NewVisitors(cfg, board, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		go v.Run(ctx)
		c, err := board.Connector(1)
		if err != nil {
			t.Fatal(err)
		}
		// until returns how long it takes until the connector is plugged or not.
		until := func(plugged bool) time.Duration {
			t.Helper()
			began := time.Now()
			for board.Snapshot().Connectors[0].Plugged != plugged {
				if time.Since(began) > 5*time.Minute {
					t.Fatalf("plugged is still %t", !plugged)
				}
				time.Sleep(100 * time.Millisecond)
			}
			return time.Since(began)
		}
		if got := until(true); got < cfg.Arrives.Least || got > cfg.Arrives.Most+time.Second {
			t.Errorf("the vehicle came after %v, want %v", got, cfg.Arrives)
		}
		// The arrival is seen up to a poll late.
		if got := until(false); got < 10*time.Second-100*time.Millisecond || got > 10*time.Second+cfg.Leaves.Most+time.Second {
			t.Errorf("without power it left after %v", got)
		}
		until(true)
		if err := c.Contactor().Set(true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if s := board.Snapshot().Connectors[0]; !s.Plugged || !s.Closed {
			t.Fatalf("while power flows it is %+v", s)
		}
		if err := c.Contactor().Set(false); err != nil {
			t.Fatal(err)
		}
		if got := until(false); got > cfg.Leaves.Most+time.Second {
			t.Errorf("after the power stopped it left after %v", got)
		}
	})
}

// TestVisitorsLeaveAVehicleThatIsNotTheirs: what an operator plugs in stays.
func TestVisitorsLeaveAVehicleThatIsNotTheirs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board, err := sim.New(sim.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		if err := board.Plug(1); err != nil {
			t.Fatal(err)
		}
		v, err := people.NewVisitors(people.DefaultConfig(), board, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		defer stop()
		v.Run(ctx)
		if !board.Snapshot().Connectors[0].Plugged {
			t.Error("the vehicle was unplugged")
		}
	})
}
