package charge

import "fmt"

// WattHours is a cumulative energy register, or the difference of two.
type WattHours int64

// Watts is active power; positive flows into the vehicle.
type Watts int64

// MilliAmps is a current in thousandths of an ampere.
type MilliAmps int64

// MilliVolts is a voltage in thousandths of a volt.
type MilliVolts int64

// MilliCelsius is a temperature in thousandths of a degree Celsius.
type MilliCelsius int64

// Permille is a ratio in thousandths: a duty cycle, a state of charge.
type Permille int64

// Cents is money in minor units of the tariff's currency.
type Cents int64

// MaxRegister is the largest register accepted: 10 TWh, far beyond any meter,
// far below where sums could overflow.
const MaxRegister WattHours = 10_000_000_000_000

// KWh writes the energy as kilowatt-hours with three decimals, exactly.
func (e WattHours) KWh() string { return thousandths(int64(e)) }

// Decimal writes the amount in the main unit with two decimals, exactly:
// 342 is "3.42".
func (c Cents) Decimal() string {
	sign, n := split(int64(c))
	return fmt.Sprintf("%s%d.%02d", sign, n/100, n%100)
}

func thousandths(v int64) string {
	sign, n := split(v)
	return fmt.Sprintf("%s%d.%03d", sign, n/1000, n%1000)
}

func split(v int64) (sign string, n uint64) {
	if v < 0 {
		return "-", uint64(-(v + 1)) + 1
	}
	return "", uint64(v)
}
