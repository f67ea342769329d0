package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/carga-ev/carga/internal/charge"
)

// full is a state of charge of 100 %; taperFrom is where charging slows down.
const (
	full      charge.Permille = 1000
	taperFrom charge.Permille = 800
)

// minTaper is the smallest part of its maximum power that a vehicle draws before
// it is full, in thousandths.
const minTaper = 50

// Vehicle is an electric vehicle at the moment it is plugged in.
type Vehicle struct {
	Capacity charge.WattHours // of the battery
	Charge   charge.Permille  // state of charge when it is plugged in
	MaxPower charge.Watts     // what it draws at most; less above 80 %
}

// Validate reports every value out of range by its name.
func (v Vehicle) Validate() error {
	var errs []error
	if v.Capacity < 1 || v.Capacity > maxCapacity {
		errs = append(errs, fmt.Errorf("capacity %d Wh: use 1 to %d", v.Capacity, maxCapacity))
	}
	if v.Charge < 0 || v.Charge > full {
		errs = append(errs, fmt.Errorf("charge %d permille: use 0 to %d", v.Charge, full))
	}
	if v.MaxPower < 1 || v.MaxPower > maxPower {
		errs = append(errs, fmt.Errorf("max power %d W: use 1 to %d", v.MaxPower, maxPower))
	}
	return errors.Join(errs...)
}

// Vehicles is the range from which vehicles are drawn, both ends included.
type Vehicles struct {
	Least, Most Vehicle
}

// DefaultVehicles are small batteries at high power, so that a session takes a
// minute or two in real time.
func DefaultVehicles() Vehicles {
	return Vehicles{
		Least: Vehicle{Capacity: 1_000, Charge: 100, MaxPower: 50_000},
		Most:  Vehicle{Capacity: 3_000, Charge: 400, MaxPower: 150_000},
	}
}

// Validate reports every end or order that is wrong.
func (v Vehicles) Validate() error {
	var errs []error
	if err := v.Least.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("least: %w", err))
	}
	if err := v.Most.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("most: %w", err))
	}
	if v.Least.Capacity > v.Most.Capacity || v.Least.Charge > v.Most.Charge || v.Least.MaxPower > v.Most.MaxPower {
		errs = append(errs, errors.New("least is above most"))
	}
	return errors.Join(errs...)
}

// draw returns a random vehicle; each of its values is drawn from its own range.
func (v Vehicles) draw(r *rand.Rand) Vehicle {
	return Vehicle{
		Capacity: between(r, v.Least.Capacity, v.Most.Capacity),
		Charge:   between(r, v.Least.Charge, v.Most.Charge),
		MaxPower: between(r, v.Least.MaxPower, v.Most.MaxPower),
	}
}

// battery is the vehicle's battery while it is plugged in.
type battery struct {
	stored   energy
	capacity charge.WattHours
	maxPower charge.Watts
}

// newBattery is the battery of a vehicle at its state of charge.
func newBattery(v Vehicle) battery {
	milli := int64(v.Capacity) * int64(v.Charge) // capacity × permille = mWh
	return battery{
		stored:   energy{whole: charge.WattHours(milli / 1_000), rest: milli % 1_000 * (wattHour / 1_000)},
		capacity: v.Capacity,
		maxPower: v.MaxPower,
	}
}

// full reports whether the battery takes no more energy.
func (b *battery) full() bool { return b.stored.whole >= b.capacity }

// charge is the state of charge; 0 without a battery.
func (b *battery) charge() charge.Permille {
	if b.capacity == 0 {
		return 0
	}
	return min(charge.Permille(b.stored.milliwattHours()/int64(b.capacity)), full)
}

// draws is the power the battery takes, in milliwatts and at most limit: constant
// up to 80 %, then falling in a line to minTaper at 100 %.
func (b *battery) draws(limit int64) int64 {
	if b.full() {
		return 0
	}
	milliwatts := int64(b.maxPower) * 1_000
	if soc := b.charge(); soc > taperFrom {
		part := int64(full-soc) * 1_000 / int64(full-taperFrom)
		milliwatts = milliwatts * max(part, minTaper) / 1_000
	}
	return min(milliwatts, limit)
}

// between draws evenly from least to most, both included.
func between[T ~int64](r *rand.Rand, least, most T) T {
	return least + T(r.Int64N(int64(most-least)+1))
}
