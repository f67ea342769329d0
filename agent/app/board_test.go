package app_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/hal/sim/board"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// eventually waits in real time until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		if ok() {
			return
		}
		<-tick.C
	}
	t.Fatalf("never: %s", what)
}

// TestHardwareOutlivesTheAgent: contactor and register are a process of their
// own behind a socket; an agent that is killed and started again accounts for
// every Wh of the register.
func TestHardwareOutlivesTheAgent(t *testing.T) {
	hw := sim.DefaultConfig()
	hw.Registers = []charge.WattHours{100_000}
	b, err := sim.New(hw)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "b")
	ln, err := board.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { _ = board.Serve(ctx, ln, b, slog.New(slog.DiscardHandler)) })
	defer serving.Wait()
	defer stop()

	cfg := app.DefaultConfig()
	cfg.Hardware.Kind, cfg.Hardware.Board.Socket = app.HardwareBoard, socket
	cfg.MQTT.URL = "tcp://127.0.0.1:1" // no broker listens there
	cfg.Policies.FreeVend = true
	cfg.StopWithin = 10 * time.Millisecond
	d := &disk{}
	start := func() (*app.Agent, func(error)) {
		ctx, cancel := context.WithCancelCause(t.Context())
		a, ended := app.New(cfg, app.Deps{Open: d.open}), make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		return a, func(cause error) {
			cancel(cause)
			if err := <-ended; err != nil {
				t.Errorf("agent: %v", err)
			}
		}
	}
	reports := func(a *app.Agent, want charge.Status) func() bool {
		return func() bool {
			all := a.Status().Connectors
			return len(all) == 1 && all[0].Status == want
		}
	}
	truth := func() sim.Outlet { return b.Snapshot().Connectors[0] }

	a, end := start()
	eventually(t, "available", reports(a, charge.StatusAvailable))
	simulator := board.NewSimulator(board.Unix(socket))
	if err := simulator.Plug(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "charging", reports(a, charge.StatusCharging))
	eventually(t, "10 Wh", func() bool { return truth().Register >= 100_010 })
	end(app.ErrKilled)
	eventually(t, "open", func() bool { return !truth().Closed })
	a, end = start()
	eventually(t, "finishing", reports(a, charge.StatusFinishing))
	if err := simulator.Unplug(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "available", reports(a, charge.StatusAvailable))
	end(nil)
	stopped := payloads[*wire.ChargingStopped](t, d)
	if len(stopped) != 1 || stopped[0].Reason != charge.StopPowerLoss || stopped[0].Start != 100_000 || stopped[0].Register != truth().Register {
		t.Errorf("the register is at %d; got %+v; %s", truth().Register, stopped, story(t, d))
	}
}
