package rpi

import (
	"context"
	"fmt"
	"time"

	"github.com/carga-ev/carga/hal"
)

// wire is a line of the wiring and how its present level is looked up.
type wire struct {
	hal.Wire
	look func() (level, meaning string)
}

var _ hal.Wired = (*Board)(nil)

// unreadable is the level of an input that cannot be read.
const unreadable = "unreadable"

// Wiring implements hal.Wired. It reads the contacts a few times, so that their
// levels count again after a pause, and each meter once.
func (b *Board) Wiring() []hal.Wire {
	for range maxSamples {
		b.inputs.refresh()
		time.Sleep(samplePeriod)
	}
	out := make([]hal.Wire, len(b.wires))
	for i, w := range b.wires {
		out[i] = w.Wire
		out[i].Level, out[i].Meaning = w.look()
	}
	return out
}

// contactWire is the level of a contact to ground, and its meaning.
func contactWire(is bool, err error, closed, open string) (level, meaning string) {
	switch {
	case err != nil:
		return unreadable, err.Error()
	case is:
		return "low", closed
	}
	return "high", open
}

// wired is what an output was last commanded; its pin is never read.
func (o *output) wired() (level, meaning string) {
	return "", map[bool]string{true: "commanded on", false: "commanded off"}[o.commanded.Load()]
}

// meterWait limits the reading of a meter for a person.
const meterWait = 2 * time.Second

// meterWire is the register of a meter.
func meterWire(m hal.Meter) (level, meaning string) {
	ctx, cancel := context.WithTimeout(context.Background(), meterWait)
	defer cancel()
	r, err := m.Read(ctx)
	if err != nil {
		return unreadable, err.Error()
	}
	return fmt.Sprintf("%d Wh", r.Import), fmt.Sprintf("register; power %d W", r.Power)
}
