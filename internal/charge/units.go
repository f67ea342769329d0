package charge

import (
	"fmt"
	"strings"
)

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

// MaxRegister is the largest register accepted: 10 TWh, far beyond any meter,
// far below where sums could overflow.
const MaxRegister WattHours = 10_000_000_000_000

// KWh returns the energy as kilowatt-hours with three decimals, exactly.
func (e WattHours) KWh() string { return Decimal(int64(e), 3) }

// MaxDecimals is the largest number of digits behind the point of a decimal.
const MaxDecimals = 18

// Decimal returns v / 10^decimals with that many digits after the point, exactly:
// 3420 with 3 is "3.420", with 0 it is "3420". decimals is 0 to MaxDecimals.
func Decimal(v int64, decimals int) string {
	sign, n := "", uint64(v)
	if v < 0 {
		sign, n = "-", -n
	}
	if decimals == 0 {
		return fmt.Sprintf("%s%d", sign, n)
	}
	digits := fmt.Sprintf("%0*d", decimals+1, n)
	point := len(digits) - decimals
	return sign + digits[:point] + "." + digits[point:]
}

// ParseDecimal parses a decimal as it is written, without rounding: "3.420" is 3420
// with 3 decimals. Only digits, one point and a leading minus are accepted, and at
// most MaxDecimals digits.
func ParseDecimal(text string) (v int64, decimals int, err error) {
	body, minus := strings.CutPrefix(text, "-")
	whole, fraction, point := strings.Cut(body, ".")
	digits := whole + fraction
	switch {
	case whole == "" || point && fraction == "" || strings.Trim(digits, "0123456789") != "":
		return 0, 0, fmt.Errorf("%.40q is not a decimal; write digits with a point, such as 0.45", text)
	case len(digits) > MaxDecimals:
		return 0, 0, fmt.Errorf("%.40s has more than %d digits", text, MaxDecimals)
	}
	for _, d := range digits {
		v = v*10 + int64(d-'0')
	}
	if minus {
		v = -v
	}
	return v, len(fraction), nil
}

// SessionLimit is what a driver wants of a session at most; 0 is no limit. The session ends
// when the first one is reached.
type SessionLimit struct {
	Energy WattHours
	Amount int64 // in minor units of the tariff's currency
}

// MaxSessionLimit bounds both limits.
const MaxSessionLimit = 1 << 40
