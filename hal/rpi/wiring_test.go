package rpi_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi"
)

func TestTheWiringIsExplained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := wiring()
		cfg.Connectors[0].Protection.GroundFault = "GPIO6"
		cfg.Connectors[0].Lights.Green = "GPIO3"
		cfg.Connectors[1].Button = "GPIO8"
		b := newBench(t, cfg)
		board := mustNew(t, cfg, computer(b.chip))
		time.Sleep(time.Hour) // the agent is stopped: nothing reads the contacts
		b.chip.Drive("GPIO5", true)
		b.chip.Drive("GPIO22", false)
		b.chip.Drive("GPIO8", false)
		time.Sleep(time.Second)
		got := board.Wiring()
		for _, want := range []hal.Wire{
			{Device: "emergency stop", Line: "GPIO5", Level: "high", Meaning: "pressed, or a cut wire"},
			{Device: "connector 1: relay", Line: "GPIO17", Meaning: "commanded off"},
			{Device: "connector 1: contactor feedback", Line: "GPIO27", Level: "high", Meaning: "the contactor is open"},
			{Device: "connector 2: contactor feedback", Line: "GPIO25", Level: "low", Meaning: "the contactor is open"},
			{Device: "connector 1: plug contact", Line: "GPIO22", Level: "low", Meaning: "a vehicle is plugged in"},
			{Device: "connector 2: request contact", Line: "GPIO16", Level: "high", Meaning: "no request, or a cut wire"},
			{Device: "connector 1: residual current device", Line: "GPIO6", Level: "low", Meaning: "not tripped"},
			{Device: "connector 1: green light", Line: "GPIO3", Meaning: "commanded off"},
			{Device: "connector 2: button", Line: "GPIO8", Level: "low", Meaning: "closed"},
		} {
			if !slices.Contains(got, want) {
				t.Errorf("%+v is not in %+v", want, got)
			}
		}
		if len(got) != 12 {
			t.Errorf("got %d wires, want 12", len(got))
		}
		if err := board.Close(); err != nil {
			t.Error(err)
		}
		if got := board.Wiring(); got[1].Level == "low" {
			t.Errorf("a closed board has levels: %+v", got)
		}
		bare := rpi.DefaultConfig()
		bare.Connectors = []rpi.Outlet{{Relay: "GPIO17", Plug: "GPIO22", Request: "GPIO23"}}
		board = mustNew(t, bare, computer(newBench(t, bare).chip))
		if got := board.Wiring(); len(got) != 3 {
			t.Errorf("got %+v", got)
		}
		if err := board.Close(); err != nil {
			t.Error(err)
		}
	})
}
