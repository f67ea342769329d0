package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// Bounds of what a Config may ask for: far beyond any vehicle or charging
// point, far below where a product could overflow.
const (
	maxCapacity charge.WattHours = 10_000_000
	maxPower    charge.Watts     = 10_000_000
)

// Config is the equipment of a board. Start from DefaultConfig.
type Config struct {
	Serial     string
	Connectors int
	Seed       uint64 // of vehicles, delays and the first registers
	RatedPower charge.Watts
	MaxCurrent charge.MilliAmps // per phase; 0: what RatedPower needs and a tenth more
	Voltage    charge.MilliVolts
	Phases     int
	TempLimit  charge.MilliCelsius

	// Vehicles is where Plug draws its vehicle from.
	Vehicles Vehicles
	// Registers are the first values of the meters, in the order of the
	// connectors; those left out are drawn from the seed.
	Registers []charge.WattHours
	// Contactor is how long a contact takes to move, drawn each time.
	Contactor Span
	// Asks is how long a vehicle takes to request power after the plug, or to react
	// when the offer is made or withdrawn.
	Asks Span
	// PWM makes the vehicle wait for Pilot.SetAvailable(true), as by IEC 61851.
	// Without it the vehicle requests power as soon as it is plugged in.
	PWM bool
	// Steered makes the vehicle follow the pilot: Pilot.SetCurrent limits its current,
	// and it stops to request power when the offer is withdrawn. Without it, and
	// without PWM, the board has plug and charge-request contacts only.
	Steered bool
	// Keeper is the timeout of the dead-man device; 0: not fitted.
	Keeper time.Duration
	// Bolt is how long the lock of the cable takes to move, drawn each time.
	Bolt Span
	// Cable is the current that each plugged cable is coded for: 13, 20, 32 or 63 A.
	// 0: a fixed cable, no proximity fitted.
	Cable charge.MilliAmps
	// Ambient is the temperature around the board; power heats its contacts above it.
	Ambient charge.MilliCelsius
	// Watchdog is the timeout of the watchdog of the computer; 0: not fitted.
	Watchdog time.Duration
	// Clock fits a clock that runs without power, at ClockTime when the board
	// starts. The zero ClockTime is a clock that has lost its time.
	Clock     bool
	ClockTime time.Time
	// These leave a device out.
	NoEStop, NoFeedback, NoMeter, NoLock, NoGroundFault, NoThermal, NoReader, NoPanel bool
	// Trace is how many switchings are kept for Snapshot; the oldest go first.
	Trace int
	// Now is the time since the board's start. It may run faster than real time,
	// and must not go back (if it does, time stands still). Nil: the process's
	// monotonic clock, in milliseconds.
	Now func() time.Duration
}

// Span is a range of durations, both ends included.
type Span struct{ Least, Most time.Duration }

// Validate reports a negative or reversed range.
func (s Span) Validate() error {
	if s.Least < 0 || s.Most < s.Least {
		return fmt.Errorf("%v to %v: use a range from 0 up", s.Least, s.Most)
	}
	return nil
}

// Draw returns a random duration of the range, all equally likely.
func (s Span) Draw(r *rand.Rand) time.Duration { return between(r, s.Least, s.Most) }

// DefaultKeeper leaves the contactor its time to open within
// hal.MaxAgentGone.
const DefaultKeeper = 800 * time.Millisecond

// DefaultConfig is one connector of 150 kW with a fixed cable. All devices are
// fitted but the watchdog and the clock: there the computer has its own.
func DefaultConfig() Config {
	return Config{
		Serial:     "sim-1",
		Connectors: 1,
		Seed:       1,
		RatedPower: 150_000,
		Voltage:    230_000,
		Phases:     3,
		TempLimit:  70_000,
		Vehicles:   DefaultVehicles(),
		Contactor:  Span{20 * time.Millisecond, 60 * time.Millisecond},
		Asks:       Span{200 * time.Millisecond, 800 * time.Millisecond},
		Steered:    true,
		Bolt:       Span{100 * time.Millisecond, 300 * time.Millisecond},
		Ambient:    22_000,
		Keeper:     DefaultKeeper,
		Trace:      256,
	}
}

// Validate reports all wrong fields, each by its name.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("hal/sim: %s: "+format, append([]any{field}, args...)...))
	}
	if c.Connectors < 1 || c.Connectors > charge.MaxConnectors {
		bad("connectors", "%d; use 1 to %d", c.Connectors, charge.MaxConnectors)
	}
	if c.RatedPower < 1 || c.RatedPower > maxPower {
		bad("rated_power", "%d W; use 1 to %d", c.RatedPower, maxPower)
	}
	if c.MaxCurrent < 0 {
		bad("max_current", "%d mA; use 0 or more", c.MaxCurrent)
	}
	if c.Voltage < 1_000 || c.Voltage > 2_000_000 {
		bad("voltage", "%d mV; use 1000 to 2000000", c.Voltage)
	}
	if c.Phases != 1 && c.Phases != 3 {
		bad("phases", "%d; use 1 or 3", c.Phases)
	}
	if c.Keeper < 0 || c.Keeper > hal.MaxAgentGone {
		bad("keeper", "%v; use 0 (none) to %v", c.Keeper, hal.MaxAgentGone)
	}
	if c.Trace < 0 || c.Trace > 1<<20 {
		bad("trace", "%d; use 0 to %d", c.Trace, 1<<20)
	}
	if len(c.Registers) > c.Connectors {
		bad("registers", "%d values for %d connectors", len(c.Registers), c.Connectors)
	}
	for i, r := range c.Registers {
		if r < 0 || r > charge.MaxRegister/2 {
			bad("registers", "number %d is %d Wh; use 0 to %d", i+1, r, charge.MaxRegister/2)
		}
	}
	if err := c.Vehicles.Validate(); err != nil {
		bad("vehicles", "%w", err)
	}
	if err := c.Contactor.Validate(); err != nil {
		bad("contactor", "%w", err)
	}
	if err := c.Asks.Validate(); err != nil {
		bad("asks", "%w", err)
	}
	if err := c.Bolt.Validate(); err != nil {
		bad("bolt", "%w", err)
	} else if c.Bolt.Most > hal.MaxLockDelay {
		bad("bolt", "%v; use at most %v", c.Bolt.Most, hal.MaxLockDelay)
	}
	if c.Cable != 0 && !slices.Contains([]charge.MilliAmps{13_000, 20_000, 32_000, 63_000}, c.Cable) {
		bad("cable", "%d mA; use 0 (fixed), 13000, 20000, 32000 or 63000", c.Cable)
	}
	if err := checkAmbient(c.Ambient); err != nil {
		bad("ambient", "%w", err)
	}
	if c.Watchdog < 0 || c.Watchdog > time.Minute {
		bad("watchdog", "%v; use 0 (none) to %v", c.Watchdog, time.Minute)
	}
	return errors.Join(errs...)
}

// checkAmbient refuses a temperature that no place has.
func checkAmbient(t charge.MilliCelsius) error {
	if t < -40_000 || t > 90_000 {
		return fmt.Errorf("%d m°C; use -40000 to 90000", t)
	}
	return nil
}

// currentOf is the current per phase at a power, in milliamperes.
func (c *Config) currentOf(milliwatts int64) charge.MilliAmps {
	return charge.MilliAmps(milliwatts * 1_000 / (int64(c.Voltage) * int64(c.Phases)))
}

// powerAt is the power at a current per phase, in milliwatts.
func (c *Config) powerAt(current charge.MilliAmps) int64 {
	return int64(current) * int64(c.Voltage) * int64(c.Phases) / 1_000
}
